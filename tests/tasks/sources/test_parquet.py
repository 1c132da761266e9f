"""Parquet bytes: cells of every type that can hold a value, and a reason for everything else."""

import datetime
import io
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import Columns
from tasks.errors import DataFormatError, DataRejected, ModelyardError, ResourceLimit, UnsafeInput
from tasks.sources import files, parquet, typed
from tasks.sources.files import Content


def packed(table: pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def loaded(data: bytes, columns: Columns = Columns()) -> typed.Loaded:  # noqa: B008 - frozen
    return typed.load(parquet.parse(Content("table", "t.parquet", data)), columns, "", ())


def frame(data: bytes, columns: Columns = Columns()) -> pd.DataFrame:  # noqa: B008 - frozen
    return loaded(data, columns).dataset.rows


def refused(data: bytes) -> ModelyardError:
    with pytest.raises(ModelyardError) as caught:
        frame(data)
    assert "\n" not in str(caught.value)
    return caught.value


GOOD = packed(pa.table({"a": [1, 2, 3], "b": ["x", None, "NA"]}))
FOOTER = int.from_bytes(GOOD[-8:-4], "little")


def test_plain_types() -> None:
    table = pa.table(
        {
            "small": pa.array([1, 2], pa.int8()),
            "holes": pa.array([1, None], pa.int32()),
            "half": pa.array([0.5, 1.5], pa.float32()),
            "yes": [True, False],
            "maybe": [True, None],
            "text": ["007", None],
            "large": pa.array(["NA", ""], pa.large_string()),
            "category": pa.array(["u", "v"]).dictionary_encode(),
            "day": [datetime.date(2020, 1, 2), None],
            "time": pa.array([0, 1], pa.timestamp("us")),
            "zoned": pa.array([0, 3600], pa.timestamp("s", tz="Europe/Berlin")),
            "price": pa.array([Decimal("1.50"), None]),
        }
    )
    rows = frame(packed(table))
    kinds = {name: str(kind) for name, kind in rows.dtypes.items()}
    assert kinds == {
        "small": "int64", "holes": "Int64", "half": "float64", "yes": "bool", "maybe": "boolean",
        "text": "str",
        "large": "str", "category": "str", "day": "datetime64[us]", "time": "datetime64[us]",
        "zoned": "datetime64[us]", "price": "float64",
    }  # fmt: skip
    assert rows["text"][0] == "007"
    assert rows["large"].isna().tolist() == [False, True]
    assert rows["maybe"][0]
    assert rows["price"][0] == 1.5
    assert rows["zoned"][1] == pd.Timestamp("1970-01-01 01:00")


def test_text_declared_numeric_is_read_as_numbers() -> None:
    data = packed(pa.table({"a": ["1", "2.5"], "b": ["1", "?"]}))
    found = loaded(data, Columns(numeric=("a", "b")))
    assert found.dataset.rows["a"].tolist() == [1.0, 2.5]
    assert found.bad == {1: "column 'b' holds no number"}


def test_pandas_own_index_is_left_out() -> None:
    file = io.BytesIO()
    pd.DataFrame({"a": [1, 2]}, index=[5, 9]).to_parquet(file)
    rows = frame(file.getvalue())
    assert rows.columns.tolist() == ["a"]
    assert rows.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"PAR1", "PAR1 is missing"),
        (b"PAR1PAR1", "not a readable Parquet file"),
        (GOOD[: len(GOOD) // 2], "PAR1 is missing"),
        (GOOD[:-3], "PAR1 is missing"),
        (GOOD[:-8] + b"\xff\xff\xff\x7fPAR1", "not a readable Parquet file"),
        (GOOD[:-8] + b"\x00\x00\x00\x00PAR1", "not a readable Parquet file"),
        (GOOD[: -8 - FOOTER] + bytes(FOOTER) + GOOD[-8:], "not a readable Parquet file"),
        (b"a,b\n1,2\n", "PAR1 is missing"),
        (b"ARROW1\x00\x00rest", "got an Arrow IPC file; expected a Parquet file"),
        (b"\x1f\x8b\x08rest", "got gzip data; expected a Parquet file"),
    ],
)
def test_unreadable(data: bytes, words: str) -> None:
    error = refused(data)
    assert type(error) is DataFormatError
    assert words in str(error)
    assert str(error).startswith("t.parquet: ")


