"""Runs what is due: `python -P -m flows.operate.dispatcher ROOT`, for as long as standard input lasts.

The one process that executes deployments on this machine. It asks the Prefect API for due runs of the
deployments that `prefect.yaml` declares, and starts each as a child in which only flows of ours can
run (see `errand`). A Prefect worker would run whatever the API says, shell steps included; Prefect's
own `serve` leaves its children alone with their states when it ends. Here a child that dies is Crashed
within a second, a run that is cancelled in the pages is stopped, and a dispatcher that dies takes its
children with it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import filters as f
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import FlowRunResponse, OrchestrationResult, SetStateStatus
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Pending

from flows import occupation
from flows.operate import backlog, children, deployments, reconcile, schedules
from flows.operate.children import Child
from flows.operate.manifest import FLOWS, Declared
from flows.operate.watch import Watch
from flows.servers import leash
from tasks import config, lease, store
from tasks.errors import ModelyardError

TICK = 0.25
"""Seconds between two looks at children and due runs."""
PASSING = (httpx.HTTPError, PrefectException, ModelyardError)
"""What may be over at the next try: an API that restarts, a database that is locked."""

log = logging.getLogger("modelyard.dispatcher")


class Dispatcher:
    """The state of the loop: deployments by id, children by flow run."""

    def __init__(self, root: Path, client: SyncPrefectClient) -> None:
        self.root = root
        self.client = client
        self.watch = Watch(root)
        self.declared: dict[UUID, Declared] = {}
        self.children: dict[UUID, Child] = {}
        self._asked: dict[UUID, float] = {}
        self.limit = os.cpu_count() or 1  # a training takes one thread by default
        self._applied = ""
        self._chores = {
            self.deploy: 5.0,
            self.reconcile: 60.0,
            self.reap: TICK,
            self.cancel: 1.0,
            self.start_due: 2 * TICK,
            self.look: 3.0,
        }

    def loop(self, stop: threading.Event) -> None:
        """Does each chore in its rhythm until `stop`; one that fails in passing is tried again."""
        due = dict.fromkeys(self._chores, 0.0)
        while not stop.wait(TICK):
            for chore, seconds in self._chores.items():
                if time.monotonic() < due[chore]:
                    continue
                pause = seconds if self._attempt(chore) else max(seconds, 2.0)
                due[chore] = time.monotonic() + pause
        self.stop()

    def _attempt(self, chore: object) -> bool:
        try:
            chore()  # type: ignore[operator]
        except PASSING as error:
            log.warning("%s: %s", getattr(chore, "__name__", chore), str(error).splitlines()[0])
            return False
        return True

    def deploy(self) -> None:
        """Applies `prefect.yaml`, again when it or the list of projects changes."""
        wanted = _declaration(self.root)
        if wanted == self._applied:
            return
        self.declared = deployments.apply(self.root)
        self._applied = wanted
        names = sorted(f"{declared.flow}/{declared.name}" for declared in self.declared.values())
        facts = {"pid": os.getpid(), "started": time.time(), "deployments": names}
        store.write_text(self.root / ".state" / "dispatcher.json", json.dumps(facts))
        log.info("serving %s", ", ".join(names))

    def reconcile(self) -> None:
        """Tells both databases about runs whose process died."""
        for dead in reconcile.reconcile(self.root, self.client, thorough=True, spare=self.children):
            log.info("%s: had died; told %s", dead.what, " and ".join(dead.told))

    def start_due(self) -> None:
        """Starts what is due; of the runs that a schedule missed, one."""
        if not self.declared:
            return
        now = datetime.now(UTC)
        due: dict[UUID, list[FlowRunResponse]] = defaultdict(list)
        for run in self.client.get_scheduled_flow_runs_for_deployments(list(self.declared), now):
            if run.deployment_id in self.declared:
                due[run.deployment_id].append(run)
        for deployment, runs in due.items():
            wanted, missed = backlog.overdue(self._scheduled(deployment, runs), now)
            for run in missed:
                self._end(run, "Missed", backlog.MISSED)
            for run in wanted:
                self._consider(run, self.declared[deployment])

    def _scheduled(self, deployment: UUID, runs: list[FlowRunResponse]) -> list[FlowRunResponse]:
        """The runs without those whose schedule was taken away meanwhile; these are ended."""
        if not any(run.auto_scheduled for run in runs):
            return runs
        standing = {schedule.id for schedule in self.client.read_deployment_schedules(deployment)}
        gone = backlog.strays(runs, standing)
        for run in gone:
            self._end(run, "Unscheduled", schedules.TAKEN_AWAY)
        return [run for run in runs if run not in gone]

    def _consider(self, run: FlowRunResponse, declared: Declared) -> None:
        if len(self.children) >= self.limit or run.id in self.children or self._must_wait(run, declared):
            return
        answer: OrchestrationResult[Any] = self.client.set_flow_run_state(run.id, Pending())
        if answer.status == SetStateStatus.ACCEPT:
            child = self.children[run.id] = children.spawn(self.root, run.id, declared)
            log.info("%s/%s: run %s is pid %d", declared.flow, declared.name, run.id, child.process.pid)

    def _must_wait(self, run: FlowRunResponse, declared: Declared) -> bool:
        """Whether another run of the project is in the way; what then happens is the run's policy."""
        slot = occupation.slot(self.root, f"project-{declared.project}")
        busy = [c for c in self.children.values() if c.declared.project == declared.project and c.trains]
        held = lease.is_held(slot)
        if declared.flow == "predict" or not (busy or held):
            return False
        policy = run.parameters.get("if_running", declared.parameters.get("if_running", "wait"))
        if policy == "refuse" and held:  # a child without the slot is just coming or going
            self._end(run, "Refused", f"another run is active: {lease.describe(lease.read(slot))}")
        elif policy == "cancel":
            for child in busy:
                child.ask(signal.SIGINT)
            if not busy:
                occupation.cancel(lease.read(slot))
        return True

    def _end(self, run: FlowRunResponse, name: str, reason: str) -> None:
        self.client.set_flow_run_state(run.id, Cancelled(name=name, message=reason), force=True)
        log.info("run %s: %s, %s", run.id, name.lower(), reason)

    def reap(self) -> None:
        """Sees to it that no child that ended leaves a state open."""
        for child in list(self.children.values()):
            if (code := child.look()) is None:
                continue
            asked = child.how == signal.SIGINT or child.flow_run_id in self._cancelling()
            cancelled = asked or code == children.CANCELLED
            message = "cancelled on request" if cancelled else children.explain(code)
            reconcile.reconcile(self.root)  # MLflow first: who sees the end in Prefect finds it there too
            reconcile.bury(self.client, child.flow_run_id, message, cancelled=cancelled)
            reconcile.reconcile(self.root, self.client)
            child.close()
            del self.children[child.flow_run_id]
            log.info("run %s ended with code %d", child.flow_run_id, code)

    def cancel(self) -> None:
        """Stops runs that somebody cancelled in the pages or on the command line."""
        wanted = self._cancelling()
        self._asked = {run: when for run, when in self._asked.items() if run in wanted}
        for flow_run_id, deployment in wanted.items():
            if (child := self.children.get(flow_run_id)) is not None:
                child.ask(signal.SIGINT)
            elif note := self._note_of(flow_run_id):  # a command that runs here by itself
                # Again after a while: Python drops an interrupt that hits it in a destructor.
                if time.monotonic() - self._asked.get(flow_run_id, 0.0) > children.ASK_SECONDS:
                    occupation.cancel(note)
                    self._asked[flow_run_id] = time.monotonic()
            elif deployment in self.declared:  # its process is gone, or never was
                reconcile.bury(self.client, flow_run_id, "cancelled on request", cancelled=True)

    def _cancelling(self) -> dict[UUID, UUID | None]:
        """Runs of our flows that are to be cancelled, each with its deployment."""
        wanted = f.FlowRunFilterState(type=f.FlowRunFilterStateType(any_=[StateType.CANCELLING]))
        ours = f.FlowFilter(name=f.FlowFilterName(any_=list(FLOWS.values())))
        runs = self.client.read_flow_runs(flow_filter=ours, flow_run_filter=f.FlowRunFilter(state=wanted))
        return {run.id: run.deployment_id for run in runs}

    def _note_of(self, flow_run_id: UUID) -> dict[str, Any] | None:
        notes = lease.living(occupation.runs(self.root))
        return next((note for note in notes if note.get("flow_run_id") == str(flow_run_id)), None)

    def look(self) -> None:
        """Asks for a retraining of each project whose files changed."""
        retrains = {d.project: deployment for deployment, d in self.declared.items() if d.flow == "retrain"}
        for project, seen in self.watch.changed():
            if project in retrains:
                # The key makes one change one run, even if we die between asking and noting it.
                key = f"watch-{project}-{seen}"
                run = self.client.create_flow_run_from_deployment(
                    retrains[project], idempotency_key=key, tags=["watch"]
                )
                log.info("%s: its data changed; flow run %s", project, run.id)
            self.watch.acknowledge(project, seen)

    def stop(self) -> None:
        """Asks every child to stop, and waits until each has an end in both databases."""
        for child in self.children.values():
            child.ask(signal.SIGTERM)
        deadline = time.monotonic() + children.STOP_SECONDS + 2
        while self.children and time.monotonic() < deadline:
            time.sleep(TICK)
            self._attempt(self.reap)


def _declaration(root: Path) -> str:
    """What the deployments depend on, as it is now."""
    path = root / "prefect.yaml"
    return store.digest([path.read_text(encoding="utf-8") if path.exists() else "", config.names(root)])


def serve(root: Path, stop: threading.Event) -> int:
    """Holds the dispatcher's lease and runs its loop; 1 where another one holds it."""
    slot = occupation.slot(root, "dispatcher")
    held = lease.take(slot, action="dispatcher")
    if held is None:
        log.error("another dispatcher runs: %s", lease.describe(lease.read(slot)))
        return 1
    with held, get_client(sync_client=True) as client:
        try:
            Dispatcher(root, client).loop(stop)
        finally:
            (root / ".state" / "dispatcher.json").unlink(missing_ok=True)
    return 0


def main(root: Path) -> int:
    """Runs until SIGTERM, Ctrl-C or the end of standard input."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    leash.hold(stop.set, patience=children.STOP_SECONDS + 5)
    return serve(root, stop)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
