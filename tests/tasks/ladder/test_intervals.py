"""Prediction intervals: they hold the truth as often as they say, and say nothing where rows are few."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.ladder import intervals


def made(rng: np.random.Generator, count: int, *, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """Truth and answers of a model that is biased and whose errors are skewed."""
    values = rng.gamma(4.0, 25.0, count) + 1
    noise = rng.gamma(2.0, 0.1, count) - 0.15
    return (values * np.exp(noise) if log else values + 100 * noise), values


@pytest.mark.parametrize("log", [False, True])
def test_about_nine_of_ten_new_rows_lie_inside(log: bool) -> None:
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(300):
        truth, values = made(rng, 59, log=log)
        low, high = intervals.measured(truth, values, log=log).around((new := made(rng, 200, log=log))[1])
        shares.append(((low <= new[0]) & (new[0] <= high)).mean())
    # Exactly 54/60 in expectation; the standard error of this mean is 0.003.
    assert np.mean(shares) == pytest.approx(0.9, abs=0.01)


def test_the_finite_sample_quantile() -> None:
    truth = np.arange(1.0, 10.0)  # nine scores, 1 to 9: ceil(10 * 0.9) = 9, the largest of them
    assert intervals.measured(truth, np.zeros(9), log=False) == intervals.Interval(
        level=0.9, kind="absolute", width=9.0, rows=9
    )
    assert intervals.measured(truth[:8], np.zeros(8), log=False) is None
    assert intervals.measured(np.array([]), np.array([]), log=False) is None


def test_a_truth_without_logarithm_is_infinitely_far() -> None:
    truth, values = np.ones(40), np.full(40, 2.0)
    truth[:2] = 0, -1
    found = intervals.measured(truth, values, log=True)
    assert found.width == pytest.approx(np.log(2))
    assert found.around(np.array([2.0]))[0][0] == pytest.approx(1.0)
    truth[:8] = 0
    assert intervals.measured(truth, values, log=True) is None


@pytest.mark.parametrize("log", [False, True])
def test_a_tag_says_it_all(tmp_path: Path, log: bool) -> None:
    rng = np.random.default_rng(0)
    truth, values = made(rng, 50, log=log)
    path = tmp_path / "predictions.parquet"
    pd.DataFrame({"truth": truth, "candidate": values, "ridge": 0.0}).to_parquet(path)
    (tmp_path / "encoder.json").write_text(json.dumps({"target": {"log": log, "mean": 1.0}}))
    tags = intervals.tags(path, tmp_path)
    assert intervals.parse(tags[intervals.TAG]) == intervals.measured(truth, values, log=log)
    (tmp_path / "encoder.json").write_text(json.dumps({"target": {"classes": [0, 1], "counts": [1, 1]}}))
    assert intervals.tags(path, tmp_path) == {}


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"level": 0.9}', "7"])
def test_what_is_no_interval_is_none(text: str | None) -> None:
    assert intervals.parse(text) is None
