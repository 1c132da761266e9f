"""Each check of ours with the data that it lets through and the data that it does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.checks import prechecks
from tasks.config import Columns


def frame(**columns) -> pd.DataFrame:
    rows = pd.DataFrame(columns or {"x": [1.0, 2.0, 3.0, 4.0], "k": ["a", "b", "a", "b"], "y": [1, 2, 3, 4]})
    return rows.rename_axis(index="row")


def check(rows, target="y", columns=None, null_share=0.6, apart=()):
    return prechecks.check(
        rows, target=target, columns=columns or Columns(), null_share=null_share, apart=apart
    )


def errors(checked) -> list[str]:
    return [finding.message for finding in checked.findings if finding.severity == "error"]


def test_good_rows_pass() -> None:
    assert check(frame()) == prechecks.Checked(())


def test_no_rows() -> None:
    checked = check(frame().iloc[:0])
    assert errors(checked) == ["the data has 0 rows"]
    assert not checked.readable


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["x", "x", "y"], "2 columns are named 'x'"),
        (["x", "", "y"], "column 2 has no name"),
        (["x", "  ", "y"], "column 2 has no name"),
        (["x", 7, "y"], "column 2 has no name"),
        (["x", "k" * 300, "y"], "300 characters"),
    ],
)
def test_column_names(names, told) -> None:
    rows = frame()
    rows.columns = pd.Index(names, dtype=object)
    checked = check(rows)
    assert len(errors(checked)) == 1
    assert told in errors(checked)[0]
    assert not checked.readable


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (Columns(drop=("kk",)), "columns.drop names 'kk', which is not in the data"),
        (Columns(numeric=("X",)), "columns.numeric names 'X'"),
        (
            Columns(categorical=("zzzz",)),
            "columns.categorical names 'zzzz', which is not in the data; known: x, k, y",
        ),
    ],
)
def test_named_columns_must_exist(columns, told) -> None:
    assert told in errors(check(frame(), columns=columns))[0]
    assert not errors(check(frame(), columns=Columns(drop=("k",), numeric=("x",))))


def test_misspelt_target_gets_the_nearest_name() -> None:
    rows = frame(Sale_Price=[1, 2], x=[1, 2])
    assert "did you mean 'Sale_Price'?" in errors(check(rows, target="Sale_price"))[0]


def test_target_without_any_value() -> None:
    checked = check(frame(x=[1, 2], y=[None, None]))
    assert errors(checked) == ["target 'y' has no value in any of 2 rows"]
    assert checked.bad == {}  # the error says it all; setting every row aside says it again


@pytest.mark.parametrize("hole", [None, "", "  "])
def test_rows_without_a_target_are_set_aside(hole) -> None:
    checked = check(frame(x=[1, 2, 3], y=["a", hole, "b"]))
    assert not errors(checked)
    assert checked.bad == {1: ("y: target missing",)}


@pytest.mark.parametrize("kind", ["float64", "Float64", "float32"])
def test_infinite_numbers_are_set_aside(kind) -> None:
    rows = frame(x=pd.array([1.0, np.inf, 3.0, -np.inf], dtype=kind), y=[1.0, np.nan, np.inf, 4.0])
    bad = check(rows).bad
    assert bad == {1: ("y: target missing", "x: not finite"), 2: ("y: not finite",), 3: ("x: not finite",)}


def test_infinity_in_a_dropped_column_does_no_harm() -> None:
    rows = frame(x=[1.0, np.inf], y=[1, 2])
    assert check(rows, columns=Columns(drop=("x",))).bad == {}


def test_feature_without_any_value() -> None:
    rows = frame(x=[None, None], k=[1, 2], y=[1, 2])
    checked = check(rows)
    assert errors(checked) == ["column 'x' has no value in any of 2 rows"]
    assert checked.findings[0].rows == (0, 1)
    assert not errors(check(rows, columns=Columns(drop=("x",))))
    assert not errors(check(rows, apart=("x",)))


def test_null_share_warns_above_the_limit_only() -> None:
    rows = frame(x=[1, None, None, None], k=[1, 2, 3, None], y=[1, 2, 3, 4])
    [finding] = check(rows, null_share=0.6).findings
    assert (finding.severity, finding.column, finding.count) == ("warn", "x", 3)
    assert "75.0%" in finding.message
    assert check(rows, null_share=0.75).findings == ()


def target(values) -> pd.Series:
    return pd.Series(values, name="y")


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (["1", "2"], "regression", "regression needs numbers"),
        ([True, False], "regression", "regression needs numbers"),
        ([5.0, 5.0, 5.0], "regression", "the same value in all 3 rows"),
        (["a", "a"], "classification", "has 1 class in 2 rows"),
        (["a", "a", "b"], "classification", "1 class has a single row"),
        ([1, 2, 3], "classification", "3 classes have a single row each"),
    ],
)
def test_bad_targets(values, kind, told) -> None:
    [finding] = prechecks.check_target(target(values), kind)
    assert finding.severity == "error"
    assert told in finding.message


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.5, 2], "regression"), ([1, 2], "regression"), (["a", "b", "a", "b"], "classification")],
)
def test_good_targets(values, kind) -> None:
    assert prechecks.check_target(target(values), kind) == []


def test_lone_classes_are_named_by_row_not_by_value() -> None:
    [finding] = prechecks.check_target(target(["secret", "b", "b"]), "classification")
    assert finding.rows == (0,)
    assert "secret" not in finding.message


@given(st.lists(st.one_of(st.none(), st.floats(width=32)), min_size=1, max_size=30))
def test_what_is_left_is_finite(values) -> None:
    rows = frame(x=range(len(values)), y=pd.array(values, dtype="float64"))
    checked = check(rows)
    left = rows["y"].drop(index=list(checked.bad))
    assert np.isfinite(left).all() or errors(checked)
    assert all(not np.isfinite(rows["y"][row]) for row in checked.bad)
