"""`modelyard sweep`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators
from rich.console import Console
from rich.markup import escape
from rich.prompt import Confirm

from flows import terminal
from flows.commands import training
from flows.commands.options import DEFAULT, Common, Settings, Sourced
from tasks.errors import ConfigError

SHOWN = 10
"""Trials of the table that a terminal shows."""


def sweep(
    project: str,
    *,
    trials: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=10_000))] = None,
    minutes: Annotated[float | None, Parameter(validator=validators.Number(gt=0))] = None,
    name: str | None = None,
    accept: Annotated[bool, Parameter(negative="")] = False,
    source: Sourced = None,
    set_: Settings = None,
    if_running: Literal["wait", "cancel", "refuse"] = "refuse",
    common: Common = DEFAULT,
) -> int:
    """Look for better settings, judged on validation rows; a winner is a diff that you accept or not.

    Trial 0 is the present configuration. What is searched stands under `sweep:` in project.yaml, or fits
    the kind of network. A sweep that ended or was stopped goes on when it is called again.

    Parameters
    ----------
    project
        Folder name below data/.
    trials
        Settings to try beside the present ones; those of earlier calls count.
    minutes
        End after so long, at the end of an epoch; the trial at work goes on with the next call.
    name
        What the sweep is called; by default after what its trials are made of, so that the same goes on.
    accept
        Write the winner's settings into project.yaml without asking.
    if_running
        While another run of the project goes on: wait for it, cancel it, or refuse this one.
    """
    from tasks import config  # noqa: PLC0415
    from tasks.config import own  # noqa: PLC0415

    if trials is None and minutes is None:
        raise ConfigError("no end is given", fix="say --trials, --minutes or both")
    root, settings, out = common.place, list(set_ or ()), common.console()
    # Fails before anything starts.
    own.require(config.load(root, project, source=source, settings=tuple(settings)).config)
    words = {
        "project": project,
        "root": str(root),
        "trials": trials,
        "minutes": minutes,
        "name": name,
        "source": str(source.resolve()) if source else None,
        "settings": settings,
        "if_running": if_running,
    }
    document = training.run_here(common, "sweep", words)
    _show(out, document)
    if document["diff"] and (accept or _asks(common, out, project)):
        _write(root, document)
    _tell_next(out, document)
    common.answer(document)
    return 0 if document["best"] is not None else 1


def _show(out: Console, document: dict[str, Any]) -> None:
    """The best trials, what may be said about them, and the diff."""
    metric, hidden = document["metric"], ("run_id", "reason", "seconds")
    rows = [
        {head.rpartition(".")[2]: _cell(value) for head, value in row.items() if head not in hidden}
        for row in document["trials"][:SHOWN]
    ]
    counted = ", ".join(f"{count} {state}" for state, count in document["counts"].items())
    out.print()
    out.print(terminal.table(f"{document['project']}: {metric} on {document['judged_on']}", rows))
    out.print(f"trials  {counted}", soft_wrap=True)
    for sentence in document["sentences"]:
        out.print(f"  {escape(sentence)}", soft_wrap=True)
    out.print(escape(document["diff"]), soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _asks(common: Common, out: Console, project: str) -> bool:
    """Whether a person at a terminal says yes; elsewhere nobody is asked."""
    if common.json or not out.is_terminal or not sys.stdin.isatty():
        return False
    return Confirm.ask(f"write this to data/{project}/project.yaml?", console=out, default=False)


def _write(root: Path, document: dict[str, Any]) -> None:
    from flows.sweeping import winner  # noqa: PLC0415

    winner.accept(root, document)
    document["accepted"] = True


def _tell_next(out: Console, document: dict[str, Any]) -> None:
    project, diff = document["project"], document["diff"]
    if document["accepted"]:
        out.print(f"written to data/{project}/project.yaml", soft_wrap=True)
    elif diff:
        out.print(f"nothing was written; the diff is kept in {escape(document['diff_path'])}", soft_wrap=True)
    out.print(f"run     {document['run_id']}   {document['seconds']:.1f} s", soft_wrap=True)
    if document["accepted"]:
        out.print(f"next    modelyard train {project}", soft_wrap=True)
    elif diff:
        out.print("next    the same command with --accept writes the winner at once", soft_wrap=True)
