from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import ConfigError
from tasks.ladder import slices
from tasks.predictions import Predictions


def of(column: pd.Series, truth: np.ndarray, predictions: Predictions, metric: str = "accuracy", train=None):
    return slices.scores(metric, "c", column if train is None else train, column, truth, predictions, seed=0)


def test_a_slice_by_the_target_is_the_recall_of_each_class():
    truth = np.repeat([0, 1], [60, 40])
    said = truth.copy()
    said[:15] = 1
    zero, one = of(pd.Series(truth), truth, Predictions(said))
    assert (zero.value, zero.rows, zero.score) == ("0", 60, 0.75)
    assert zero.low < 0.75 < zero.high
    assert (one.value, one.rows, one.score) == ("1", 40, 1.0)


def test_text_is_sliced_by_value_and_gaps_are_a_slice():
    town = pd.Series(["b", "a", None, "a"], dtype="str")
    found = of(town, np.array([1.0, 2.0, 3.0, 4.0]), Predictions(np.array([1.0, 2.0, 3.0, 5.0])), "mae")
    assert [(s.value, s.rows, s.score) for s in found] == [
        ("a", 2, 0.5),
        ("b", 1, 0.0),
        ("(missing)", 1, 0.0),
    ]


def test_a_number_with_many_values_is_cut_at_the_train_quartiles():
    train = pd.Series(np.arange(101.0))
    test = pd.Series([0.0, 25.0, 25.1, 60.0, 75.5, np.nan])
    zeros = np.zeros(6)
    found = of(test, zeros, Predictions(zeros), "mae", train)
    assert [(s.value, s.rows) for s in found] == [
        ("<= 25", 2),
        ("> 25 and <= 50", 1),
        ("> 50 and <= 75", 1),
        ("> 75", 1),
        ("(missing)", 1),
    ]


def test_the_ranges_are_those_of_the_train_rows_whatever_the_test_rows_hold():
    train, zeros = pd.Series(np.arange(101)), np.zeros(3)
    far = of(pd.Series([1000, 2000, -7]), zeros, Predictions(zeros), "mae", train)
    assert [(s.value, s.rows) for s in far] == [("<= 25", 1), ("> 75", 2)]


def test_few_distinct_numbers_are_values_in_their_own_order():
    rooms = pd.Series([10, 2, 2, 1])
    zeros = np.zeros(4)
    assert [s.value for s in of(rooms, zeros, Predictions(zeros), "mae")] == ["1", "2", "10"]


def test_rare_values_are_put_together(monkeypatch):
    monkeypatch.setattr(slices, "MOST_SLICES", 2)
    town = pd.Series(["a", "a", "b", "b", "c", "d"], dtype="str")
    zeros = np.zeros(6)
    found = of(town, zeros, Predictions(zeros), "mae")
    assert [(s.value, s.rows) for s in found] == [("a", 2), ("b", 2), ("(others)", 2)]


def test_an_undefined_metric_stays_undefined_in_a_slice():
    truth = np.repeat([0, 1], 30)
    for found in of(pd.Series(truth), truth, Predictions(truth), "balanced_accuracy"):
        assert math.isnan(found.score) and math.isnan(found.low)


@given(
    st.lists(st.none() | st.integers(-5, 60), min_size=1, max_size=60),
    st.lists(st.integers(-5, 60), min_size=1, max_size=60),
)
def test_every_row_is_in_exactly_one_slice(test, train):
    column = pd.Series(test, dtype="Int64")
    inside = [mask for _, mask in slices._masks(pd.Series(train), column)]
    assert (np.sum(inside, axis=0) == 1).all()
    assert all(mask.any() for mask in inside)


def test_an_unknown_column_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"evaluate.slices.1: no column 'twon'.*did you mean 'town'"):
        slices.check(("town", "twon"), pd.DataFrame({"town": ["a"]}))
