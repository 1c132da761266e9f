"""`modelyard step`: one step again, on the inputs of a former run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common
from tasks.records import to_json

Name = Literal["validate", "clean", "split", "fit", "evaluate"]


def step(
    name: Name,
    *,
    from_run: str,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    common: Common = DEFAULT,
) -> None:
    """Run one step again on a former run's inputs, untracked: to look into it.

    The settings are those of the run, with what `--set` replaces; the code is the present one. No run is
    recorded anywhere. Outputs stay in data/NAME/work/untracked until the next time.

    Parameters
    ----------
    name
        validate, clean, split, fit or evaluate.
    from_run
        The beginning of a run id, a project's name for its latest run, or `latest`.
    set_
        Setting that replaces the run's own, as dotted.key=value; may be repeated.
    """
    from flows import past  # noqa: PLC0415
    from flows.audience import watching  # noqa: PLC0415
    from flows.books.untracked import OneStep  # noqa: PLC0415
    from tasks import config  # noqa: PLC0415
    from tasks.config import own  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root, out = common.place, common.console()
    uri = tracking.connect(root)
    run = past.find(uri, root, from_run)
    text = past.text(uri, run["run_id"], "config.yaml")
    project = config.restored(root, text, f"the settings of run {run['run_id'][:8]}", tuple(set_ or ()))
    own.require(project.config)
    known = past.before(uri, run["run_id"], name)
    books = OneStep(project, root, last=name, known=known, champion_uri=uri if name == "evaluate" else "")
    with watching(terminal.Watcher(out)):
        record = books.run_steps()[name]
    facts: dict[str, Any] = outcome.finite(to_json(record))
    terminal.show_plain(out, facts)
    common.answer({"project": project.config.name, "from_run": run["run_id"], "step": name, "record": facts})
