"""`modelyard train`."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, validators
from rich.console import Console
from rich.markup import escape

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common, Forced, Settings, Sourced
from tasks.config import Project
from tasks.errors import ConfigError
from tasks.records import to_json
from tasks.starting.importing import undisturbed

if TYPE_CHECKING:
    from prefect import Flow

    from flows.servers.prefect_server import Server

REJECTED = 4
NEEDED = ("tasks.learning.training", "tasks.ladder.baselines", "tasks.reports.report", "mlflow.pyfunc")
LIKELY = ("tasks.checks.judging", "torch._dynamo", "matplotlib.backends.backend_svg")
"""Needed unless steps are reused; torch imports that one when an optimiser takes its first step."""


def train(
    project: str,
    *,
    source: Sourced = None,
    set_: Settings = None,
    fail_on_reject: Annotated[bool, Parameter(negative="")] = False,
    if_running: Literal["wait", "cancel", "refuse"] = "refuse",
    fast_dev_run: Annotated[bool, Parameter(negative="")] = False,
    overfit_batches: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=1000))] = None,
    profile: Annotated[bool, Parameter(negative="")] = False,
    force: Forced = None,
    common: Common = DEFAULT,
) -> int:
    """Train, judge and register a project's model.

    Parameters
    ----------
    project
        Folder name below data/.
    fail_on_reject
        Exit with 4 when the gate rejects the candidate.
    if_running
        While another run of the project goes on: wait for it, cancel it, or refuse this one.
    fast_dev_run
        Take two batches through every step but the last, in seconds; records and registers nothing.
    overfit_batches
        Learn this many batches by heart and say whether that worked; records and registers nothing.
    profile
        Say where the seconds went, by step and by cause.
    force
        Step that runs again, whatever was done before; may be repeated.
    """
    from flows.books import costs  # noqa: PLC0415
    from tasks import config  # noqa: PLC0415
    from tasks.config import own  # noqa: PLC0415

    root, settings = common.place, list(set_ or ())
    # Fails before anything starts.
    loaded = config.load(root, project, source=source, settings=tuple(settings))
    own.require(loaded.config)
    if fast_dev_run or overfit_batches:
        return _try(common, loaded, overfit_batches)
    place = str(source.resolve()) if source else None
    words = {
        "project": project,
        "root": str(root),
        "source": place,
        "settings": settings,
        "if_running": if_running,
        "force": list(force or ()),
    }
    with costs.asked(profile) as ledger:
        known = None if force else _unchanged(common, loaded)
        summary = known or run_here(common, "train", words)
    if ledger is not None:
        summary["profile"] = costs.document(ledger.spent)
        costs.show(terminal.console(stderr=common.json), ledger.spent)
    return tell(common, summary, fail_on_reject=fail_on_reject)


def _unchanged(common: Common, project: Project) -> dict[str, Any] | None:
    """The document of a training that would change nothing, its steps shown; None if it might."""
    from flows.books import unchanged  # noqa: PLC0415

    began = time.monotonic()
    if (found := unchanged.find(project, common.place)) is None:
        return None
    document, records = found
    watcher = terminal.Watcher(common.console())
    watcher.out.print(f"run {document['run_id']}: nothing has changed since", style="dim")
    for record in records:
        watcher.end(record)
    return document | {"seconds": round(time.monotonic() - began, 3)}


def _try(common: Common, project: Project, overfit_batches: int | None) -> int:
    """Answers whether data and model are wired right; 1 where they are not."""
    from flows.audience import watching  # noqa: PLC0415
    from flows.books import trying  # noqa: PLC0415

    out, name, began = common.console(), project.config.name, time.monotonic()
    document: dict[str, Any] = {"project": name}
    with watching(terminal.Watcher(out)):
        if overfit_batches:
            found = trying.overfit(project, common.place, overfit_batches)
            document |= {
                "overfit_batches": overfit_batches,
                "learned": found.learned,
                "figures": to_json(found),
            }
            sentence = f"{name}: {found.sentence}"
        else:
            records = trying.fast_run(project, common.place).records
            document |= {"fast_dev_run": True, "learned": True, "steps": to_json(list(records.values()))}
            sentence = f"{name} runs from end to end; its figures mean nothing, and nothing was registered"
    out.print(escape(sentence), soft_wrap=True)
    common.answer(outcome.finite(document | {"seconds": round(time.monotonic() - began, 3)}))
    return 0 if document["learned"] else 1


def run_here(common: Common, flow: str, words: dict[str, Any]) -> dict[str, Any]:
    """Runs a flow in this process, on the Prefect server that is found or started.

    Args:
        common: Options of the command.
        flow: `train` or `retrain`.
        words: Its parameters.

    Returns:
        The run's document.
    """
    from flows.servers.prefect_server import connected, prefect_server  # noqa: PLC0415

    _refuse_torchrun()
    root, began = common.place, time.monotonic()
    with ExitStack() as importing, prefect_server(root) as server:
        importing.enter_context(undisturbed())
        _prepare(root, server)
        with connected(server):
            _tell_of_the_dead(root)
            run = getattr(import_module(f"flows.{flow}"), flow)
            importing.close()
            summary = _run(common.console(), run, words, debug=common.debug)
    summary["seconds"] = round(time.monotonic() - began, 3)
    return summary


def _refuse_torchrun() -> None:
    """Raises ConfigError in a process that torchrun started: each would be a run of its own."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        raise ConfigError(
            f"torchrun started this as process {os.environ.get('RANK')} of {os.environ.get('WORLD_SIZE')}, "
            "and each would be a run of its own",
            fix="start it once, without torchrun, and set fit.processes to the number of processes",
        )


def tell(common: Common, summary: dict[str, Any], *, fail_on_reject: bool) -> int:
    """Prints how a run ended; returns the command's exit code."""
    terminal.show_summary(common.console(), summary)
    common.answer(summary)
    return REJECTED if fail_on_reject and summary["outcome"] == "rejected" else 0


def _prepare(root: Path, server: Server) -> None:
    """Does what takes seconds while the server starts; Prefect itself has to wait for its address."""
    from tasks.registry import tracking  # noqa: PLC0415
    from tasks.starting import offshoot  # noqa: PLC0415

    tracking.connect(root)  # makes a store that is not there yet
    for name in NEEDED:
        import_module(name)
    offshoot.keep_seed()  # before Prefect starts threads
    for name in LIKELY:
        if server.ready():
            break
        import_module(name)


def _tell_of_the_dead(root: Path) -> None:
    """Now that there is a Prefect server: what it was not told yet of runs whose process died."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from flows.operate.reconcile import reconcile  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        reconcile(root, client)


def _run(out: Console, run: Flow[..., Any], words: dict[str, Any], *, debug: bool) -> dict[str, Any]:
    """Runs a flow in this process; Prefect's record of it is whole when this returns or raises."""
    from flows.audience import watching  # noqa: PLC0415
    from flows.operate import history  # noqa: PLC0415
    from flows.operate.execution import execute  # noqa: PLC0415

    if not debug:
        history.hush()
    watcher = terminal.Watcher(out)
    try:
        with watching(watcher):
            return execute(run, words, Path(words["root"]))
    finally:
        history.settle(watcher.flow_run_id, watcher.begun)
