"""A flow run that another process executes: asked for, followed line by line, and what came of it.

Imports Prefect; only use it inside `prefect_server.connected`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, LogFilterLevel
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from flows import past
from tasks.errors import ConfigError, ModelyardError, RegistryConflict, by_code
from tasks.registry import tracking

POLL_SECONDS = 0.25
LATE_SECONDS = 1.5
"""How long after a run's end its last lines are waited for; a run that was killed sends none."""
PAGE, OVERLAP = 200, 50
"""Lines that are asked for at once (the API's limit), and how many of them may be known already."""
FLOW_RUNS = "prefect.flow_runs"
LAST = "Finished in state"
FRAME = ("Beginning flow run", "Encountered exception during execution", "Crash detected", LAST)
"""How Prefect frames the lines of a run: what they say is said better by the run's own, or at the end."""
PATIENCE = 20.0
"""Seconds without anybody taking up the run, after which the waiting is explained; and how long a
cancelled run is given to end."""


def deployed(project: str) -> UUID:
    """The deployment that retrains a project on the connected server.

    Raises:
        ConfigError: The server has none.
    """
    name = f"retrain/{project}"
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(name).id
        except ObjectNotFound:
            fix = "deploy it with `prefect deploy`, or unset PREFECT_API_URL to retrain here"
            raise ConfigError(f"the Prefect server has no deployment {name}", fix=fix) from None


def submit(deployment: UUID, words: dict[str, Any]) -> FlowRun:
    """Asks for a run of a deployment, now."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run_from_deployment(deployment, parameters=words)


def follow(flow_run_id: UUID, told: Callable[[str], None]) -> State[Any]:
    """Passes on the run's log lines until it has ended; returns its last state.

    Ctrl-C cancels the run and waits for its end; a second one leaves at once.

    Args:
        flow_run_id: The flow run.
        told: Is called with each line.
    """
    with get_client(sync_client=True) as client:
        lines = _Lines(client, flow_run_id, told)
        try:
            return _until_final(client, flow_run_id, lines, told)
        except KeyboardInterrupt:
            told("cancelling the run; Ctrl-C again leaves it")
            client.set_flow_run_state(flow_run_id, Cancelling(message="cancelled by Ctrl-C"))
            deadline = time.monotonic() + PATIENCE
            while not _state(client, flow_run_id).is_final() and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
            raise


def document(uri: str, project: str, flow_run_id: UUID, state: State[Any]) -> dict[str, Any]:
    """What a run that ended has to say; the same that it would have said in this process.

    Raises:
        ModelyardError: The run failed; the error is the one that ended it.
        KeyboardInterrupt: Somebody cancelled it.
    """
    if state.name == "Refused":
        raise RegistryConflict(state.message or "another run is active", fix="wait for it, or cancel it")
    if state.is_cancelled():
        raise KeyboardInterrupt
    run = _logged(uri, project, flow_run_id)
    if state.is_completed() and run is not None:
        found = past.read(uri, run["run_id"], "summary.json")
        if isinstance(found, dict):
            return found
    tags = {} if run is None else run["tags"]
    what = tags.get("error.message") or state.message or state.name
    raise by_code(tags.get("error.code"))(str(what), fix="")


def _until_final(
    client: SyncPrefectClient, flow_run_id: UUID, lines: _Lines, told: Callable[[str], None]
) -> State[Any]:
    began, patient = time.monotonic(), True
    while not (state := _state(client, flow_run_id)).is_final():
        lines.read()
        if patient and state.is_scheduled() and time.monotonic() - began > PATIENCE:
            told("nobody has taken up the run yet: another run may be active, or `modelyard up` is not up")
            patient = False
        time.sleep(POLL_SECONDS)
    lines.read_to_the_end()
    return state


def _state(client: SyncPrefectClient, flow_run_id: UUID) -> State[Any]:
    state = client.read_flow_run(flow_run_id).state
    if state is None:
        raise ModelyardError(f"flow run {flow_run_id} has no state")
    return state


class _Lines:
    """The log lines of a run, each read once."""

    def __init__(self, client: SyncPrefectClient, flow_run_id: UUID, told: Callable[[str], None]) -> None:
        self._client = client
        self._filter = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]), level=LogFilterLevel(ge_=logging.INFO)
        )
        self._told = told
        self._known: set[UUID] = set()
        self._ended = False

    def read_to_the_end(self) -> None:
        """Reads on until the line that ends every run: lines are sent in batches, after the state."""
        deadline = time.monotonic() + LATE_SECONDS
        self.read()
        while not self._ended and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 2)
            self.read()

    def read(self) -> None:
        """Passes on the lines that are new."""
        # By id and not by offset: lines arrive in batches, out of order across loggers.
        offset = max(0, len(self._known) - OVERLAP)
        for line in self._client.read_logs(self._filter, limit=PAGE, offset=offset):
            if line.id in self._known:
                continue
            self._known.add(line.id)
            self._ended |= line.name == FLOW_RUNS and line.message.startswith(LAST)
            if line.name == FLOW_RUNS and not line.message.startswith(FRAME):
                self._told(line.message)


def _logged(uri: str, project: str, flow_run_id: UUID) -> dict[str, Any] | None:
    """The MLflow run of a flow run."""
    for run in tracking.recent_runs(uri, project, 50):
        if run["tags"].get("prefect.flow_run_id") == str(flow_run_id):
            return run
    return None
