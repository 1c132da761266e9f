"""Retraining end to end: it trains for a reason, says no for one, and both databases know it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import past
from tasks.registry import backend, tracking

SIX = ["validate", "clean", "split", "fit", "evaluate", "register"]


def retrain(yard: Any, *words: str | Path) -> dict[str, Any]:
    """The document of `modelyard retrain again`."""
    answer = yard("retrain", "again", *words, "--json")
    assert answer.code == 0, answer.err
    return answer.document


def why(document: dict[str, Any]) -> str:
    """The reasons of the decision as one text."""
    return "; ".join(document["decision"]["reasons"])


@pytest.fixture(scope="module")
def folder(yard, make_project) -> Path:
    """A project that only these tests retrain."""
    return make_project(yard.root, "again")


@pytest.fixture(scope="module")
def first(yard, folder) -> dict[str, Any]:
    """The first retraining, which nothing came before."""
    return retrain(yard)


@pytest.fixture(scope="module")
def second(yard, first) -> dict[str, Any]:
    """The second one, on the same data by the same configuration."""
    return retrain(yard)


def drifted(path: Path, frame: pd.DataFrame) -> Path:
    """Rows whose x lies elsewhere, which hides from the model what it goes by."""
    frame.assign(x=frame["x"] + 2.5).to_csv(path, index=False)
    return path


def stored_run(yard: Any, run_id: str) -> dict[str, Any]:
    """An MLflow run as plain data."""
    runs = tracking.recent_runs(tracking.connect(yard.root), "again", 100)
    return next(run for run in runs if run["run_id"] == run_id)


def artifacts(yard: Any, run_id: str, folder: str | None = None) -> set[str]:
    """Paths of the files that an MLflow run keeps."""
    client = backend.client(tracking.connect(yard.root))
    return {entry.path for entry in client.list_artifacts(run_id, folder)}


def test_a_decision_loads_nothing_that_it_does_not_need() -> None:
    heavy = ("torch", "sklearn", "great_expectations", "matplotlib", "scipy", "mlflow")
    code = f"import flows.retrain, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_time_trains(yard, first) -> None:
    assert first["outcome"] == "registered"
    assert first["decision"]["train"] is True
    assert "first time" in why(first)
    assert [step["name"] for step in first["steps"]] == ["decide", *SIX]
    run = stored_run(yard, first["run_id"])
    assert run["tags"]["modelyard.decision"] == "train"
    assert run["tags"][past.FINGERPRINT] == first["data"]["fingerprint"]
    assert run["tags"][past.SEEN] == "none"
    profile = past.read(tracking.connect(yard.root), first["run_id"], "profile.json")
    assert profile["rows"] == first["split"]["train"]
    assert [column["name"] for column in profile["columns"]] == ["x", "y", "colour", "ring"]


def test_the_second_time_says_no(yard, first, second) -> None:
    assert second["outcome"] == "skipped"
    assert set(second) == set(first)
    assert second["reasons"] == second["decision"]["reasons"]
    assert f"same data and configuration as when run {first['run_id'][:8]} registered" in why(second)
    assert "champion version 1 is 0.0 days old" in why(second)
    assert second["model"] is None
    assert second["report"] is None
    assert [step["name"] for step in second["steps"]] == ["decide"]
    assert second["data"]["fingerprint"] == first["data"]["fingerprint"]
    assert yard.versions("again") == {1: ("champion", "challenger")}


def test_mlflow_shows_the_reason(yard, second) -> None:
    run = stored_run(yard, second["run_id"])
    assert run["status"] == "FINISHED"
    assert run["tags"]["modelyard.outcome"] == "skipped"
    assert run["tags"]["modelyard.decision"] == "skip"
    assert run["tags"]["modelyard.reasons"] == "; ".join(second["reasons"])
    assert artifacts(yard, second["run_id"]) == {"config.yaml", "decide", "summary.json"}
    assert artifacts(yard, second["run_id"], "decide") == {"decide/record.json"}
    shown = yard("show", "again", "--json").document
    assert {**shown, "seconds": 0} == {**second, "seconds": 0}
    assert "skipped" in yard("show", "again").out


def test_prefect_shows_the_reason(yard, second) -> None:
    from uuid import UUID

    from flows.servers.prefect_server import connected, prefect_server

    with prefect_server(yard.root) as server, connected(server):
        from prefect.client.orchestration import get_client
        from prefect.client.schemas import filters as f

        only = f.FlowRunFilter(id=f.FlowRunFilterId(any_=[UUID(second["flow_run_id"])]))
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(UUID(second["flow_run_id"]))
            tasks = client.read_task_runs(flow_run_filter=only)
            shown = client.read_artifacts(flow_run_filter=only)
    assert run.state.is_completed()
    assert run.state.message.startswith("skipped: same data and configuration")
    assert set(run.tags) == {"again", "skipped"}
    assert [task.name.rsplit("-", 1)[0] for task in tasks] == ["decide"]
    assert {artifact.key for artifact in shown} == {"again-decision", "again-mlflow-run"}
    assert any(second["reasons"][0] in str(artifact.data) for artifact in shown)


def test_lines_for_people(yard, second) -> None:
    answer = yard("retrain", "again")
    assert answer.code == 0
    assert "✓ decide" in answer.out
    assert "skip: same data and configuration" in answer.out
    assert answer.err == ""


def test_a_failed_training_does_not_count(yard, first, second, tmp_path) -> None:
    torn = tmp_path / "torn.csv"
    torn.write_text("x,y,colour,ring\n" + "".join(f"{i},1,red,\n" for i in range(60)))
    answer = yard("retrain", "again", "--source", torn, "--json")
    assert answer.code == 3
    assert answer.document["error"]["code"] == "DATA_REJECTED"
    assert first["run_id"][:8] in why(retrain(yard))


def test_drift_trains_once_and_is_answered_then(yard, first, second, ring_rows, tmp_path) -> None:
    path = drifted(tmp_path / "fresh.csv", ring_rows.drop(columns="ring"))
    rules = ("--set", f"retrain.fresh={path}", "--set", "retrain.drift=0.25")
    trained = retrain(yard, *rules)
    assert trained["decision"]["train"] is True
    assert why(trained).startswith("drift: x ")
    assert trained["decision"]["drift"]["moved"] == 1
    again = retrain(yard, *rules)
    assert again["outcome"] == "skipped"
    assert "which that training answered" in why(again)
    assert stored_run(yard, again["run_id"])["metrics"]["drift.x"] > 0.25


def test_a_floor_is_measured_on_labelled_fresh_rows(yard, first, second, ring_rows, tmp_path) -> None:
    sound = tmp_path / "sound.csv"
    ring_rows.assign(x=ring_rows["x"] + 0.001).to_csv(sound, index=False)  # rows that it did not learn from
    held = retrain(yard, "--set", f"retrain.fresh={sound}", "--set", "retrain.floor=0.8")
    assert held["outcome"] == "skipped"
    assert "on 360 fresh rows holds the floor 0.8" in why(held)
    path = drifted(tmp_path / "fresh.csv", ring_rows)
    missed = retrain(yard, "--set", f"retrain.fresh={path}", "--set", "retrain.floor=0.8")
    assert missed["decision"]["train"] is True
    assert "misses the floor 0.8" in why(missed)
    assert missed["decision"]["standing"]["value"] < 0.8


def test_fresh_rows_that_cannot_be_read_are_refused(yard, first, second, tmp_path) -> None:
    torn = tmp_path / "torn.csv"
    torn.write_text("x,y\n1\n")
    answer = yard(
        "retrain", "again", "--set", f"retrain.fresh={torn}", "--set", "retrain.drift=0.25", "--json"
    )
    assert answer.code == 3
    assert "retrain.fresh" in answer.document["error"]["message"]


def test_force_trains_and_finds_nothing_new(yard, first, second) -> None:
    forced = retrain(yard, "--force", "--set", "retrain.cool_down_hours=24")
    assert forced["decision"]["reasons"] == ["it was asked for: --force"]
    assert forced["outcome"] == "skipped"  # by the registry: the same model is there
    assert [step["name"] for step in forced["steps"]] == ["decide", *SIX]
    assert "cooling down until" in why(retrain(yard, "--set", "retrain.cool_down_hours=24"))


def test_new_data_that_arrives_trains(yard, first, second, ring_rows, tmp_path) -> None:
    arrivals = tmp_path / "arrivals.csv"
    ring_rows.iloc[:300].to_csv(arrivals, index=False)
    rules = ("--set", f"retrain.source={arrivals}", "--set", "gate=[{metric: accuracy, at_least: 1.01}]")
    trained = retrain(yard, *rules)
    assert trained["outcome"] == "rejected"
    assert why(trained).startswith("new data: ")
    assert "changed configuration" in why(trained)
    assert trained["data"]["rows"]["read"] == 300
    assert "was rejected" in why(retrain(yard, *rules))


def test_a_champion_of_another_split_is_judged_on_rows_that_it_never_saw(yard, first) -> None:
    other = ("--set", "seed=7", "--set", "gate=[{not_worse_than: champion}]")
    rejected = retrain(yard, *other)
    assert rejected["outcome"] == "rejected"
    reason = "; ".join(rejected["reasons"])
    assert "it was trained under another split" in reason
    command = "modelyard retrain again --set split.exclude_seen=true"
    assert command in reason
    judged = retrain(yard, *other, *command.split()[3:])
    champion = next(score for score in judged["scores"] if score["name"] == "champion")
    assert champion["value"] is not None
    assert judged["split"]["test"] == rejected["split"]["test"]
    assert any("split.exclude_seen" in text for text in judged["warnings"])
    assert judged["verdicts"][-1]["against"] == "champion"


def test_nobody_takes_a_run_without_servers(yard, first) -> None:
    answer = yard("retrain", "again", "--no-wait")
    assert answer.code == 2
    assert "modelyard up" in answer.err
