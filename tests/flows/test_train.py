"""Training end to end on a managed server: the contract, the second run, rejection, failure."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from flows.books import beside
from flows.servers.prefect_server import connected, prefect_server
from tasks.ladder import ahead
from tasks.registry import backend, tracking

STEPS = ["validate", "clean", "split", "fit", "evaluate", "register"]
IMPOSSIBLE = ["--set", "gate=[{metric: accuracy, at_least: 1.0}, {metric: log_loss, at_most: 0.0}]"]


def check_contract(document: dict[str, Any]) -> None:
    """The keys and kinds that every `train --json` promises."""
    assert document["outcome"] in ("registered", "rejected", "skipped")
    assert all(isinstance(reason, str) for reason in document["reasons"])
    assert document["device"] in ("cpu", "cuda", "mps")
    assert len(document["run_id"]) == 32
    assert uuid.UUID(document["flow_run_id"])
    rows, split = document["data"]["rows"], document["split"]
    assert rows["read"] == rows["kept"] + rows["dropped"] + rows["quarantined"]
    assert split["train"] + split["validation"] + split["test"] == rows["kept"]
    assert len(document["data"]["fingerprint"]) == len(split["hash"]) == 64
    assert document["higher_is_better"] is True
    for score in document["scores"]:
        assert score["low"] <= score["value"] <= score["high"]
        assert isinstance(score["metrics"], dict)
    assert {v["against"] for v in document["verdicts"]} == {s["name"] for s in document["scores"]} - {
        "candidate"
    }
    words = {"better", "indistinguishable", "worse", "undefined"}
    assert all(v["verdict"] in words for v in document["verdicts"])
    assert [step["name"] for step in document["steps"]] == STEPS
    assert all(step["status"] in ("ran", "reused") for step in document["steps"])
    assert document["seconds"] > 0


def flow_run(yard: Any, flow_run_id: str) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """A flow run as the API has it, its task runs, artifacts and logs."""
    with prefect_server(yard.root) as server, connected(server):
        from prefect.client.orchestration import get_client
        from prefect.client.schemas import filters as f

        async def ask() -> tuple[Any, list[Any], list[Any], list[Any]]:
            only = f.FlowRunFilter(id=f.FlowRunFilterId(any_=[uuid.UUID(flow_run_id)]))
            logs = f.LogFilter(flow_run_id=f.LogFilterFlowRunId(any_=[uuid.UUID(flow_run_id)]))
            async with get_client() as client:
                return (
                    await client.read_flow_run(uuid.UUID(flow_run_id)),
                    await client.read_task_runs(flow_run_filter=only),
                    await client.read_artifacts(flow_run_filter=only),
                    await client.read_logs(logs),
                )

        return asyncio.run(ask())


def test_first_run_registers_a_champion(yard, trained) -> None:
    check_contract(trained)
    assert trained["outcome"] == "registered"
    assert trained["reasons"] == []
    assert trained["model"]["name"] == "rings"
    assert trained["model"]["version"] == 1
    assert "champion" in trained["model"]["aliases"]
    assert {v["against"]: v["verdict"] for v in trained["verdicts"]}["logistic"] == "better"
    assert all(step["status"] == "ran" for step in trained["steps"])
    assert "champion" in yard.versions()[1]


def test_prefect_holds_the_whole_run(yard, trained) -> None:
    run, tasks, artifacts, logs = flow_run(yard, trained["flow_run_id"])
    assert run.state.is_completed()
    assert run.state.message.startswith("registered")
    assert set(run.tags) == {"rings", "registered"}
    ordered = sorted(tasks, key=lambda task: task.start_time)
    assert [task.name.rsplit("-", 1)[0] for task in ordered] == STEPS
    assert all(task.state.is_completed() for task in tasks)
    assert {artifact.key for artifact in artifacts} == {"rings-ladder", "rings-report", "rings-mlflow-run"}
    assert trained["run_id"] in " ".join(str(artifact.data) for artifact in artifacts)
    assert any("Finished in state" in log.message for log in logs)


def test_mlflow_holds_the_whole_run(yard, trained) -> None:
    uri = tracking.connect(yard.root)
    run = next(r for r in tracking.recent_runs(uri, "rings", 100) if r["run_id"] == trained["run_id"])
    assert run["status"] == "FINISHED"
    assert run["tags"]["prefect.flow_run_id"] == trained["flow_run_id"]
    assert run["tags"]["modelyard.outcome"] == "registered"
    assert run["params"]["fit.epochs"] == "25"
    candidate = trained["scores"][0]
    assert candidate["name"] == "candidate"
    assert run["metrics"]["candidate.accuracy"] == pytest.approx(candidate["value"])
    client = backend.client(uri)
    names = {entry.path for entry in client.list_artifacts(trained["run_id"])}
    assert {"report.html", "summary.json", "config.yaml", *STEPS} <= names
    assert len(client.get_metric_history(trained["run_id"], "train_loss")) == 25


def test_report_is_where_the_document_says(trained) -> None:
    text = Path(trained["report"]).read_text(encoding="utf-8")
    assert trained["links"]["MLflow run"] in text
    assert "logistic" in text


def test_second_run_registers_nothing(yard, trained) -> None:
    answer = yard("train", "rings", "--json")
    assert answer.code == 0, answer.err
    check_contract(answer.document)
    assert answer.document["outcome"] == "skipped"
    assert answer.document["reasons"]
    assert [s["status"] for s in answer.document["steps"]][:4] == ["reused"] * 4
    assert "champion" in {score["name"] for score in answer.document["scores"]}
    assert list(yard.versions()) == [1]


def test_a_preset_is_recorded_and_equal_settings_are_not_computed_twice(yard, trained) -> None:
    assert trained["preset"] == "standard"
    answer = yard(
        "train", "rings", "--set", "presets={same: {fit: {epochs: 25}}}", "--set", "preset=same", "--json"
    )
    assert answer.code == 0, answer.err
    assert (answer.document["preset"], answer.document["outcome"]) == ("same", "skipped")
    assert [s["status"] for s in answer.document["steps"]][:4] == ["reused"] * 4
    run = backend.client(tracking.connect(yard.root)).get_run(answer.document["run_id"])
    assert run.data.params["preset"] == "same"


def test_rejected_is_a_finished_run(yard, trained) -> None:
    before = yard.versions()
    answer = yard("train", "rings", *IMPOSSIBLE, "--json", "--fail-on-reject")
    assert answer.code == 4
    check_contract(answer.document)
    assert answer.document["outcome"] == "rejected"
    assert answer.document["model"] is None
    assert answer.document["reasons"]
    (only,) = answer.document["next"]
    assert only["command"] == f"modelyard sweep rings --set '{IMPOSSIBLE[1]}'"
    assert yard.versions() == before
    run, tasks, _, _ = flow_run(yard, answer.document["flow_run_id"])
    assert run.state.is_completed()
    assert run.state.message.startswith("rejected: ")
    assert len(tasks) == 6


def test_lines_in_a_pipe(yard, trained) -> None:
    answer = yard("train", "rings", *IMPOSSIBLE)
    assert answer.code == 0
    assert "\x1b" not in answer.out
    for step in STEPS:
        assert f"✓ {step}" in answer.out
    for word in (
        "candidate",
        "majority",
        "logistic",
        "rejected",
        "reports/",
        "modelyard ui",
        "next    modelyard sweep",
    ):
        assert word in answer.out
    assert answer.err == ""


def test_refused_data_fails_the_run_and_leaves_the_champion(yard, trained, tmp_path) -> None:
    before = yard.versions()
    bad = tmp_path / "bad.csv"
    Path(bad).write_text("x,y,colour,ring\n" + "".join(f"{i % 7},1,red,\n" for i in range(60)))
    answer = yard("train", "rings", "--source", bad, "--json")
    assert answer.code == 3
    assert answer.document["error"]["code"] == "DATA_REJECTED"
    assert answer.document["exit"] == 3
    assert answer.err.count("error[") == 1
    assert "Traceback" not in answer.err
    assert yard.versions() == before
    latest = tracking.recent_runs(tracking.connect(yard.root), "rings", 1)[0]
    assert latest["status"] == "FAILED"
    assert latest["tags"]["error.code"] == "DATA_REJECTED"
    shown = yard("show", "rings", "--json").document
    assert shown["error"] == "DATA_REJECTED"
    names = {e.path for e in backend.client(tracking.connect(yard.root)).list_artifacts(latest["run_id"])}
    assert "report.html" in names
    run, tasks, _, _ = flow_run(yard, latest["tags"]["prefect.flow_run_id"])
    assert run.state.is_failed()
    assert [task.state.is_failed() for task in tasks] == [True]


def test_interrupt_marks_the_run_killed(yard, trained, monkeypatch) -> None:
    from flows.books import keeping

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(keeping.entries, "enter", interrupted)
    answer = yard("train", "rings", "--json", "--set", "fit.epochs=24")
    assert answer.code == 130
    assert answer.document["error"]["code"] == "INTERRUPTED"
    assert answer.document["error"]["fix"] == "the same command goes on where this one stopped"
    latest = tracking.recent_runs(tracking.connect(yard.root), "rings", 1)[0]
    assert latest["status"] == "KILLED"
    run, *_ = flow_run(yard, latest["tags"]["prefect.flow_run_id"])
    assert run.state.is_cancelled()


def test_a_profile_adds_up_and_names_the_steps(yard, trained) -> None:
    answer = yard("train", "rings", "--json", "--profile", "--set", "fit.epochs=23")
    assert answer.code == 0, answer.err
    found = answer.document["profile"]
    assert sum(row["seconds"] for row in found["rows"]) == pytest.approx(found["seconds"], abs=0.05)
    assert found["seconds"] == pytest.approx(answer.document["seconds"], abs=1.0)
    causes = {(row["step"], row["cause"]) for row in found["rows"]}
    assert {("fit", "training"), ("evaluate", "baselines"), ("register", "clean room")} <= causes
    assert {("register", "model save"), (None, "report"), ("validate", "Prefect")} <= causes
    assert "where the seconds went" in answer.err
    assert "profile" not in trained


def test_the_baselines_are_asked_alike_beside_the_training_and_after_it(
    busy, busy_trained, monkeypatch
) -> None:
    """Else what was answered beside it is thrown away, and its seconds are paid twice."""
    heard: list[str] = []

    class Climb:
        def __init__(self, asked: ahead.Asked) -> None:
            self.asked = asked
            heard.append("begun")

        def collect(self) -> dict[str, Any]:
            heard.append("collected")
            return {}

        def close(self) -> None:
            heard.append("closed")

    monkeypatch.setattr(ahead, "Climb", Climb)
    monkeypatch.setattr(beside, "WORTH_SECONDS", -1.0)
    monkeypatch.setattr(beside, "has_free_core", lambda _: True)
    assert busy("train", "rings", "--force", "fit", "--set", "fit.class_weights=balanced").code == 0
    assert heard == ["begun", "collected", "closed"]


def test_document_survives_json(trained) -> None:
    assert json.loads(json.dumps(trained, allow_nan=False)) == trained


def test_second_run_waits_and_says_so(yard, trained) -> None:
    holder = "import sys, time; from pathlib import Path; from flows import occupation\n"
    holder += "with occupation.project(Path(sys.argv[1]), 'rings', 'refuse', print, action='train'):\n"
    holder += "    print(flush=True); time.sleep(4)"
    active = subprocess.Popen([sys.executable, "-c", holder, str(yard.root)], stdout=subprocess.PIPE)
    active.stdout.readline()
    refused = yard("train", "rings")
    assert refused.code == 5
    assert f"another run of rings is active: train rings, pid {active.pid}" in refused.err
    answer = yard("train", "rings", "--if-running", "wait")
    active.communicate()
    assert answer.code == 0
    assert f"waiting for the active run: train rings, pid {active.pid}" in answer.out
