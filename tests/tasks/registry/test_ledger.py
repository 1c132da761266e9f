from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.registry import ledger as module
from tasks.registry.ledger import Action, Evidence, Held, Ledger, Phase, evidence_of


def write(
    book: Ledger,
    to: int | None,
    *,
    action: Action = "promote",
    phase: Phase = "done",
    alias: str = "champion",
) -> None:
    moves = {alias: (book.replay().get(alias), to)}
    book.append(phase, action, moves, version=to, why="", run_id=f"run {to}")


def lines(root: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (root / "mlflow" / "ledger" / "prices.jsonl").read_text().split("\n")[:-1]
    ]


def test_an_entry_is_one_line_that_says_everything(tmp_path: Path) -> None:
    book = Ledger(tmp_path, "prices")
    evidence = Evidence(
        metric="mae", higher_is_better=False, target="price", value=1.5, low=1.0, high=2.0,
        verdicts={"ridge": "better"}, fingerprint="f", split="s",
    )  # fmt: skip

    book.append(
        "done",
        "promote",
        {"champion": (None, 1)},
        version=1,
        why="line\nbreak",
        run_id="r",
        evidence=evidence,
    )

    (line,) = lines(tmp_path)
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert "@" in line.pop("who")
    assert line == {
        "seq": 1, "model": "prices", "version": 1, "phase": "done", "action": "promote",
        "moves": {"champion": [None, 1]}, "why": "line\nbreak", "run_id": "r", "flow_run_id": None,
        "evidence": {
            "metric": "mae", "higher_is_better": False, "target": "price", "value": 1.5, "low": 1.0,
            "high": 2.0, "verdicts": {"ridge": "better"}, "fingerprint": "f", "split": "s",
        },
        "previous": "",
    }  # fmt: skip
    again = Ledger(tmp_path, "prices")
    assert again.entries == book.entries
    assert again.tips == book.tips


def test_a_line_that_a_crash_cut_is_not_read_and_the_next_entry_takes_its_place(tmp_path: Path) -> None:
    book = Ledger(tmp_path, "prices")
    write(book, 1)
    whole = book.path.read_bytes()
    write(book, 2)
    cut = book.path.read_bytes()[len(whole) :]
    for length in range(len(cut)):
        book.path.write_bytes(whole + cut[:length])
        read = Ledger(tmp_path, "prices")
        assert (len(read.entries), read.problems) == (1, [])

    write(read, 3)

    assert [line["version"] for line in lines(tmp_path)] == [1, 3]
    assert Ledger(tmp_path, "prices").problems == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda text: text.replace('"version":2', '"version":9'), "line 3 does not follow"),
        (lambda text: "\n".join(text.split("\n")[:1] + text.split("\n")[2:]), "line 2 does not follow"),
        (lambda text: text.replace('"seq":2', '"seq":"two"'), "line 2 can't be read"),
        (lambda text: text.replace('"version":2', '"version":"two"'), "line 2 can't be read"),
        (lambda text: "no json\n" + text, "line 1 can't be read"),
        (lambda text: text.replace("+00:00", "", 1), "line 1 can't be read"),
    ],
)
def test_a_changed_line_shows_and_the_rest_is_read(damage: Any, problem: str, tmp_path: Path) -> None:
    book = Ledger(tmp_path, "prices")
    for number in (1, 2, 3):
        write(book, number)
    book.path.write_text(damage(book.path.read_text()))

    read = Ledger(tmp_path, "prices")

    assert read.problems[0].startswith(problem)
    assert read.replay() == {"champion": 3}
    write(read, 4)
    assert len(Ledger(tmp_path, "prices").problems) == len(read.problems)


def test_only_moves_that_took_place_count(tmp_path: Path) -> None:
    book = Ledger(tmp_path, "prices")
    write(book, 1)
    write(book, 2, phase="intent")
    assert book.interrupted is not None
    write(book, 2, phase="abandoned")
    assert book.interrupted is None
    write(book, 3, phase="found", action="by hand")
    write(book, 3, phase="superseded", alias="challenger")
    assert book.replay() == {"champion": 3, "challenger": 3}
    write(book, None, phase="found", action="by hand")
    assert book.replay() == {"challenger": 3}


def test_a_rollback_takes_away_what_a_promotion_put_on_top(tmp_path: Path) -> None:
    book = Ledger(tmp_path, "prices")
    for number in (1, 2, 3):
        write(book, number)
    write(book, 2, action="rollback")
    assert [held.version for held in book.champions()] == [1, 2]
    write(book, 1, action="rollback")
    assert [held.version for held in book.champions()] == [1]
    write(book, 4)
    assert [held.version for held in book.champions()] == [1, 4]
    assert Held(3, "run 3") in book.held()


def test_the_champion_of_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [datetime(2026, 3, 1, 12, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return clock[0]

    monkeypatch.setattr(module, "datetime", Clock)
    book = Ledger(tmp_path, "prices")
    write(book, 1)
    clock[0] += timedelta(days=2)
    write(book, 2)
    clock[0] -= timedelta(days=30)  # a clock that was set back
    write(book, 3)

    assert [line["time"][:10] for line in lines(tmp_path)] == ["2026-03-01", "2026-03-03", "2026-03-03"]
    assert book.at(datetime(2026, 3, 1, 11, tzinfo=UTC)) is None
    at = book.at(datetime(2026, 3, 2, tzinfo=UTC))
    assert at is not None
    assert at.version == 1
    last = book.at(datetime(2026, 4, 1, tzinfo=UTC))
    assert last is not None
    assert last.version == 3


def evidence(value: float | None, **changes: Any) -> Evidence:
    known = {
        "metric": "accuracy", "higher_is_better": True, "target": "t", "low": None, "high": None,
        "verdicts": {}, "fingerprint": "f", "split": "s",
    }  # fmt: skip
    return Evidence(**{**known, "value": value, **changes})


def test_better_is_strictly_better_and_never_undefined() -> None:
    assert evidence(0.9).beats(evidence(0.8))
    assert not evidence(0.8).beats(evidence(0.8))
    assert not evidence(0.9, higher_is_better=False).beats(evidence(0.8, higher_is_better=False))
    assert not evidence(None).beats(evidence(0.8))
    assert evidence(0.1).beats(evidence(None))
    assert not evidence(None).beats(evidence(None))


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "f1"}, {"higher_is_better": False}, {"fingerprint": "g"}, {"split": "t"}, {"target": "u"},
        {"fingerprint": "", "split": ""},
    ],
)  # fmt: skip
def test_only_the_same_metric_on_the_same_rows_compares(changes: dict[str, Any]) -> None:
    assert evidence(1.0).comparable(evidence(0.5))
    other = evidence(0.5, **changes)
    assert not other.comparable(evidence(1.0))
    assert not evidence(1.0, fingerprint="").comparable(evidence(1.0, fingerprint=""))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.7976931348623157e308, None])
def test_a_number_that_is_none_is_read_as_undefined(value: float | None) -> None:
    stored = {"metric": "mae", "higher_is_better": False, "target": "t", "low": 1, "high": 2, "verdicts": {}}
    tags = {"modelyard.metric": json.dumps({**stored, "value": value}), "modelyard.data": "f"}
    read = evidence_of(tags)
    assert read is not None
    assert (read.value, read.low, read.fingerprint, read.split) == (None, 1.0, "f", "")


@pytest.mark.parametrize("tag", [None, "", "[]", "{}", '{"value": "1", "low": 0, "high": 0}', "no json"])
def test_a_version_without_readable_evidence_has_none(tag: str | None) -> None:
    assert evidence_of({} if tag is None else {"modelyard.metric": tag}) is None
