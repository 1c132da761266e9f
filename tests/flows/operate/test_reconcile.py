"""What a dead process left is told to MLflow, and where there is a server to Prefect, once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from flows import occupation
from flows.operate import reconcile as module
from flows.operate.reconcile import reconcile
from tasks import lease
from tasks.registry import backend, tracking, unfinished

LONG_AGO = {"pid": 1, "boot": "earlier", "host": "here", "since": 0, "action": "train", "project": "rings"}

RUN = """
import sys, time
from pathlib import Path
from flows import occupation
with occupation.run(Path(sys.argv[1]), action="train", project="rings", mlflow_run_id=sys.argv[2]):
    print(flush=True)
    time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path, make_project) -> Path:
    """A root with a project."""
    make_project(tmp_path)
    return tmp_path


def begun(root: Path, **tags: str) -> str:
    """A run that MLflow shows as running."""
    return tracking.start_run(tracking.connect(root), "rings", root, tags=tags).run_id


def left(root: Path, **facts: Any) -> Path:
    """The lease of a run whose process is gone."""
    path = occupation.runs(root) / uuid.uuid4().hex
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(LONG_AGO | facts))
    return path


def run_of(root: Path, run_id: str) -> Any:
    return backend.client(tracking.connect(root)).get_run(run_id)


def test_run_of_a_dead_process_is_killed(root: Path) -> None:
    run_id = begun(root)
    path = left(root, mlflow_run_id=run_id)
    (dead,) = reconcile(root)
    assert dead.told == ("MLflow",)
    assert f"train rings, run {run_id[:8]}, pid 1" in dead.what
    run = run_of(root, run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["error.code"] == "CRASHED"
    assert "its process died" in run.data.tags["error.message"]
    assert not path.exists()
    assert reconcile(root) == [], "said once"


def test_died_before_it_noted_the_id(root: Path) -> None:
    path = left(root)
    run_id = begun(root, **{unfinished.LEASE: path.name})
    other = begun(root, **{unfinished.LEASE: "another"})
    reconcile(root)
    assert run_of(root, run_id).info.status == "KILLED"
    assert run_of(root, other).info.status == "RUNNING"


def test_run_that_had_ended_is_left_alone(root: Path) -> None:
    run_id = begun(root)
    backend.client(tracking.connect(root)).set_terminated(run_id, "FINISHED")
    path = left(root, mlflow_run_id=run_id)
    assert reconcile(root) == []
    assert run_of(root, run_id).info.status == "FINISHED"
    assert not path.exists()


def test_prefects_half_waits_for_a_server(root: Path) -> None:
    path = left(root, mlflow_run_id=begun(root), flow_run_id=str(uuid.uuid4()))
    assert [dead.told for dead in reconcile(root)] == [("MLflow",)]
    assert path.exists()
    assert module.unfinished(root) == [lease.describe(lease.read(path))]


def test_living_run_is_left_alone(root: Path) -> None:
    run_id = begun(root)
    with occupation.run(root, project="rings", mlflow_run_id=run_id) as held:
        assert reconcile(root, thorough=True) == []
        assert run_of(root, run_id).info.status == "RUNNING"
        held.note(settled=True)


def test_runs_without_a_lease_are_found(root: Path) -> None:
    tags = {unfinished.LEASE: "removed", unfinished.HOST: lease.identity()["host"]}
    mine, foreign = begun(root, **tags), begun(root, **{**tags, unfinished.HOST: "another machine"})
    by_hand = begun(root)
    assert reconcile(root) == [], "only a thorough look asks MLflow"
    reconcile(root, thorough=True)
    states = [run_of(root, run_id).info.status for run_id in (mine, foreign, by_hand)]
    assert states == ["KILLED", "RUNNING", "RUNNING"]


def test_store_that_is_away_is_told_later(root: Path, monkeypatch) -> None:
    path = left(root, mlflow_run_id=begun(root))
    (root / "mlflow" / "mlflow.db").rename(root / "away")
    (root / "mlflow" / "mlflow.db").write_bytes(b"not a database, not even long enough" * 40)
    assert reconcile(root) == []
    assert path.exists()
    (root / "away").rename(root / "mlflow" / "mlflow.db")
    assert [dead.told for dead in reconcile(root)] == [("MLflow",)]


def test_next_command_tells(root: Path, isolated: None, capsys) -> None:
    from flows.cli import main

    run_id = begun(root)
    process = subprocess.Popen([sys.executable, "-c", RUN, str(root), run_id], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert main(["projects", "--root", str(root)]) == 0
    assert run_of(root, run_id).info.status == "RUNNING"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert main(["projects", "--root", str(root)]) == 0
    assert f"note: train rings, run {run_id[:8]}, pid {process.pid}" in capsys.readouterr().err
    assert run_of(root, run_id).info.status == "KILLED"


def test_leftovers_of_steps_are_swept(root: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    work = root / "data" / "rings" / "work" / "fit"
    (work / f".building-{dead.pid}-x").mkdir(parents=True)
    (work / f".building-{os.getpid()}-x").mkdir()
    reconcile(root, thorough=True)
    assert [path.name for path in work.iterdir()] == [f".building-{os.getpid()}-x"]
