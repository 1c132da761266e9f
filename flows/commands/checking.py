"""`modelyard check` and `plan`."""

from __future__ import annotations

from dataclasses import asdict

from flows import outcome, terminal
from flows.cluster.engaging import engaged
from flows.commands.options import DEFAULT, Common, Forced, Settings, Sourced
from tasks import config
from tasks.config import own
from tasks.records import to_json


def check(
    project: str,
    *,
    source: Sourced = None,
    set_: Settings = None,
    common: Common = DEFAULT,
) -> None:
    """Check a project's configuration and data; trains nothing.

    Parameters
    ----------
    project
        Folder name below data/.
    """
    loaded = config.load(common.place, project, source=source, settings=tuple(set_ or ()))
    own.require(loaded.config)
    out = common.console()
    watcher = terminal.Watcher(out)
    with engaged(common.place, loaded):
        records = _steps(loaded, watcher)
    out.print(f"{project} is fit to train: modelyard train {project}", soft_wrap=True)
    document = {
        "project": project,
        "steps": to_json(records),
        "config": loaded.config.model_dump(mode="json", by_alias=True),
    }
    common.answer(outcome.finite(document))


def _steps(loaded: config.Project, watcher: terminal.Watcher) -> list[object]:
    """Runs the steps before training as plain functions: no server, no MLflow."""
    from flows.books import rehearsal  # noqa: PLC0415
    from tasks.clean import clean  # noqa: PLC0415
    from tasks.learning.devices import resolve_device  # noqa: PLC0415
    from tasks.split import split  # noqa: PLC0415
    from tasks.validate import validate  # noqa: PLC0415

    c, work = loaded.config, loaded.work
    resolve_device(c.fit.device)
    rehearsal.check_memory(loaded)
    with watcher.step("validate"):
        raw = validate.fn(c.source, c.validation, c.target, c.task, c.columns, loaded.folder, work)
    watcher.end(raw)
    with watcher.step("clean"):
        rows = clean.fn(raw, c.clean, c.target, c.validation.quarantine, work, c.columns.text)
    watcher.end(rows)
    with watcher.step("split"):
        parts = split.fn(rows, c.split, c.target, c.task, c.seed, work, c.columns.drop, c.columns.text)
    watcher.end(parts)
    rehearsal.check_slices(c, rows)
    rehearsal.check_network(c, rows, parts, (c.split.column,) if c.split.column else ())
    return [raw, rows, parts]


def plan(
    project: str,
    *,
    source: Sourced = None,
    set_: Settings = None,
    force: Forced = None,
    common: Common = DEFAULT,
) -> None:
    """Say of each step of a training whether it would run, and why; runs and writes nothing.

    The data is read once, for its fingerprint, and the files of every output that would be reused are
    verified.

    Parameters
    ----------
    project
        Folder name below data/.
    force
        Step that would run again, whatever was done before; may be repeated.
    """
    common.reads()
    loaded = config.load(common.place, project, source=source, settings=tuple(set_ or ()))
    own.require(loaded.config)
    from flows.reuse import planning  # noqa: PLC0415

    lines = planning.plan(loaded, common.place, force or ())
    rows = [{"step": each.step, "": each.answer, "why": each.why} for each in lines]
    common.console().print(terminal.table("", rows))
    common.answer({"project": project, "steps": [asdict(each) for each in lines]})
