"""A root that is served: a real Prefect server, and the dispatcher as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.servers.prefect_server import Server, connected, prefect_server
from tasks.registry import tracking

SLOW = "fit: {epochs: 100000, batch_size: 32, learning_rate: 0.0001}"
"""Hours of training; it is always stopped."""
PATIENCE = 90.0
TRACED = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
DISPATCHER = f"""
import os, runpy
for name in {TRACED!r}:
    os.environ.pop(name, None)
runpy.run_module("flows.operate.dispatcher", run_name="__main__")
"""
"""The dispatcher, whose children coverage does not trace: an interrupt that hits the tracer while it holds
its lock leaves the process waiting for that for ever."""


@dataclass
class Service:
    """A dispatcher on a root, and its Prefect API."""

    root: Path
    process: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)

    @staticmethod
    def until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """The first answer of `what` that is true."""
        deadline = time.monotonic() + seconds
        while not (answer := what()):
            assert time.monotonic() < deadline, f"still not: {what.__doc__ or what}"
            time.sleep(0.1)
        return answer

    def start(self) -> None:
        """Starts the dispatcher and waits until it has applied the deployments."""
        log = self.root / f"dispatcher-{len(self.logs)}.log"
        self.logs.append(log)
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", DISPATCHER, str(self.root)],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.root,
            )
        self.until(self.ready)

    def command(self, *words: str) -> subprocess.Popen[str]:
        """`modelyard WORDS... --root ROOT` as a process that can be interrupted, so it is not traced."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *words, "--root", str(self.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in TRACED},
        )

    def ready(self) -> bool:
        """The dispatcher serves."""
        assert self.process is not None
        assert self.process.poll() is None, self.logs[-1].read_text()
        try:
            facts = json.loads((self.root / ".state" / "dispatcher.json").read_text())
        except FileNotFoundError:
            return False
        return facts["pid"] == self.process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends the dispatcher."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process = None

    def submit(self, name: str, **parameters: Any) -> UUID:
        """Asks for a run of the deployment `name`, as `flow/project`."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(name)
            return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id

    def cancel(self, flow_run_id: UUID) -> None:
        """What the button in Prefect's pages does."""
        from prefect.client.orchestration import get_client
        from prefect.states import Cancelling

        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run_id, Cancelling())

    def run(self, flow_run_id: UUID) -> Any:
        """A flow run as the API has it."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.read_flow_run(flow_run_id)

    def ended(self, flow_run_id: UUID) -> Any:
        """The flow run, once it is in a state that it ends in."""

        def final() -> Any:
            """The run has ended."""
            found = self.run(flow_run_id)
            return found if found.state.is_final() else None

        return self.until(final)

    def logged(self, flow_run_id: UUID, project: str) -> dict[str, Any] | None:
        """The MLflow run of a flow run."""
        runs = tracking.recent_runs(tracking.connect(self.root), project, 50)
        mine = [run for run in runs if run["tags"].get("prefect.flow_run_id") == str(flow_run_id)]
        return mine[0] if mine else None

    def trains(self, flow_run_id: UUID, project: str = "slow") -> dict[str, Any]:
        """The MLflow run, once an epoch was logged: its process is deep in the training."""

        def training() -> Any:
            """An epoch was logged."""
            run = self.logged(flow_run_id, project)
            return run if run and "train_loss" in run["metrics"] else None

        return self.until(training)

    def lease(self, flow_run_id: UUID) -> dict[str, Any]:
        """The note of the run's lease."""
        from flows import occupation
        from tasks import lease

        notes = [lease.read(path) for path in occupation.runs(self.root).glob("*")]
        return next(note for note in notes if note.get("flow_run_id") == str(flow_run_id))


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, isolated: None, make_project
) -> Iterator[tuple[Service, Server]]:
    """A served root with two projects: rings, and one that trains for hours."""
    root = tmp_path_factory.mktemp("served")
    make_project(root)
    make_project(root, "slow", fit=SLOW)
    with prefect_server(root) as server:
        made = Service(root)
        with connected(server):
            made.start()
        yield made, server
        made.stop()


@pytest.fixture
def service(served: tuple[Service, Server]) -> Iterator[Service]:
    """The served root, this process's Prefect pointed at its server for the length of a test."""
    made, server = served
    with connected(server):
        yield made
