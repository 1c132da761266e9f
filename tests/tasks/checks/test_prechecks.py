"""Each check of ours with the data that it lets through and the data that it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.checks import prechecks, suite, validation
from tasks.checks.inspection import Inspection
from tasks.config import Columns, Validate
from tasks.features.schema import ROW
from tasks.tables.opening import of_frame


def frame(**columns: Any) -> pd.DataFrame:
    rows = pd.DataFrame(columns or {"x": [1.0, 2.0, 3.0, 4.0], "k": ["a", "b", "a", "b"], "y": [1, 2, 3, 4]})
    return rows.rename_axis(index=ROW)


@pytest.fixture
def check(tmp_path: Path) -> Any:
    path = tmp_path / "expectations.json"
    entry = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
    path.write_text(json.dumps({"name": "made", "expectations": [entry]}))

    def checked(
        rows: pd.DataFrame, target: str = "y", columns: Columns | None = None, null_share: float = 0.6,
        types: dict[str, str] | None = None,
    ) -> Inspection:  # fmt: skip
        rules, known = Validate(null_share=null_share, quarantine=0.9), columns or Columns()
        opened = of_frame(rows, types)
        found, _ = validation.inspect(
            opened, suite.load(path), rules, target, "regression", known, tmp_path / "docs"
        )
        return found

    return checked


def errors(checked: Inspection) -> list[str]:
    return [finding.message for finding in checked.findings if finding.severity == "error"]


def bad(checked: Inspection) -> dict[int, tuple[str, ...]]:
    return dict(checked.listed())


def test_good_rows_pass(check: Any) -> None:
    assert (check(frame()).findings, bad(check(frame()))) == ((), {})


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (Columns(drop=("kk",)), "columns.drop names 'kk', which is not in the data"),
        (Columns(numeric=("X",)), "columns.numeric names 'X'"),
        (Columns(types={"z": "number"}), "columns.types names 'z'"),
        (
            Columns(categorical=("zzzz",)),
            "columns.categorical names 'zzzz', which is not in the data; known: x, k, y",
        ),
    ],
)
def test_named_columns_must_exist(columns: Columns, told: str) -> None:
    (finding,) = prechecks.missing_columns(["x", "k", "y"], "y", columns)
    assert finding.severity == "error"
    assert told in finding.message
    assert not prechecks.missing_columns(["x", "k", "y"], "y", Columns(drop=("k",), numeric=("x",)))


def test_misspelt_target_gets_the_nearest_name(check: Any) -> None:
    rows = frame(Sale_Price=[1, 2], x=[1, 2])
    assert "did you mean 'Sale_Price'?" in errors(check(rows, target="Sale_price"))[0]


def test_target_without_any_value(check: Any) -> None:
    checked = check(frame(x=[1, 2], y=[None, None]), types={"y": "number"})
    assert errors(checked) == ["target 'y' has no value in any of 2 rows"]
    assert bad(checked) == {}  # the error says it all; setting every row aside says it again


@pytest.mark.parametrize("hole", [None, "", "  "])
def test_rows_without_a_target_are_set_aside(check: Any, hole: str | None) -> None:
    checked = check(frame(x=[1, 2, 3], y=["a", hole, "b"]))
    assert bad(checked) == {1: ("y: target missing",)}


@pytest.mark.parametrize("kind", ["float64", "Float64", "float32"])
def test_numbers_that_are_none_set_their_row_aside(check: Any, kind: str) -> None:
    rows = frame(x=pd.array([1.0, np.inf, 3.0, -np.inf], dtype=kind), y=[1.0, np.nan, 1e39, 4.0])
    assert bad(check(rows)) == {
        1: ("column 'x' holds no number", "y: target missing"),
        2: ("column 'y' holds no number",),
        3: ("column 'x' holds no number",),
    }


def test_infinity_in_a_dropped_column_does_no_harm(check: Any) -> None:
    rows = frame(x=[1.0, np.inf], y=[1, 2])
    assert bad(check(rows, columns=Columns(drop=("x",)))) == {}


def test_feature_without_any_value(check: Any) -> None:
    rows = frame(x=[None, None], k=[1, 2], y=[1, 2])
    checked = check(rows)
    assert errors(checked) == ["column 'x' has no value in any of 2 rows"]
    assert checked.findings[0].rows == (0, 1)
    assert not errors(check(rows, columns=Columns(drop=("x",))))
    described = frame(x=["a", "b"], k=[None, None], y=[1, 2])
    assert not errors(check(described, columns=Columns(text="x")))


def test_null_share_warns_above_the_limit_only(check: Any) -> None:
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
