"""What a Prefect server knows about a root at a glance: its schedules, and its active and latest runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from flows.books import provenance
from flows.operate import schedules
from flows.operate.manifest import FLOWS
from flows.servers.prefect_server import Server, connected
from tasks.errors import ModelyardError

RECENT = 10
"""Runs that are shown; every active one is among the latest, or is shown besides."""


def read(root: Path, server: Server) -> dict[str, Any]:
    """Schedules and runs as plain data; a schedule that can't be read is a `problem`, not a failure."""
    with connected(server) as url:
        try:
            rows, problem = [row.document for row in schedules.listing(root)], None
        except ModelyardError as error:  # a prefect.yaml that is being edited
            rows, problem = [], str(error)
        return {"schedules": rows, "runs": _runs(url), "problem": problem}


def _runs(url: str) -> list[dict[str, Any]]:
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS.values())))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_filter=ours, sort=FlowRunSort.START_TIME_DESC, limit=10 * RECENT)
    begun = [run for run in found if run.start_time is not None]
    latest = [run for i, run in enumerate(begun) if i < RECENT or not (run.state and run.state.is_final())]
    return [_plain(run, url) for run in latest]


def _plain(run: FlowRun, url: str) -> dict[str, Any]:
    state, began = run.state, run.start_time
    return {
        "flow_run_id": str(run.id),
        "project": run.parameters.get("project"),
        "name": run.name,
        "state": state.name if state else None,
        "active": state is not None and not state.is_final(),
        "message": (state.message if state else None) or "",
        "started": None if began is None else began.isoformat(),
        "seconds": round(run.estimated_run_time.total_seconds(), 1),
        "url": provenance.flow_page(url, str(run.id)),
    }
