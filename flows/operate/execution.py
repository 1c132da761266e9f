"""One flow run in this process, from its lease to its last state.

The flow run is made before it begins, so that its id stands in the lease from the first moment: a
process that is killed at any instant leaves a note of everything that it left unfinished. Imports
Prefect; only use it inside `prefect_server.connected`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import CancelledRun
from prefect.flow_engine import run_flow
from prefect.states import Pending

from flows import occupation
from tasks.lease import Lease
from tasks.spans import span


def execute(
    flow: Flow[..., Any], words: dict[str, Any], root: Path, *, flow_run_id: UUID | None = None
) -> dict[str, Any]:
    """Runs a flow of ours to its end.

    Args:
        flow: The flow; its first parameter is `project`.
        words: Its parameters.
        root: The checkout, whose `.state` holds the lease.
        flow_run_id: The flow run to be executed; one is made when absent.

    Returns:
        The document that the flow answers.

    Raises:
        ModelyardError: Any failure that was foreseen.
        KeyboardInterrupt: Somebody asked the run to stop; its state is Cancelled.
    """
    with span("Prefect"), occupation.run(root, action=flow.name, project=words["project"]) as lease:
        with get_client(sync_client=True) as client:
            if flow_run_id is None:
                run = client.create_flow_run(flow, parameters=words, state=Pending())
            else:
                run = client.read_flow_run(flow_run_id)
        lease.note(flow_run_id=str(run.id))
        try:
            answer: Any = run_flow(flow, flow_run=run, parameters=words)
            return dict(answer)
        except CancelledRun:
            raise KeyboardInterrupt from None
        finally:
            with suppress(Exception):  # a server that is gone: the reconciler has the note
                _settle(run, lease)


def _settle(run: FlowRun, lease: Lease) -> None:
    """Notes that nothing is left to be repaired, if that is so."""
    with get_client(sync_client=True) as client:
        ended = is_final(client, run.id)
    if ended and (lease.facts.get("mlflow_run_id") is None or lease.facts.get("mlflow_ended")):
        lease.note(settled=True)


def is_final(client: SyncPrefectClient, flow_run_id: UUID) -> bool:
    """Whether the stored state of a flow run is one that it ends in."""
    state = client.read_flow_run(flow_run_id).state
    return state is not None and state.is_final()
