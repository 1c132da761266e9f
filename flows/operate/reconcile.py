"""Runs whose process died, told to the databases that still show them as running.

A run holds its lease from before it exists anywhere until its last state is stored everywhere (see
`flows.occupation`). So a lease without a living owner is a list of what is left to be said: Crashed
in Prefect, KILLED in MLflow. The file goes when all of it is said; until then every command, and the
dispatcher each minute, tries again.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows import occupation
from tasks import config, lease, store
from tasks.errors import Unavailable
from tasks.lease import Lease

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

YOUNG = timedelta(seconds=30)
"""A run without a lease that is younger may be about to take one."""


@dataclass(frozen=True, kw_only=True)
class Dead:
    """One run that was found dead, and where that had to be said."""

    what: str
    """The run in a few words: action, project, id, pid, since when."""
    told: tuple[str, ...]
    """Of "MLflow" and "Prefect", those that showed it as running until now."""


def reconcile(
    root: Path,
    client: SyncPrefectClient | None = None,
    *,
    thorough: bool = False,
    spare: Iterable[UUID] = (),
) -> list[Dead]:
    """Ends what dead processes left unfinished; costs a look into a folder where there is nothing.

    Args:
        root: The checkout.
        client: Of the Prefect API that runs of this root are in; None leaves that half for later.
        thorough: Also looks for runs that show as running and have no lease at all. Only right where
            every run in the Prefect database is this root's.
        spare: Flow runs that are being started just now.

    Returns:
        What was found, for people.
    """
    found = [dead for left in lease.left(occupation.runs(root)) if (dead := _bury(left, root, client))]
    if thorough:
        found += _without_lease(root, client, set(spare))
        _sweep(root)
    return found


def unfinished(root: Path) -> list[str]:
    """Dead runs that are still to be told about, in words; changes nothing."""
    return [lease.describe(left.facts) for left in lease.left(occupation.runs(root))]


def bury(client: SyncPrefectClient, flow_run_id: UUID, message: str, *, cancelled: bool = False) -> bool:
    """Ends a flow run and its tasks in Prefect, whatever the orchestration says; False if it had ended."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId  # noqa: PLC0415
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415
    from prefect.states import Cancelled, Crashed  # noqa: PLC0415

    try:
        run = client.read_flow_run(flow_run_id)
    except ObjectNotFound:
        return False
    end = Cancelled if cancelled else Crashed
    for task in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))):
        if task.state is None or not task.state.is_final():
            client.set_task_run_state(task.id, end(message=message), force=True)
    if run.state is not None and run.state.is_final():
        return False
    client.set_flow_run_state(run.id, end(message=message), force=True)
    return True


def _bury(left: Lease, root: Path, client: SyncPrefectClient | None) -> Dead | None:
    """Tells what is left to be told about one dead run; None if somebody had told all of it."""
    facts = left.facts
    reason = f"its process died: {lease.describe(facts)}"
    told = []
    if not facts.get("mlflow_ended"):
        with suppress(Unavailable):
            told += ["MLflow"] if _end_in_mlflow(left, root, reason) else []
            left.note(mlflow_ended=True)
    if client is not None and not facts.get("prefect_ended"):
        run = facts.get("flow_run_id")
        told += ["Prefect"] if run and bury(client, UUID(run), reason) else []
        left.note(prefect_ended=True)
    if left.facts.get("mlflow_ended") and (left.facts.get("prefect_ended") or not facts.get("flow_run_id")):
        left.release(remove=True)
    return Dead(what=lease.describe(facts), told=tuple(told)) if told else None


def _end_in_mlflow(left: Lease, root: Path, reason: str) -> bool:
    from tasks.registry import tracking, unfinished  # noqa: PLC0415

    uri, ended = tracking.connect(root), False
    if run_id := left.facts.get("mlflow_run_id"):
        ended = unfinished.end(uri, run_id, reason)
        if left.facts.get("action") != "sweep":
            return ended
    # It died between making the run and noting its id, or with a trial below it.
    project = str(left.facts.get("project"))
    for run, tags in list(unfinished.running(uri, project)):
        if tags[unfinished.LEASE] == left.path.name:
            ended |= unfinished.end(uri, run.run_id, reason)
    return ended


def _without_lease(root: Path, client: SyncPrefectClient | None, spare: set[UUID]) -> list[Dead]:
    """Runs that show as running without a lease: somebody removed `.state`, or it was long ago."""
    living = lease.living(occupation.runs(root))
    reason = "no process of this run is alive"
    found = []
    for project, run_id in _orphans_in_mlflow(root):
        from tasks.registry import tracking, unfinished  # noqa: PLC0415

        if unfinished.end(tracking.connect(root), run_id, reason):
            found.append(Dead(what=f"{project}, run {run_id[:8]}", told=("MLflow",)))
    if client is not None:
        known = {UUID(note["flow_run_id"]) for note in living if note.get("flow_run_id")} | spare
        for run in _running_in_prefect(client):
            if run.id not in known and bury(client, run.id, reason):
                found.append(Dead(what=f"flow run {run.name} {str(run.id)[:8]}", told=("Prefect",)))
    return found


def _orphans_in_mlflow(root: Path) -> list[tuple[str, str]]:
    from tasks.registry import tracking, unfinished  # noqa: PLC0415

    uri, here, folder = tracking.connect(root), socket.gethostname(), occupation.runs(root)
    return [
        (project, run.run_id)
        for project in config.names(root)
        for run, tags in unfinished.running(uri, project)
        if tags.get(unfinished.HOST) == here and not lease.is_held(folder / tags[unfinished.LEASE])
    ]


def _running_in_prefect(client: SyncPrefectClient) -> list[Any]:
    from prefect.client.schemas import filters as f  # noqa: PLC0415
    from prefect.client.schemas.objects import StateType  # noqa: PLC0415

    from flows.operate.manifest import FLOWS  # noqa: PLC0415

    at_work = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    runs = client.read_flow_runs(
        flow_filter=f.FlowFilter(name=f.FlowFilterName(any_=list(FLOWS.values()))),
        flow_run_filter=f.FlowRunFilter(
            state=f.FlowRunFilterState(type=f.FlowRunFilterStateType(any_=at_work))
        ),
        limit=200,
    )
    before = datetime.now(UTC) - YOUNG
    return [run for run in runs if run.state is not None and run.state.timestamp < before]


def _sweep(root: Path) -> None:
    """Removes temporary folders of steps whose builders died."""
    for step in root.glob("data/*/work/*/"):
        store.sweep(step)
