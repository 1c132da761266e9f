"""What is begun beside a training, and when it is worth it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import occupation
from flows.books import beside
from tasks.config import Fit
from tasks.learning import training
from tasks.records import Epoch
from tasks.registry import reproduce


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was begun, in order."""
    found: list[str] = []
    monkeypatch.setattr(beside, "begin_ladder", lambda books: found.append("ladder"))
    monkeypatch.setattr(reproduce, "call_ahead", lambda: found.append("stranger"))
    monkeypatch.setattr(occupation, "device", lambda *words, **named: nullcontext())
    monkeypatch.setattr(beside, "has_free_core", lambda config: True)
    return found


def books() -> Any:
    config = SimpleNamespace(name="rings", fit=Fit(device="cpu"), network=SimpleNamespace(kind="mlp"))
    return SimpleNamespace(root=Path("/nowhere"), config=config, run=SimpleNamespace(run_id="r"))


def epoch(number: int, seconds: float) -> Epoch:
    return Epoch(
        epoch=number, train_loss=1.0, validation_loss=1.0, validation_metric=1.0, learning_rate=0.1,
        seconds=seconds,
    )  # fmt: skip


def hear(number: int, total: int, seconds: float) -> None:
    for watcher in training.watchers():
        watcher(epoch(number, seconds), total)


def test_baselines_after_the_first_epoch_and_the_stranger_towards_the_end(begun: list[str]) -> None:
    with beside.training_here(books(), judged=True):
        hear(1, 30, 1.0)
        assert begun == ["ladder"]
        hear(21, 30, 1.0)
    assert begun[-1] == "stranger"


@pytest.mark.parametrize(("judged", "seconds"), [(True, 0.1), (False, 1.0)])
def test_no_baselines_where_they_would_come_too_late_or_nobody_asks(
    judged: bool, seconds: float, begun: list[str]
) -> None:
    with beside.training_here(books(), judged=judged):
        hear(1, 10 if judged else 30, seconds)
    assert "ladder" not in begun


@pytest.mark.parametrize(
    ("cores", "settings", "free"),
    [(2, {}, True), (1, {}, False), (2, {"processes": 2}, False), (8, {"threads": None}, False)],
)
def test_a_core_is_free(
    cores: int, settings: dict[str, Any], free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside.os, "sched_getaffinity", lambda _: set(range(cores)))
    assert beside.has_free_core(SimpleNamespace(fit=Fit(**settings))) is free
