"""A profile counts every row once, quotes no cell, and comes back from JSON."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.profile import Column, Profile, counts, profile
from tasks.records import from_json, to_json


def one(values, **words) -> Column:
    return profile(pd.DataFrame({"x": values}), leave_out=(), **words).columns[0]


def test_numbers_are_counted_between_deciles():
    column = one(np.arange(1, 101, dtype=float))
    assert column.edges == tuple(range(10, 100, 10))
    assert column.counts == (*[10] * 10, 0)


def test_the_same_number_is_never_in_two_bins():
    column = one([0.0] * 90 + [1.0] * 10)
    assert sum(column.counts) == 100
    assert sorted(column.counts)[-2:] == [10, 90]


def test_a_value_below_a_heaped_least_one_is_seen():
    column = one([0.0] * 95 + [1.0] * 5)
    below = counts(column, pd.Series([-1.0, 0.0]))
    assert (below > 0).sum() == 2  # not in the bin of zero


def test_missing_is_counted_last_in_every_type():
    frame = pd.DataFrame(
        {
            "number": [1.5, None, 2.5],
            "text": pd.Series(["a", None, "b"], dtype="str"),
            "date": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "zoned": pd.to_datetime(["2026-01-01", None, "2026-01-03"], utc=True),
        }
    )
    found = profile(frame, leave_out=())
    assert [column.type for column in found.columns] == ["number", "category", "date", "date"]
    assert [column.counts[-1] for column in found.columns] == [1, 1, 1, 1]
    assert all(sum(column.counts) == 3 for column in found.columns)


def test_a_column_without_a_value_is_all_missing():
    assert one(np.full(30, np.nan)).counts == (0, 30)


def test_frequent_values_have_a_count_of_their_own_and_rare_ones_share_one():
    column = one(pd.Series(["a"] * 60 + ["b"] * 30 + [f"id {i}" for i in range(10)], dtype="str"))
    assert column.counts == (60, 30, 10, 0)


def test_ids_have_no_level():
    assert one(pd.Series([f"id {i}" for i in range(300)], dtype="str")).counts == (300, 0)


def test_labels_are_counted_by_value_though_they_are_numbers():
    column = one([1] * 20 + [7] * 30, labels=("x",))
    assert column.edges is None
    assert column.counts == (30, 20, 0, 0)
    assert counts(column, pd.Series([7.0, 7.0, 3.0])).tolist() == [2, 0, 1, 0]  # 7 is 7 as a float too


def test_columns_that_are_left_out_are_not_looked_at():
    frame = pd.DataFrame({"a": [1.0], "when": [2.0]})
    assert [column.name for column in profile(frame, leave_out=("when",)).columns] == ["a"]


def test_no_cell_is_quoted():
    found = profile(
        pd.DataFrame({"name": pd.Series(["secret"] * 20, dtype="str"), "flag": [True] * 20}), leave_out=()
    )
    text = json.dumps(to_json(found))
    assert "secret" not in text
    assert from_json(Profile, json.loads(text)) == found


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False) | st.none(), min_size=1, max_size=80))
def test_every_row_is_counted_once(values):
    column = one(np.array([np.nan if value is None else value for value in values]))
    assert sum(column.counts) == len(values)
    assert counts(column, pd.Series(values, dtype="float64")).tolist() == list(column.counts)


@pytest.mark.parametrize("values", [["4", "x", None], [4, 5, 6]])
def test_rows_of_another_type_are_read_as_the_profile_s(values):
    number = one(np.arange(10, dtype=float))
    assert counts(number, pd.Series(values)).sum() == 3
    assert counts(number, pd.Series(["4", "x", None]))[-1] == 2
