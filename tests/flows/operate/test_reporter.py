"""What a run's own log says while it goes on: each step's line, and an epoch a second."""

from __future__ import annotations

from typing import Any

import pytest

from flows.operate import reporter
from tasks.records import DecideRecord, Epoch, RunRef, Step


class Log:
    """Collects what is logged, with its level."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda text, *words: self.lines.append((level, text % words))


@pytest.fixture
def log(monkeypatch) -> Log:
    """The log that the reporter writes to."""
    made = Log()
    monkeypatch.setattr(reporter, "get_run_logger", lambda: made)
    return made


def epoch(number: int) -> Epoch:
    return Epoch(
        epoch=number, train_loss=1, validation_loss=0.5, validation_metric=1, learning_rate=1, seconds=1
    )


def test_a_step_is_a_line_and_its_warnings_follow(log) -> None:
    told = reporter.Reporter()
    told.started(RunRef(uri="", experiment_id="", run_id="1a2b"), "")
    told.end(
        DecideRecord(
            step=Step(name="decide", seconds=0.04), train=False, reasons=("same data", "100% young"),
            fingerprint="", settings="", last=None, champion=None, fresh=None, drift=None, standing=None,
            warnings=("few rows",),
        )
    )  # fmt: skip
    told.failed("fit")
    assert log.lines == [
        ("info", "run 1a2b"),
        ("info", "✓ decide      0.0 s  skip: same data; 100% young"),
        ("warning", "  ! few rows"),
        ("error", "✗ fit"),
    ]


def test_epochs_are_told_once_a_second_and_the_last_one_always(log, monkeypatch) -> None:
    now = iter([0.0, 0.4, 0.9, 1.1, 1.2])
    monkeypatch.setattr(reporter.time, "monotonic", lambda: next(now))
    told = reporter.Reporter()
    for number in range(1, 6):
        told.epoch(epoch(number), 5)
    assert [line.split()[1] for _, line in log.lines] == ["1/5", "4/5", "5/5"]
