"""`modelyard check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common
from tasks import config
from tasks.config import own
from tasks.records import to_json


def check(
    project: str,
    *,
    source: Path | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    common: Common = DEFAULT,
) -> None:
    """Check a project's configuration and data; trains nothing.

    Parameters
    ----------
    project
        Folder name below data/.
    source
        Data that replaces the project's own: a table, a folder of Parquet or IDX files, or of class folders
        with pictures.
    set_
        Setting that replaces the project's own, as dotted.key=value; may be repeated.
    """
    loaded = config.load(common.place, project, source=source, settings=tuple(set_ or ()))
    own.require(loaded.config)
    out = common.console()
    watcher = terminal.Watcher(out)
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
