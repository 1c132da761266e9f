"""`modelyard step` and `resume`: one step again on a former run's inputs; a run that goes on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common, StepName
from tasks.records import to_json


def step(
    name: StepName,
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


def resume(
    run: str,
    *,
    allow_changed: Annotated[bool, Parameter(negative="")] = False,
    fail_on_reject: Annotated[bool, Parameter(negative="")] = False,
    if_running: Literal["wait", "cancel", "refuse"] = "refuse",
    common: Common = DEFAULT,
) -> int:
    """Go on with a run that failed or was stopped: same settings, same source, finished steps reused.

    A new run goes on from the last whole checkpoint and names the one before it. If code, settings or data
    are no longer what they were, it is refused.

    Parameters
    ----------
    run
        The beginning of a run id, a project's name for its latest run, or `latest`.
    allow_changed
        Go on with the run's settings although code, settings or data have changed since.
    fail_on_reject
        Exit with 4 when the gate rejects the candidate.
    if_running
        While another run of the project goes on: wait for it, cancel it, or refuse this one.
    """
    from flows import past  # noqa: PLC0415
    from flows.commands import training  # noqa: PLC0415
    from flows.reuse import resuming  # noqa: PLC0415
    from tasks.config import own  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root = common.place
    found = past.find(tracking.connect(root), root, run)
    # Fails before anything starts.
    project = resuming.project(root, found["run_id"], allow_changed=allow_changed)
    own.require(project.config)
    words = {
        "project": project.config.name,
        "root": str(root),
        "if_running": if_running,
        "resumes": found["run_id"],
        "allow_changed": allow_changed,
    }
    with resuming.unchanged(found["run_id"]):
        summary = training.run_here(common, "train", words)
    return training.tell(common, summary, fail_on_reject=fail_on_reject)
