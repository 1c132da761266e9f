"""`promote`, `rollback`, `history`, `register --from-run`, and what `doctor` says about aliases."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import past
from tasks.errors import Unavailable
from tasks.registry import backend, promotion, tracking
from tasks.registry.ledger import Ledger

NAME = "rounds"


@pytest.fixture(scope="module")
def twice(yard, make_project: Callable[..., Path]) -> Any:
    """A project with two versions that were judged on the same rows; the second one is champion."""
    make_project(yard.root, NAME)
    for words in ([], ["--set", "fit.epochs=30"]):
        answer = yard("train", NAME, *words, "--json")
        assert answer.document["outcome"] == "registered", answer.err
    assert "champion" in yard.versions(NAME)[2]
    return yard


@pytest.fixture
def rounds(twice) -> Iterator[Any]:
    """The same, with version 2 as champion again at the end."""
    yield twice
    client = backend.client(tracking.connect(twice.root))
    if "champion" not in twice.versions(NAME)[2]:
        client.set_registered_model_alias(NAME, "champion", "2")
        twice("promote", NAME, "2")  # notes it


def champion(yard: Any) -> int:
    return next(number for number, aliases in yard.versions(NAME).items() if "champion" in aliases)


def registry(yard: Any) -> Any:
    return backend.client(tracking.connect(yard.root))


def test_history_tells_what_training_did(rounds) -> None:
    document = rounds("history", NAME, "--json").document
    assert (document["model"], document["champion"], document["problems"]) == (NAME, 2, [])
    first, second = document["entries"][:2]
    assert (first["action"], first["phase"], first["moves"]["champion"]) == ("register", "done", [None, 1])
    assert second["moves"]["champion"] == [1, 2]
    assert len(first["run_id"]) == 32
    assert len(first["flow_run_id"]) == 36
    assert first["evidence"]["metric"] == "accuracy"
    assert 0 < first["evidence"]["low"] <= first["evidence"]["value"] <= first["evidence"]["high"] <= 1
    assert first["evidence"]["verdicts"]["logistic"] == "better"
    lines = rounds("history", NAME).out
    for word in ("register", "champion 1 → 2", "accuracy", "passed its gate", "champion: version 2"):
        assert word in lines
    assert len(rounds("history", NAME, "--limit", "1", "--json").document["entries"]) == 1


def test_history_at_a_moment(rounds) -> None:
    first, second = rounds("history", NAME, "--json").document["entries"][:2]
    for moment, version in (("2001-02-03", None), (first["time"], 1), (second["time"][:10], 2)):
        answer = rounds("history", NAME, "--at", moment, "--json")
        assert answer.document["at"]["version"] == version
    assert "version 1 was champion at" in rounds("history", NAME, "--at", first["time"]).out
    assert (
        "no version was champion at 2001-02-03 23:59:59" in rounds("history", NAME, "--at", "2001-02-03").out
    )
    refused = rounds("history", NAME, "--at", "yesterday")
    assert refused.code == 2
    assert "'yesterday'" in refused.err


def test_history_of_nothing(fresh) -> None:
    answer = fresh("history", "rings", "--json")
    assert answer.document == {
        "project": "rings", "model": "rings", "champion": None, "problems": [], "entries": [],
    }  # fmt: skip
    assert fresh("history", "rings").out == "no version is champion\n"


def test_back_and_forth(rounds) -> None:
    back = rounds("rollback", NAME, "--why", "it fails on Mondays", "--json")
    assert back.code == 0, back.err
    assert (back.document["model"]["version"], back.document["from"]) == (1, 2)
    assert back.document["entry"]["why"] == "it fails on Mondays"
    assert champion(rounds) == 1

    again = rounds("rollback", NAME)
    assert again.code == 5
    assert "no champion before version 1" in again.err

    forth = rounds("promote", NAME, "2")
    assert forth.code == 0, forth.err
    assert forth.out == "rounds version 2 is champion; version 1 was\n"
    once_more = rounds("promote", NAME, "2", "--json")
    assert once_more.code == 0
    assert (once_more.document["moved"], once_more.document["entry"]) == (False, None)
    assert rounds("promote", NAME, "2").out == "rounds version 2 is already champion\n"
    assert rounds("rollback", NAME, "--to", "1").code == 0
    assert champion(rounds) == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["promote", NAME, "77"], 5, "no version 77"),
        (["promote", NAME, "0"], 2, "Must be >= 1"),
        (["promote", "none", "1"], 2, "no project"),
        (["rollback", NAME, "--to", "77"], 5, "version 77 was never champion"),
        (["rollback", "rings", "--to", "1"], 5, "was never champion"),
        (["register", "--from-run", "ffff"], 2, "no run"),
    ],
)
def test_refusals(words: list[str], code: int, text: str, rounds) -> None:
    if words[1] == "rings":
        words[-1] = "99"
    answer = rounds(*words)
    assert (answer.code, champion(rounds)) == (code, 2)
    assert text in answer.err
    assert answer.err.count("\n") == 1


def test_a_worse_version_is_promoted_by_force_only(rounds) -> None:
    known = registry(rounds).get_model_version(NAME, "1").tags["modelyard.metric"]
    low = json.dumps({**json.loads(known), "value": 0.5, "low": 0.4, "high": 0.6})
    registry(rounds).set_model_version_tag(NAME, "1", "modelyard.metric", low)
    try:
        refused = rounds("promote", NAME, "1")
        assert refused.code == 5
        assert (
            "version 1 is worse than the champion, version 2: accuracy 0.5 (0.4 … 0.6) against" in refused.err
        )
        assert champion(rounds) == 2
        forced = rounds("promote", NAME, "1", "--force", "--why", "asked for", "--json")
        assert forced.code == 0, forced.err
        assert forced.document["entry"]["why"].startswith("asked for; forced: version 1 is worse")
    finally:
        registry(rounds).set_model_version_tag(NAME, "1", "modelyard.metric", known)


def test_a_damaged_version_is_never_promoted(rounds, tmp_path: Path) -> None:
    rounds("rollback", NAME, "--to", "1")
    bundle = tracking.version(tracking.connect(rounds.root), NAME, 2, tmp_path).folder
    for path in (rounds.root / ".state" / "models").glob(f"{NAME}-2-*"):
        shutil.rmtree(path)
    digest = (bundle / "weights.safetensors").read_bytes()
    (stored,) = [
        path
        for path in (rounds.root / "mlflow").rglob("weights.safetensors")
        if path.read_bytes() == digest and "models" in path.parts
    ]
    try:
        stored.write_bytes(digest[:-1] + b"~")
        for words in (["promote", NAME, "2"], ["rollback", NAME, "--to", "2"]):
            answer = rounds(*words)
            assert answer.code == 9
            assert champion(rounds) == 1
    finally:
        stored.write_bytes(digest)


def test_doctor_says_what_was_moved_by_hand(rounds) -> None:
    def found() -> dict[str, str]:
        checks = rounds("doctor", "--json").document["checks"]
        return next(check for check in checks if check["name"] == f"ledger {NAME}")

    assert found()["state"] == "ok"
    registry(rounds).set_registered_model_alias(NAME, "champion", "1")
    assert found() == {
        "name": f"ledger {NAME}",
        "state": "warn",
        "detail": "alias champion was moved by hand: it reads version 1, the ledger says version 2",
    }
    assert "moved by hand" in rounds("history", NAME).out
    assert rounds("rollback", NAME).code == 0
    assert champion(rounds) == 2
    actions = [entry["action"] for entry in rounds("history", NAME, "--json").document["entries"]]
    assert actions[-2:] == ["by hand", "rollback"]


def test_a_run_whose_registration_failed_is_recovered(rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("the registry went away")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "admit", fail)
        assert rounds("train", NAME, "--set", "fit.epochs=28").code == 6
    uri = tracking.connect(rounds.root)
    run = tracking.recent_runs(uri, NAME, 1)[0]
    assert (run["status"], run["tags"]["error.code"]) == ("FAILED", "UNAVAILABLE")
    refused_without_whole_outputs(rounds, run["run_id"])

    answer = rounds("register", "--from-run", run["run_id"][:12], "--json")

    assert answer.code == 0, answer.err
    document = answer.document
    assert (document["outcome"], document["run_id"]) == ("registered", run["run_id"])
    number = document["model"]["version"]
    assert "challenger" in rounds.versions(NAME)[number]
    recovered = tracking.recent_runs(uri, NAME, 1)[0]
    assert (recovered["status"], recovered["tags"]["modelyard.outcome"]) == ("FINISHED", "registered")
    assert recovered["seconds"] == run["seconds"]
    assert "error.code" not in recovered["tags"]
    shown = rounds("show", run["run_id"][:12], "--json").document
    assert shown["model"] == document["model"]
    last = Ledger(rounds.root, NAME).entries[-1]
    assert (last.action, last.run_id) == ("register", run["run_id"])

    again = rounds("register", "--from-run", run["run_id"], "--json").document
    assert (again["outcome"], again["model"]["version"]) == ("skipped", number)


def refused_without_whole_outputs(yard: Any, run_id: str) -> None:
    """A changed file of the run's evaluation, or a lost one, is no ground to register anything."""
    folder = past.read(tracking.connect(yard.root), run_id, "evaluate/record.json")["folder"]
    predictions = Path(folder) / "predictions.parquet"
    content = predictions.read_bytes()
    for damage in (b"x", None):
        predictions.unlink() if damage is None else predictions.write_bytes(damage)
        answer = yard("register", "--from-run", run_id)
        assert answer.code == 2
        assert "is gone, or was changed since; train again: finished steps are reused" in answer.err
    predictions.write_bytes(content)


def test_a_run_that_its_gate_refused_stays_refused(rounds) -> None:
    gate = "gate=[{metric: accuracy, at_least: 1.0}, {metric: log_loss, at_most: 0.0}]"
    run_id = rounds("train", NAME, "--set", gate, "--json").document["run_id"]
    answer = rounds("register", "--from-run", run_id)
    assert answer.code == 2
    assert "was refused by its gate: " in answer.err