def test_a_damaged_page_is_unreadable() -> None:
    table = pa.table({"a": ["some text that is long enough to pack"] * 500})
    data = bytearray(packed(table, compression="snappy", use_dictionary=False))
    data[200:230] = b"\xff" * 30
    assert "not a readable Parquet file" in str(refused(bytes(data)))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([{"x": 1}]), "struct<x: int64>"),
        (pa.array([[1]]), "list<element: int64>"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "map<string, int64 ('c')>"),
        (pa.array([b"raw"]), "binary"),
        (pa.array([None], pa.null()), "null"),
        (pa.array([1], pa.time32("s")), "time32[ms]"),
        (pa.array([1], pa.duration("s")), "duration[s]"),
    ],
)
def test_types_that_are_refused(column: pa.Array, kind: str) -> None:
    error = refused(packed(pa.table({"a": [1], "c": column})))
    assert type(error) is DataRejected
    assert f"column 'c' has type {kind}" in str(error)
    assert "accepted: whole numbers, float, decimal, bool, string, date, timestamp" in str(error)


def test_int96_is_a_time() -> None:
    times = pa.table({"t": pa.array([10**18], pa.timestamp("ns"))})
    assert frame(packed(times, use_deprecated_int96_timestamps=True))["t"][0] == pd.Timestamp(10**18)


def test_names_are_checked() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert "two columns are called 'a': columns 1 and 2" in str(refused(packed(twice)))
    assert "column 2: the name is empty" in str(refused(packed(pa.table({"a": [1], "": [2]}))))


def test_no_rows() -> None:
    assert "0 rows" in str(refused(packed(pa.table({"a": pa.array([], pa.int64())}))))


def test_whole_numbers_that_float64_cant_tell_apart_are_codes() -> None:
    assert frame(packed(pa.table({"a": pa.array([2**63], pa.uint64())})))["a"].tolist() == [str(2**63)]
    assert frame(packed(pa.table({"a": pa.array([5], pa.uint64())})))["a"].tolist() == [5]
    holes = packed(pa.table({"a": [2**53 + 1, None]}))
    assert frame(holes)["a"][0] == str(2**53 + 1)
    assert loaded(holes, Columns(types={"a": "integer"})).bad == {0: "column 'a' holds no whole number"}


def test_text_that_is_no_utf8_is_refused() -> None:
    broken = pa.StringArray.from_buffers(
        1, pa.py_buffer(np.array([0, 1], np.int32).tobytes()), pa.py_buffer(b"\xff")
    )
    error = refused(packed(pa.table({"a": broken}), store_schema=False))
    assert error.exit_code == 3


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(frame(GOOD)) == 3
    monkeypatch.setattr(parquet, "MAX_ROWS", 2)
    assert "claims 3 rows; the limit is 2" in str(refused(GOOD))
    monkeypatch.undo()
    repeated = packed(pa.table({"a": [7] * 100_000}))
    assert len(repeated) < 4000
    monkeypatch.setattr(files, "MAX_BYTES", 500_000)
    error = refused(repeated)
    assert type(error) is ResourceLimit
    assert "claims 800,000 bytes of values; the limit is 500,000" in str(error)


def test_pickled_extension_types_are_unsafe() -> None:
    field = pa.field("a", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type"})
    data = packed(pa.table([pa.array([1])], schema=pa.schema([field])))
    assert type(refused(data)) is UnsafeInput


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_read_or_refused(place: int, mask: int) -> None:
    data = bytearray(GOOD)
    data[place] ^= mask
    try:
        rows = frame(bytes(data))
    except ModelyardError as error:
        assert error.exit_code in (3, 7, 9)
    else:
        assert len(rows)
