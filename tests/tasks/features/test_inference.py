"""Types of columns that nobody declared: a number only where nothing is lost."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import Columns
from tasks.features.inference import infer
from tasks.features.schema import ROW
from tasks.sources import typed

PLAIN = Columns()


def loaded(values: list[str | None], columns: Columns = PLAIN) -> typed.Loaded:
    cells = pa.table({"x": pa.chunked_array([pa.array(values, pa.string())])})
    return typed.load(cells, columns, "", (), written=True)


def series(values: list[str | None], columns: Columns = PLAIN) -> pd.Series:
    return loaded(values, columns).dataset.rows["x"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", "0"], "integer"),
        (["9007199254740991", "-9007199254740991"], "integer"),
        (["9007199254740992"], "category"),
        (["9223372036854775808"], "category"),
        (["1", None], "integer"),
        ([" 1", "1 "], "integer"),
        (["1", "2.5"], "number"),
        (["10.0", None], "number"),
        (["1e3", ".5", "2.", "-0", "+4"], "number"),
        (["1", "inf"], "number"),
        (["true", "FALSE", "True"], "boolean"),
        (["true", None], "boolean"),
        (["2020-01-31", None], "date"),
        (["2020-01-31 10:00", "2020-01-31T10:00:59.123456"], "date"),
        (["2020-01-01T00:00:00Z"], "date"),
        (["007", "12"], "category"),
        (["00"], "category"),
        (["0x1F", "1"], "category"),
        (["1_000", "1"], "category"),
        (["1,000", "1"], "category"),
        (["1", "NA"], "category"),
        (["1.5", "nan"], "category"),
        (["inf", "inf"], "category"),
        (["007.5"], "category"),
        (["2020-02-30"], "category"),
        (["١"], "category"),  # an Arabic digit
        ([None, None], "category"),
        (["", ""], "category"),
    ],
)
def test_types_of_texts(values: list[str | None], kind: str) -> None:
    assert infer(pa.chunked_array([pa.array(values, pa.string())]), written=True) == kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1, None], pa.int8()), "integer"),
        (pa.array([2**53], pa.int64()), "category"),
        (pa.array([2**64 - 1], pa.uint64()), "category"),
        (pa.array([1.0, None], pa.float32()), "number"),
        (pa.array([True, None]), "boolean"),
        (pa.array([0], pa.timestamp("ns", "Europe/Berlin")), "date"),
        (pa.array([0], pa.date32()), "date"),
        (pa.array(["1"]).dictionary_encode(), "category"),
        (pa.array(["1"]), "category"),
        (pa.array(["a"], pa.large_string()), "category"),
    ],
)
def test_types_of_what_is_stored(column: pa.Array, kind: str) -> None:
    assert infer(pa.chunked_array([column])) == kind


def test_text_keeps_every_value_but_the_missing_ones() -> None:
    found = series(["NA", "None", "", "null", "nan", None, "007"])
    assert found.tolist()[:2] == ["NA", "None"]
    assert found.tolist()[3:5] == ["null", "nan"]
    assert found.isna().tolist() == [False, False, True, False, False, True, False]


def test_a_number_that_float32_cant_hold_is_none() -> None:
    found = loaded(["1", "1e39", "1e999", "inf"])
    assert found.dataset.rows["x"].isna().tolist() == [False, True, True, True]
    assert found.bad == dict.fromkeys([1, 2, 3], "column 'x' holds no number")


def test_declared_columns() -> None:
    assert series(["1", "2"], Columns(categorical=("x",))).tolist() == ["1", "2"]
    assert series(["007", "08"], Columns(numeric=("x",))).tolist() == [7.0, 8.0]
    assert series([None, None], Columns(numeric=("x",))).dtype == "float64"
    assert series(["1", "2"], Columns(types={"x": "category"}, numeric=("x",))).tolist() == [1.0, 2.0]
    assert series(["1", "2"], Columns(types={"x": "integer"}, numeric=("x",))).dtype == "int64"
    assert loaded(["1", "2x"], Columns(numeric=("x",))).bad == {1: "column 'x' holds no number"}
    assert loaded(["1", "33.5"], Columns(types={"x": "integer"})).bad == {
        1: "column 'x' holds no whole number"
    }


def test_rows_are_indexed_by_id_and_can_be_changed() -> None:
    rows = loaded(["1.5", "2.5"]).dataset.rows
    assert rows.index.name == ROW
    assert rows.index.tolist() == [0, 1]
    rows.loc[0, "x"] = 9.0
    assert rows["x"].tolist() == [9.0, 2.5]


def test_a_text_among_numbers_is_doubted() -> None:
    (finding,) = loaded(["1", "2", None, "n/a", "4", "5"]).findings
    assert (finding.column, finding.count, finding.rows, finding.severity) == ("x", 1, (3,), "warn")
    assert "n/a" not in finding.message


@pytest.mark.parametrize("values", [["1", "2"], ["01234", "98765"], ["a", "b", "1"], [None]])
def test_numbers_codes_and_texts_are_not_doubted(values: list[str | None]) -> None:
    assert loaded(values).findings == ()
    assert loaded(["1", "2", "x"], Columns(categorical=("x",))).findings == ()


@given(st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1))
def test_integers_survive(values: list[int]) -> None:
    assert series([str(value) for value in values]).tolist() == values


@given(st.lists(st.floats(allow_nan=False, width=32, allow_infinity=False), min_size=1))
def test_floats_survive_bit_for_bit(values: list[float]) -> None:
    found = series([repr(value) for value in [0.5, *values]])
    np.testing.assert_array_equal(found.to_numpy(), [0.5, *values])


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_free_texts_survive(values: list[str | None]) -> None:
    found = series(["word", *values], Columns(text="x"))
    assert [None if pd.isna(value) else value for value in found] == [
        "word",
        *(value or None for value in values),
    ]
