"""`modelyard train`."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from flows import terminal
from flows.commands.options import DEFAULT, Common

REJECTED = 4


def train(
    project: str,
    *,
    source: Path | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    fail_on_reject: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> int:
    """Train, judge and register a project's model.

    Parameters
    ----------
    project
        Folder name below data/.
    source
        Data that replaces the project's own: a table, a folder of Parquet files or of IDX files.
    set_
        Setting that replaces the project's own, as dotted.key=value; may be repeated.
    fail_on_reject
        Exit with 4 when the gate rejects the candidate.
    """
    from flows.servers.prefect_server import connected, prefect_server  # noqa: PLC0415
    from tasks import config  # noqa: PLC0415

    root, settings = common.place, list(set_ or ())
    config.load(root, project, source=source, settings=tuple(settings))  # fails before anything starts
    out, began = common.console(), time.monotonic()
    with prefect_server(root) as server:
        _prepare(root)
        with connected(server):
            place = str(source.resolve()) if source else None
            words = {"project": project, "root": str(root), "source": place, "settings": settings}
            summary = _run(out, words, debug=common.debug)
    summary["seconds"] = round(time.monotonic() - began, 3)
    _tell(common, out, summary)
    return REJECTED if fail_on_reject and summary["outcome"] == "rejected" else 0


def _prepare(root: Path) -> None:
    """Does what takes seconds while the server starts; Prefect itself has to wait for its address."""
    from tasks.registry import tracking  # noqa: PLC0415

    tracking.connect(root)  # makes a store that is not there yet
    for name in (
        "tasks.learning.training",
        "tasks.ladder.baselines",
        "tasks.reports.report",
        "mlflow.pyfunc",
    ):
        import_module(name)


def _run(out: Console, words: dict[str, Any], *, debug: bool) -> dict[str, Any]:
    """Runs the flow in this process; Prefect's record of it is whole when this returns or raises."""
    from flows.audience import watching  # noqa: PLC0415
    from flows.operate import history  # noqa: PLC0415
    from flows.train import train as flow  # noqa: PLC0415

    if not debug:
        history.hush()
    watcher = terminal.Watcher(out)
    try:
        with watching(watcher):
            return dict(flow(**words))
    finally:
        history.settle(watcher.flow_run_id, watcher.begun)


def _tell(common: Common, out: Console, summary: dict[str, Any]) -> None:
    terminal.show_summary(out, summary)
    common.answer(summary)
