"""`modelyard retrain` where a dispatcher is at work: it asks, follows, and ends as the run ended."""

from __future__ import annotations

import io
import json
import signal
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from uuid import UUID

import pytest

from flows import occupation


def retrain(service, *words: str) -> tuple[int, Any, str]:
    """Exit code, document and lines of `modelyard retrain ... --json`."""
    from flows.cli import main

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["retrain", *words, "--json", "--root", str(service.root)])
    return code, json.loads(out.getvalue()), err.getvalue()


def test_outcome_is_the_runs_own(service) -> None:
    code, document, lines = retrain(service, "rings", "--force")
    assert code == 0
    assert document["outcome"] in ("registered", "skipped"), document["reasons"]
    assert [step["name"] for step in document["steps"]][:2] == ["decide", "validate"]
    assert "✓ evaluate" in lines, "it was followed line by line"
    run = service.run(UUID(document["flow_run_id"]))
    assert run.deployment_id is not None, "the dispatcher ran it, not this process"
    assert run.state.message.startswith(document["outcome"])


def test_second_time_there_is_nothing_to_do(service) -> None:
    retrain(service, "rings")
    code, document, _ = retrain(service, "rings")
    assert (code, document["outcome"], document["model"]) == (0, "skipped", None)
    reason = document["reasons"][0]
    assert reason.startswith("same data and configuration")
    run = service.run(UUID(document["flow_run_id"]))
    assert reason in run.state.message
    logged = service.logged(run.id, "rings")
    assert logged["status"] == "FINISHED"
    assert reason in logged["tags"]["modelyard.reasons"]
    assert document["links"]["Prefect flow run"].endswith(document["flow_run_id"])


def test_not_waited_for(service) -> None:
    code, document, lines = retrain(service, "rings", "--no-wait")
    assert code == 0
    assert document["outcome"] is None
    assert document["url"] in lines
    assert service.ended(UUID(document["flow_run_id"])).state.is_completed()


def test_failure_is_the_runs_own(service, tmp_path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("x,y,colour,ring\n" + "".join(f"{i % 7},1,red,\n" for i in range(60)))
    code, document, lines = retrain(service, "rings", "--source", str(bad))
    assert code == 3
    assert document["error"]["code"] == "DATA_REJECTED"
    assert "ring" in document["error"]["message"]
    assert "Traceback" not in lines


def test_refused_while_another_run_is_active(service) -> None:
    with occupation.project(service.root, "rings", "refuse", print, action="train"):
        code, document, _ = retrain(service, "rings")
    assert code == 5
    assert "another run is active: train rings, pid" in document["error"]["message"]


def test_ctrl_c_cancels_the_run(service) -> None:
    command = service.command("retrain", "slow", "--force", "--json")
    assert command.stderr is not None
    page = command.stderr.readline().split()[-1]
    flow_run_id = UUID(page.rsplit("/", 1)[1])
    service.trains(flow_run_id)
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 130
    assert json.loads(out)["error"]["code"] == "INTERRUPTED"
    assert service.run(flow_run_id).state.is_cancelled()
    assert service.logged(flow_run_id, "slow")["status"] == "KILLED"
    assert list((service.root / "data" / "slow" / "work").rglob("*.safetensors")), "the checkpoint is kept"


def test_no_wait_needs_servers(fresh) -> None:
    answer = fresh("retrain", "rings", "--no-wait")
    assert answer.code == 2
    assert "modelyard up" in answer.err


@pytest.mark.parametrize("code", ["DATA_REJECTED", "REGISTRY_CONFLICT", "UNAVAILABLE", "nonsense", None])
def test_errors_are_found_by_code(code: str | None) -> None:
    from tasks.errors import ModelyardError, by_code

    kind = by_code(code)
    assert issubclass(kind, ModelyardError)
    assert kind.code == (code if code in ("DATA_REJECTED", "REGISTRY_CONFLICT", "UNAVAILABLE") else "FAILED")
