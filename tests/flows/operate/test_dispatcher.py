"""Deployments as they are run here: to the end, cancelled, killed, refused; nothing stays open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from flows import occupation
from flows.operate import children
from tasks import lease


def task_states(flow_run_id: UUID) -> list[str]:
    """States of a flow run's tasks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        return [task.state.type.value for task in client.read_task_runs(flow_run_filter=only)]


def no_lease_left(service) -> bool:
    """No run's lease is left."""
    return not list(occupation.runs(service.root).glob("*"))


def test_run_of_a_deployment(service) -> None:
    run = service.ended(service.submit("train/rings"))
    assert run.state.is_completed(), run.state.message
    assert run.state.message.startswith(("registered", "skipped")), "skipped where another test was first"
    assert service.logged(run.id, "rings")["status"] == "FINISHED"
    service.until(lambda: no_lease_left(service))
    assert not lease.is_held(occupation.slot(service.root, "project-rings"))


def test_cancelled_in_the_pages(service) -> None:
    flow_run_id = service.submit("train/slow")
    service.trains(flow_run_id)
    service.cancel(flow_run_id)
    run = service.ended(flow_run_id)
    assert run.state.is_cancelled(), run.state
    assert service.logged(flow_run_id, "slow")["status"] == "KILLED"
    service.until(lambda: no_lease_left(service))
    assert list((service.root / "data" / "slow" / "work").rglob("*.safetensors")), "a checkpoint is kept"


def test_command_that_runs_by_itself_is_cancelled_in_the_pages_too(service) -> None:
    command = service.command("train", "slow")

    def known() -> str | None:
        """The run is known by its lease."""
        assert command.poll() is None, command.communicate()
        notes = lease.living(occupation.runs(service.root))
        return next((note.get("flow_run_id") for note in notes if note["pid"] == command.pid), None)

    flow_run_id = UUID(service.until(known))
    service.trains(flow_run_id)
    service.cancel(flow_run_id)
    state = service.ended(flow_run_id).state
    said = command.communicate(timeout=60)
    assert (state.is_cancelled(), command.returncode) == (True, 130), (state, said)


def test_killed_child_is_crashed_in_both(service) -> None:
    flow_run_id = service.submit("train/slow")
    service.trains(flow_run_id)
    os.kill(service.lease(flow_run_id)["pid"], signal.SIGKILL)
    run = service.ended(flow_run_id)
    assert run.state.is_crashed()
    assert "SIGKILL" in run.state.message
    logged = service.logged(flow_run_id, "slow")
    assert (logged["status"], logged["tags"]["error.code"]) == ("KILLED", "CRASHED")
    assert "RUNNING" not in task_states(flow_run_id)
    service.until(lambda: no_lease_left(service))


def test_dispatcher_that_dies_takes_its_children_along(service) -> None:
    flow_run_id = service.submit("train/slow")
    service.trains(flow_run_id)
    pid = service.lease(flow_run_id)["pid"]
    service.stop(signal.SIGKILL)
    service.until(lambda: not lease.is_held(occupation.slot(service.root, "project-slow")))
    service.start()
    run = service.ended(flow_run_id)
    assert run.state.is_crashed(), run.state
    assert service.logged(flow_run_id, "slow")["status"] == "KILLED"
    service.until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    service.until(lambda: no_lease_left(service))


def test_both_killed_at_once(service) -> None:
    flow_run_id = service.submit("train/slow")
    service.trains(flow_run_id)
    os.kill(service.lease(flow_run_id)["pid"], signal.SIGSTOP)  # it can't tell anybody
    service.stop(signal.SIGKILL)
    os.kill(service.lease(flow_run_id)["pid"], signal.SIGKILL)
    assert service.run(flow_run_id).state.is_running(), "nobody has told yet"
    service.start()
    assert service.ended(flow_run_id).state.is_crashed()
    service.until(lambda: service.logged(flow_run_id, "slow")["status"] == "KILLED")
    assert "RUNNING" not in task_states(flow_run_id)
    service.until(lambda: no_lease_left(service))


def test_stopped_service_ends_its_runs_in_order(service) -> None:
    flow_run_id = service.submit("train/slow")
    service.trains(flow_run_id)
    service.stop()
    run = service.run(flow_run_id)
    assert run.state.is_crashed()
    assert service.logged(flow_run_id, "slow")["status"] == "KILLED"
    assert no_lease_left(service)
    service.start()


def test_one_run_of_a_project_at_a_time(service) -> None:
    first = service.submit("train/slow")
    service.trains(first)
    refused = service.ended(service.submit("train/slow", if_running="refuse"))
    assert (refused.state.is_cancelled(), refused.state.name) == (True, "Refused")
    assert f"pid {service.lease(first)['pid']}" in refused.state.message
    waiting = service.submit("train/slow")
    assert service.ended(service.submit("train/rings")).state.is_completed(), "another project goes on"
    assert service.run(waiting).state.is_scheduled(), "it waits, and takes no process"
    taking = service.submit("train/slow", if_running="cancel")
    assert service.ended(first).state.is_cancelled()
    for flow_run_id in (waiting, taking):
        service.cancel(flow_run_id)
        assert service.ended(flow_run_id).state.is_cancelled()


def test_what_the_api_says_is_not_executed(service, tmp_path: Path) -> None:
    """A deployment whose entrypoint, pull steps and variables were changed runs our flow and no other."""
    from prefect.client.orchestration import get_client

    marker, evil = tmp_path / "marker", tmp_path / "evil.py"
    evil.write_text(f"from prefect import flow\nopen({str(marker)!r}, 'w')\n@flow\ndef train(**_): ...\n")
    shell = {"prefect.deployments.steps.run_shell_script": {"script": f"touch {marker}"}}
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("train/rings")
        changes = {
            "entrypoint": f"{evil}:train",
            "path": str(tmp_path),
            "pull_steps": [shell],
            "job_variables": {"env": {"PYTHONPATH": str(tmp_path)}, "command": f"touch {marker}"},
        }
        client.request(
            "PATCH", "/deployments/{id}", path_params={"id": deployment.id}, json=changes
        ).raise_for_status()
        root = str(tmp_path)
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"root": root})
    ended = service.ended(run.id)
    assert ended.state.is_completed(), ended.state.message
    assert service.logged(run.id, "rings") is not None, "it ran on the root that is served"
    assert not marker.exists()


@pytest.mark.parametrize("code,words", [(-9, "SIGKILL, often for want of memory"), (3, "code 3")])
def test_reasons(code: int, words: str) -> None:
    assert words in children.explain(code)


def test_child_that_drops_an_interrupt_is_asked_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(children, "ASK_SECONDS", 0.2)
    deaf = "import signal, time; seen = []; signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
    deaf += "print(flush=True)\nwhile len(seen) < 2: time.sleep(0.01)\nraise SystemExit(130)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    child = children.Child(UUID(int=1), None, process, tmp_path / "log")
    child.ask(signal.SIGINT)
    for _ in range(500):
        if child.look() is not None:
            break
        time.sleep(0.02)
    assert process.wait(1) == children.CANCELLED
    child.close()
    process.stdout.close()
