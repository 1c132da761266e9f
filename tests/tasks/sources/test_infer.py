"""Types of text columns: a number only where nothing is lost."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import Columns
from tasks.errors import DataRejected
from tasks.sources import infer

PLAIN = Columns()


def series(values: list[str | None], columns: Columns = PLAIN) -> pd.Series:
    table = infer.typed(pa.table({"x": pa.chunked_array([pa.array(values, pa.string())])}), columns, "t.csv")
    return infer.frame(table)["x"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["1", "-20", "0"], "int64"),
        (["9223372036854775807", "-9223372036854775808"], "int64"),
        (["1", None], "float64"),
        (["1", "2.5"], "float64"),
        (["1e3", ".5", "2.", "-0", "+4"], "float64"),
        (["1", "inf"], "float64"),
        (["true", "FALSE", "True"], "bool"),
        (["2020-01-31", None], "datetime64[us]"),
        (["2020-01-31 10:00", "2020-01-31T10:00:59.123456"], "datetime64[us]"),
        (["007", "12"], "str"),
        (["00"], "str"),
        (["0x1F", "1"], "str"),
        (["1_000", "1"], "str"),
        (["1,000", "1"], "str"),
        ([" 1", "1"], "str"),
        (["1", ""], "str"),
        (["1", "NA"], "str"),
        (["1.5", "nan"], "str"),
        (["inf", "inf"], "str"),
        (["007.5"], "str"),
        (["true", None], "str"),
        (["2020-02-30"], "str"),
        (["2020-01-01T00:00:00Z"], "str"),
        (["1\n"], "str"),
        (["١"], "str"),  # an Arabic digit
        ([None, None], "str"),
    ],
)
def test_types(values: list[str | None], dtype: str) -> None:
    assert series(values).dtype == dtype


def test_text_keeps_every_value_but_the_missing_one() -> None:
    found = series(["NA", "None", "", "null", "nan", None, "007"])
    assert found.tolist()[:5] == ["NA", "None", "", "null", "nan"]
    assert found.isna().tolist() == [False] * 5 + [True, False]


def test_a_number_too_large_for_float_is_infinite_for_validation_to_find() -> None:
    assert np.isposinf(series(["1", "1e999"])[1])


def test_declared_columns() -> None:
    assert series(["1", "2"], Columns(categorical=("x",))).tolist() == ["1", "2"]
    assert series(["007", "08"], Columns(numeric=("x",))).tolist() == [7.0, 8.0]
    assert series(["1", "2"], Columns(numeric=("x",))).dtype == "int64"
    assert series([None, None], Columns(numeric=("x",))).dtype == "float64"
    assert series(["1", "2x"], Columns(numeric=("x",))).tolist() == ["1", "2x"]


@pytest.mark.parametrize(
    "values", [["9223372036854775808"], ["9007199254740993", None], ["-9007199254740993", None]]
)
def test_integers_that_would_be_rounded_are_refused(values: list[str | None]) -> None:
    with pytest.raises(DataRejected, match=r"t\.csv: column 'x' holds integers .* columns\.categorical"):
        series(values)
    assert series(values, Columns(categorical=("x",)))[0] == values[0]
    assert series(values, Columns(numeric=("x",))).dtype == "float64"


def test_rows_are_indexed_by_id_and_can_be_changed() -> None:
    rows = infer.frame(pa.table({"x": [1.5, 2.5]}))
    assert rows.index.name == "row"
    assert rows.index.tolist() == [0, 1]
    rows.loc[0, "x"] = 9.0
    assert rows["x"].tolist() == [9.0, 2.5]


def doubts(values: list[str | None], columns: Columns = PLAIN) -> tuple[object, ...]:
    table = infer.typed(pa.table({"x": pa.chunked_array([pa.array(values, pa.string())])}), columns, "t.csv")
    return infer.doubts(table, columns, offset=100)


def test_a_text_among_numbers_is_doubted() -> None:
    (finding,) = doubts(["1", "2", None, "n/a", "4", "5"])
    assert (finding.column, finding.count, finding.rows, finding.severity) == ("x", 1, (103,), "warn")
    assert "n/a" not in finding.message


@pytest.mark.parametrize("values", [["1", "2"], ["01234", "98765"], ["a", "b", "1"], [None]])
def test_numbers_codes_and_texts_are_not_doubted(values: list[str | None]) -> None:
    assert doubts(values) == ()
    assert doubts(["1", "2", "x"], Columns(categorical=("x",))) == ()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_survive(values: list[int]) -> None:
    assert series([str(value) for value in values]).tolist() == values


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_survive_bit_for_bit(values: list[float]) -> None:
    found = series([repr(value) for value in [0.5, *values]])
    np.testing.assert_array_equal(found.to_numpy(), [0.5, *values])


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_texts_survive_beside_a_word(values: list[str | None]) -> None:
    found = series(["word", *values])
    assert [None if pd.isna(value) else value for value in found] == ["word", *values]
