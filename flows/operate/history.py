"""What Prefect keeps of a run: made sure of before a managed server is left, and kept off the terminal.

Imports Prefect; only use it inside `prefect_server.connected`.
"""

from __future__ import annotations

import logging
import time

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from tasks.spans import span

SETTLE_SECONDS = 5.0
"""Task runs reach the database with the recorder's next batch, usually within half a second."""


def hush() -> None:
    """Prefect's logs go to its API alone, not to the terminal."""
    for name in (None, "prefect", "prefect.extra"):
        for handler in logging.getLogger(name).handlers:
            if type(handler).__name__ == "PrefectConsoleHandler":
                handler.setLevel(logging.CRITICAL + 1)


@span("Prefect")
def settle(flow_run_id: str | None, task_runs: int) -> bool:
    """Waits until a run's logs and its ended task runs are stored; True if they are.

    Args:
        flow_run_id: The flow run; None sends what is still held and asks for nothing.
        task_runs: How many of its tasks began.
    """
    # Background threads still hold logs and events, and the server makes task runs of events.
    EventsWorker.drain_all(timeout=SETTLE_SECONDS)
    APILogWorker.drain_all(timeout=SETTLE_SECONDS)
    if flow_run_id is None:
        return True
    deadline = time.monotonic() + SETTLE_SECONDS
    with get_client(sync_client=True) as client:
        while _ended(client, flow_run_id) < task_runs:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
    return True


def _ended(client: SyncPrefectClient, flow_run_id: str) -> int:
    """Task runs of the flow run that are stored in a state they end in."""
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    found = client.read_task_runs(flow_run_filter=wanted)
    return sum(run.state is not None and run.state.is_final() for run in found)
