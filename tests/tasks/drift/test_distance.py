"""Drift: agrees with the formula, does not cry wolf on few rows, and sees a column that moved."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from tasks.drift import distance
from tasks.drift.profile import profile
from tasks.errors import DataRejected

USUAL = 0.25


def table(rng, count, *, shift=0.0, missing=0.0, flip=0.0):
    """Five columns of different habits; the words move one habit each."""
    town = rng.choice(["north", "south", "west"], count, p=[0.6 - flip, 0.3 + flip, 0.1])
    area = rng.normal(size=count) + shift
    return pd.DataFrame(
        {
            "area": np.where(rng.random(count) < missing, np.nan, area),
            "rooms": rng.poisson(2.0, count),
            "garden": np.where(rng.random(count) < 0.9, 0.0, rng.pareto(1.2, count)),
            "town": pd.Series(town, dtype="str"),
            "id": pd.Series([f"u{i}" for i in rng.integers(0, 10**9, count)], dtype="str"),
            "price": rng.gamma(3.0, 2.0, count),
        }
    )


def drift(before, now, threshold=USUAL):
    return distance.compare(profile(before, leave_out=()), now, threshold=threshold, optional="price")


def test_agrees_with_the_formula_written_out():
    before, now = np.array([60, 30, 10]), np.array([40, 40, 20])
    e, a = [60.5 / 101.5, 30.5 / 101.5, 10.5 / 101.5], [40.5 / 101.5, 40.5 / 101.5, 20.5 / 101.5]
    expected = sum((y - x) * math.log(y / x) for x, y in zip(e, a, strict=True))
    assert distance.psi(before, now) == pytest.approx(expected)


def test_chance_agrees_with_the_chi_square_distribution():
    before, now = np.array([50, 30, 20, 0]), np.array([10, 20, 20, 0])
    bound = (1 / 100 + 1 / 50) * chi2.isf(0.001, 2)  # the empty bin counts for nothing
    assert distance.by_chance(before, now, 0.001) == pytest.approx(bound)


def test_the_same_rows_have_not_moved():
    rows = table(np.random.default_rng(0), 500)
    found = drift(rows, rows, threshold=1e-6)
    assert found.moved == 0
    assert all(shift.psi == 0 for shift in found.columns)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.sampled_from([(60, 50), (400, 50), (3000, 60), (300, 3000)]))
def test_psi_is_never_negative(seed, sizes):
    rng = np.random.default_rng(seed)
    assert all(s.psi >= 0 for s in drift(table(rng, sizes[0]), table(rng, sizes[1])).columns)


@pytest.mark.parametrize(("trained_on", "fresh"), [(60, 50), (400, 50), (3000, 50), (300, 2000), (2000, 400)])
def test_rows_of_the_same_kind_raise_no_alarm(trained_on, fresh):
    """Even a threshold that is far too sharp for so few rows: 200 trials, 1 in 100 would be expected."""
    rng = np.random.default_rng(trained_on + fresh)
    alarms = sum(drift(table(rng, trained_on), table(rng, fresh), 0.02).moved > 0 for _ in range(200))
    assert alarms <= 8


def test_without_the_bound_of_chance_few_rows_would_cry_wolf(monkeypatch):
    monkeypatch.setattr(distance, "by_chance", lambda *_: 0.0)
    rng = np.random.default_rng(1)
    alarms = sum(drift(table(rng, 400), table(rng, 50)).moved > 0 for _ in range(40))
    assert alarms > 10


@pytest.mark.parametrize(
    ("change", "column"), [({"shift": 1.0}, "area"), ({"missing": 0.3}, "area"), ({"flip": 0.4}, "town")]
)
def test_a_column_that_moved_is_named_first(change, column):
    rng = np.random.default_rng(2)
    found = drift(table(rng, 2000), table(rng, 300, **change))
    assert found.moved == 1
    assert found.columns[0].column == column
    assert found.columns[0].psi > USUAL


def test_a_label_may_be_absent_and_a_feature_may_not():
    rng = np.random.default_rng(3)
    before, now = table(rng, 200), table(rng, 200)
    assert "price" not in [s.column for s in drift(before, now.drop(columns="price")).columns]
    with pytest.raises(DataRejected, match=r"no column 'rooms', which the champion .* did you mean 'room'"):
        drift(before, now.rename(columns={"rooms": "room"}))


def test_the_columns_that_moved_most_are_told():
    rng = np.random.default_rng(4)
    before, now = (pd.DataFrame(rng.normal(size=(400, 30))).rename(columns=str) for _ in range(2))
    now["7"] += 3
    found = drift(before, now)
    assert len(found.columns) == distance.SHOWN
    assert found.columns[0].column == "7"
