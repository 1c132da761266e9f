"""Rungs that were climbed beside the training answer what they would have answered after it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from tasks.config import Columns, Encode
from tasks.dataset import Dataset
from tasks.ladder import ahead, baselines
from tasks.ladder.baselines import Problem
from tasks.ladder.rows import read_rows


@pytest.fixture
def asked(tmp_path: Path, houses: pd.DataFrame, own_code_first: None) -> ahead.Asked:
    """Stored rows of made houses, and the question for three rungs, one of them a project's own."""
    for name in ("raw", "clean", "split"):
        (tmp_path / name).mkdir()
    for name in ("raw", "clean"):
        Dataset(houses).save(tmp_path / name)
    part = pd.Series(np.where(houses.index % 4 == 0, "test", "train"), index=houses.index, name="part")
    part.to_frame().to_parquet(tmp_path / "split" / "parts.parquet")
    problem = Problem("regression", "price", Columns(), Encode(), (), 3)
    folders = (tmp_path / "raw", tmp_path / "clean", tmp_path / "split")
    return ahead.Asked(*folders, ("train",), ("median", "own.part:rung", "boosting"), problem)


def test_the_same_answers_bit_for_bit(asked: ahead.Asked) -> None:
    with ahead.room():
        ahead.begin(asked)
        found = ahead.collected(asked)
    assert list(found) == ["median", "boosting"], "a project's own rung is asked where it was loaded"
    parts = pd.read_parquet(asked.split / "parts.parquet")["part"]
    rows = read_rows(asked.raw, asked.cleaned, parts, "price", "regression")
    for name, answer in found.items():
        here = baselines.answer(name, rows.train, rows.test, asked.problem)
        assert here.predictions is not None and answer.predictions is not None, (here, answer)
        assert np.array_equal(here.predictions.values, answer.predictions.values)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are for Linux")
def test_the_same_from_a_fork_that_has_everything_imported(asked: ahead.Asked, tmp_path: Path) -> None:
    script = """
import pickle, sys
from tasks.starting import offshoot
from tasks.ladder import ahead, baselines
assert offshoot.keep_seed()
asked = pickle.loads(open("asked.pickle", "rb").read())
with ahead.room():
    ahead.begin(asked)
    (climb,) = ahead._ROOM.get()
    assert isinstance(climb._process, offshoot.Offshoot)
    found = {name: each.predictions.values for name, each in ahead.collected(asked).items()}
open("found.pickle", "wb").write(pickle.dumps(found))
"""
    (tmp_path / "asked.pickle").write_bytes(pickle.dumps(asked))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    found = pickle.loads((tmp_path / "found.pickle").read_bytes())
    parts = pd.read_parquet(asked.split / "parts.parquet")["part"]
    rows = read_rows(asked.raw, asked.cleaned, parts, "price", "regression")
    assert list(found) == ["median", "boosting"]
    for name, values in found.items():
        here = baselines.answer(name, rows.train, rows.test, asked.problem)
        assert here.predictions is not None and np.array_equal(here.predictions.values, values)


def test_nothing_is_told_before_all_is_answered(asked: ahead.Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads before the training has ended, and what a pipe can't hold would stop the climb there."""
    order: list[str] = []
    monkeypatch.setattr(baselines, "answer", lambda name, *_: order.append(f"answered {name}"))
    line: Any = SimpleNamespace(send=lambda told: order.append(f"told {told[0]}"), close=lambda: None)
    ahead.climb(asked, line)
    assert order == ["answered median", "answered boosting", "told median", "told boosting"]


def test_answers_to_another_question_are_not_taken(
    asked: ahead.Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[ahead.Asked] = []

    class Climb:
        def __init__(self, asked: ahead.Asked) -> None:
            self.asked = asked
            begun.append(asked)

        def collect(self) -> dict[str, object]:
            return {"median": "answer"}

        def close(self) -> None:
            begun.clear()

    monkeypatch.setattr(ahead, "Climb", Climb)
    ahead.begin(asked)
    assert not begun, "only a run that ends it may begin one"
    with ahead.room():
        ahead.begin(asked)
        ahead.begin(replace(asked, learned_from=("train", "validation")))
        assert begun == [asked]
        assert ahead.collected(asked) == {"median": "answer"}
        assert ahead.collected(replace(asked, learned_from=("train", "validation"))) == {}
        assert ahead.collected(replace(asked, problem=replace(asked.problem, balanced=True))) == {}
    assert not begun
    assert ahead.collected(asked) == {}


def test_a_process_that_dies_answers_nothing_and_is_no_error(asked: ahead.Asked) -> None:
    with ahead.room():
        ahead.begin(asked)
        (child,) = [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]
        child.send_signal(signal.SIGKILL)
        assert "boosting" not in ahead.collected(asked)


def test_nothing_is_left_of_answers_that_nobody_collects(asked: ahead.Asked) -> None:
    with ahead.room():
        ahead.begin(asked)
        (child,) = [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]
    assert not child.is_running()
