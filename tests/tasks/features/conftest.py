"""Random typed tables, and every way in which their cells may reach the product.

A table is made of values whose canonical form is known; each way stores them in one of the physical types
that hold them exactly, and gives back cells as its reader does.
"""

from __future__ import annotations

import datetime
import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tasks.features import Schema
from tasks.registry.serving import parsing
from tasks.sources import delimited, parquet
from tasks.sources.files import Content

Cells = pa.Table | pd.DataFrame

NAMES = ("row", "index", "target", "prediction", "part", "file", "error", "größe, in m", "x")
"""Names that our own columns might have had, and others that need quotes."""

LARGEST = float(np.finfo(np.float32).max)
EXACT = 2**53
ZONES = ("+00:00", "Z", "+02:00", "-0330", " UTC")

WRONG: dict[str, list[Any]] = {
    "number": [1e300, -1e39, float("inf"), float("-inf")],
    "integer": [33.5, -0.25, float(2**53), 1e300],
    "boolean": [2, -1],
    "integer wide": [2**53, -(2**62)],
}
"""Values that a type can't hold, though columns of other types can."""


@dataclass(frozen=True)
class Column:
    """A column of made cells.

    Attributes:
        name: Its name.
        kind: Its type.
        values: (n,) what is stored; None for a gap.
        truth: (n,) the canonical values; None for a gap and for what is no value of the type.
    """

    name: str
    kind: str
    values: list[Any]
    truth: list[Any]

    @property
    def unreadable(self) -> list[bool]:
        """Which cells hold no value of the type."""
        return [v is not None and t is None for v, t in zip(self.values, self.truth, strict=True)]

    def at(self, rows: Sequence[int]) -> Column:
        """Some of its rows."""
        picked = ([cells[row] for row in rows] for cells in (self.values, self.truth))
        return Column(self.name, self.kind, *picked)


# --- tables -------------------------------------------------------------------------------------------


def _texts() -> st.SearchStrategy[str]:
    words = (
        "NA",
        "None",
        "null",
        "nan",
        "NaN",
        "N/A",
        "-",
        "true ",
        "007",
        "0x1F",
        "1e5",
        "a",
        "b",
        " b",
        "ß",
    )
    characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
    return st.one_of(st.sampled_from(words), st.text(characters, min_size=1, max_size=6))


def _one_spelling(text: str) -> bool:
    """Whether a category leaves a text as it is."""
    return text.lower() not in ("true", "false") and not (text.endswith(".0") or text == "-0")


def _moments() -> st.SearchStrategy[datetime.datetime]:
    low, high = datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)
    days = st.dates(low.date(), high.date()).map(lambda day: datetime.datetime(day.year, day.month, day.day))
    seconds = st.datetimes(low, high).map(lambda moment: moment.replace(microsecond=0))
    ancient = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
    return st.one_of(days, seconds, st.datetimes(low, high), ancient)


def _wholes() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 9), st.integers(-100, 100), st.integers(1 - EXACT, EXACT - 1))


FAMILIES: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "floats": ("number", st.floats(-LARGEST, LARGEST)),
    "narrow floats": ("number", st.floats(-1e4, 1e4, width=16)),
    "hundredths": ("number", st.integers(-(10**6), 10**6).map(lambda whole: whole / 100)),
    "whole numbers": ("number", _wholes().map(float)),
    "integers": ("integer", _wholes()),
    "small integers": ("integer", st.integers(0, 100)),
    "truths": ("boolean", st.booleans()),
    "texts": ("text", _texts()),
    "keys": ("key", _texts().filter(_one_spelling)),
    "categories": ("category", _texts().filter(_one_spelling)),
    "codes": ("category", _wholes()),
    "fractions": ("category", st.sampled_from([0.5, 1.0, 2.25, -3.0, 1e-7, 1e22])),
    "truths as categories": ("category", st.booleans()),
    "days as categories": ("category", _moments().map(lambda moment: moment.replace(microsecond=0))),
    "moments": ("date", _moments()),
    "days": (
        "date",
        st.dates(datetime.date(1700, 1, 1)).map(lambda d: datetime.datetime(d.year, d.month, d.day)),
    ),
}
"""Columns of values that some of the physical types can hold, each with its type."""


@st.composite
def _tables(draw: st.DrawFn, wrong: bool = True) -> list[Column]:
    """A table of two to nine columns and a few rows; with `wrong`, some cells hold no value of their type."""
    count = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, unique=True))
    columns = []
    for name in names:
        kind, values = FAMILIES[draw(st.sampled_from(list(FAMILIES)))]
        cells = st.one_of(values, values, values, st.none())
        found = draw(st.lists(cells, min_size=count, max_size=count))
        truth = [canonical(kind, value) for value in found]
        if wrong and kind in WRONG and draw(st.booleans()):
            bad = draw(st.sampled_from([key for key in WRONG if key.startswith(kind)]))
            for row in draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2)):
                found[row], truth[row] = draw(st.sampled_from(WRONG[bad])), None
        columns.append(Column(name, kind, found, truth))
    return columns


def canonical(kind: str, value: Any) -> Any:
    """The canonical value of a stored one, by a rule of its own."""
    if value is None or kind not in ("category", "key"):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(" ")
    return str(value)


def schema(columns: list[Column]) -> Schema:
    """Names and types of some columns."""
    return Schema({column.name: column.kind for column in columns})


STORAGE = {
    "number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.timestamp("us"),
    "category": pa.string(), "text": pa.string(), "key": pa.string(),
}  # fmt: skip


def truth(columns: list[Column]) -> pa.Table:
    """The table in canonical values."""
    return pa.table({c.name: pa.array(c.truth, STORAGE[c.kind]) for c in columns})


# --- how one value may be written ---------------------------------------------------------------------


def spelled(column: Column, value: Any, pick: random.Random) -> str:
    """A text that the column's type reads as the value."""
    if isinstance(value, bool):
        words = ("true", "True", "TRUE") if value else ("false", "False", "FALSE")
        more = ("yes", "YES", "1", "1.0") if value else ("no", "No", "0", "0.0")
        return pick.choice(words + (more if column.kind == "boolean" else ()))
    if isinstance(value, datetime.datetime):
        return _dated(column, value, pick)
    if isinstance(value, int):
        return pick.choice((str(value), f"{value}.0"))
    if isinstance(value, float) and column.kind != "category":
        texts = [repr(value), f" {value!r} ", *([f"+{value!r}"] if value > 0 else [])]
        if np.isfinite(value) and value == int(value) and abs(value) < EXACT:
            texts.append(str(int(value)))
        return pick.choice(texts)
    return str(value)


def _dated(column: Column, moment: datetime.datetime, pick: random.Random) -> str:
    if column.kind == "category":
        return str(column.truth[column.values.index(moment)])
    if moment.time() == datetime.time() and pick.random() < 0.5:
        return moment.date().isoformat()
    zone = pick.choice(("", *ZONES))
    shift = {"+02:00": 120, "-0330": -210}.get(zone, 0)
    return (moment + datetime.timedelta(minutes=shift)).isoformat(pick.choice(" T")) + zone


def _as_object(column: Column, value: Any, pick: random.Random) -> Any:
    """An object that the column's type reads as the value."""
    if value is None:
        return pick.choice((None, None, float("nan"), np.nan, pd.NA, pd.NaT))
    if isinstance(value, bool):
        return pick.choice((value, np.bool_(value), spelled(column, value, pick)))
    if isinstance(value, int):
        return pick.choice((value, np.int64(value), Decimal(value), spelled(column, value, pick)))
    if isinstance(value, float):
        exact = () if column.kind == "category" else (Decimal(repr(value)),)
        return pick.choice((value, np.float64(value), *exact, spelled(column, value, pick)))
    if isinstance(value, datetime.datetime):
        day = (value.date(),) if value.time() == datetime.time() else ()
        stamp = (pd.Timestamp(value), np.datetime64(value, "us"))
        return pick.choice((value, *day, *stamp, spelled(column, value, pick)))
    return value


# --- Arrow --------------------------------------------------------------------------------------------


def arrow(column: Column, pick: random.Random, among: tuple[pa.DataType, ...] | None = None) -> pa.Array:
    """The column in a random one of the Arrow types that hold all of its values exactly."""
    types = list(among or _TYPES[_sort(column)])
    pick.shuffle(types)
    found = next(array for stored in types if (array := _stored(column, stored, pick)) is not None)
    if pa.types.is_string(found.type) and pick.random() < 0.5:
        return found.dictionary_encode()
    return found


def _sort(column: Column) -> type:
    """The widest Python class among the values."""
    there = {type(value) for value in column.values} - {type(None)}
    return next(kind for kind in (float, int, bool, datetime.datetime, str) if not there or kind in there)


_REALS = (pa.float64(), pa.float32(), pa.float16(), pa.decimal128(30, 6), pa.int64())
_WHOLE = (
    pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float32(), pa.float64(), pa.decimal128(30, 0), pa.string(),
)  # fmt: skip
_MOMENTS = (
    pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.date32(),
    pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("ms", "+05:30"),
)  # fmt: skip
_TEXT = (pa.string(), pa.large_string(), pa.string_view())
_TYPES: dict[type, tuple[pa.DataType, ...]] = {
    float: (*_REALS, pa.string()),
    int: _WHOLE,
    bool: (pa.bool_(), pa.int8(), pa.float64(), pa.string()),
    datetime.datetime: (*_MOMENTS, pa.string()),
    str: _TEXT,
}


def _stored(column: Column, stored: pa.DataType, pick: random.Random) -> pa.Array | None:
    """The column as an Arrow type, or None where that can't hold a value exactly."""
    if pa.types.is_string(stored) and _sort(column) is not str:
        return pa.array([None if v is None else spelled(column, v, pick) for v in column.values], stored)
    if column.kind == "category" and _sort(column) is bool and not pa.types.is_boolean(stored):
        return None  # 1 is no spelling of true where nothing says that it is a truth value
    if column.kind == "category" and _sort(column) is float and pa.types.is_decimal(stored):
        return None  # 0.500000 is another text
    try:
        return _exact(column.values, stored)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return None


def _exact(values: list[Any], stored: pa.DataType) -> pa.Array | None:
    if pa.types.is_timestamp(stored) or pa.types.is_date(stored):
        plain = pa.array(values, pa.timestamp("us"))
        if pa.types.is_date(stored):
            return (
                plain.cast(stored) if all(v is None or v.time() == datetime.time() for v in values) else None
            )
        return plain.cast(pa.timestamp(stored.unit)).cast(stored)  # the moment stays, the zone is told
    if pa.types.is_decimal(stored):
        made = pa.array([None if v is None else Decimal(repr(+v)) for v in values], stored)
        return made if [None if v is None else float(v) for v in made.to_pylist()] == values else None
    if pa.types.is_floating(stored):
        floats = np.array([np.nan if v is None else v for v in values], np.float64)
        with np.errstate(over="ignore"):
            narrow = floats.astype(stored.to_pandas_dtype())
        if not np.array_equal(narrow.astype(np.float64), floats, equal_nan=True):
            return None
        if any(isinstance(v, int) and int(v) != int(f) for v, f in zip(values, floats, strict=True)):
            return None
        return pa.array(narrow, stored, mask=np.isnan(floats))
    if pa.types.is_integer(stored):
        if any(isinstance(v, float) and v != int(v) for v in values):
            return None
        return pa.array([None if v is None else int(v) for v in values], stored)
    return pa.array(values, stored)


# --- the ways in --------------------------------------------------------------------------------------


def csv_bytes(columns: list[Column], pick: random.Random, delimiter: str = ",") -> bytes:
    """The table as text, each cell in one of its spellings, with quotes where it needs them or anyway."""
    always, end = pick.random() < 0.3, pick.choice(("\n", "\r\n"))

    def quoted(text: str) -> str:
        needed = any(mark in text for mark in (delimiter, '"', "\n", "\r"))
        return '"' + text.replace('"', '""') + '"' if needed or (always and text) else text

    lines = [[column.name for column in columns]]
    for row in range(len(columns[0].values)):
        cells = ((column, column.values[row]) for column in columns)
        lines.append(["" if value is None else spelled(column, value, pick) for column, value in cells])
    return "".join(delimiter.join(map(quoted, line)) + end for line in lines).encode()


def parquet_bytes(columns: list[Column], pick: random.Random, **options: Any) -> bytes:
    """The table as Parquet, each column in one of its physical types."""
    sink = io.BytesIO()
    made = pa.table({column.name: arrow(column, pick) for column in columns})
    pq.write_table(made, sink, **options)
    return sink.getvalue()


def _of_csv(columns: list[Column], pick: random.Random) -> Cells:
    return delimited.parse(csv_bytes(columns, pick), "made.csv", ",")


def _of_tsv(columns: list[Column], pick: random.Random) -> Cells:
    return delimited.parse(csv_bytes(columns, pick, "\t"), "made.tsv", "\t")


def _of_parquet(columns: list[Column], pick: random.Random) -> Cells:
    return parquet.parse(Content("table", "made.parquet", parquet_bytes(columns, pick)))


def _of_int96(columns: list[Column], pick: random.Random) -> Cells:
    moments = (pa.timestamp("ns"), pa.timestamp("us"), pa.string())
    arrays = {
        c.name: arrow(c, pick, (*moments[:1], pa.string()) if _sort(c) is datetime.datetime else None)
        for c in columns
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, use_deprecated_int96_timestamps=True)
    return parquet.parse(Content("table", "made.parquet", sink.getvalue()))


def _frame(columns: list[Column], make: Callable[[Column], Any]) -> pd.DataFrame:
    """A frame of made columns; its index is not the rows' numbers."""
    rows = len(columns[0].values)
    made = {column.name: pd.Series(make(column)) for column in columns}
    return pd.DataFrame(made).set_axis(pd.Index([f"#{rows - row}" for row in range(rows)]), axis=0)


def _numpy(column: Column, pick: random.Random) -> Any:
    """The NumPy dtype that pandas itself would choose: floats for whole numbers beside a gap."""
    sort, gaps = _sort(column), None in column.values
    if sort is datetime.datetime:
        return arrow(column, pick, (*_MOMENTS[:4], pa.string())).to_pandas()
    if sort is str or (sort is bool and gaps):
        return pd.Series(column.values, dtype=pick.choice((object, "str")) if sort is str else object)
    if sort is int and gaps and _stored(column, pa.float64(), pick) is None:
        return pd.Series(column.values, dtype="Int64")
    return pd.Series(column.values, dtype="float64" if gaps else None)


def _nullable(column: Column, pick: random.Random) -> Any:
    dtypes = {float: "Float64", int: "Int64", bool: "boolean", str: "string"}
    sort = _sort(column)
    return pd.Series(column.values, dtype=dtypes[sort]) if sort in dtypes else _numpy(column, pick)


def _of_numpy(columns: list[Column], pick: random.Random) -> Cells:
    return _frame(columns, lambda column: _numpy(column, pick))


def _of_nullable(columns: list[Column], pick: random.Random) -> Cells:
    return _frame(columns, lambda column: _nullable(column, pick))


def _of_arrow(columns: list[Column], pick: random.Random) -> Cells:
    return _frame(columns, lambda column: _arrow_backed(arrow(column, pick)))


def _arrow_backed(array: pa.Array) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


def _of_categorical(columns: list[Column], pick: random.Random) -> Cells:
    return _frame(columns, lambda column: _nullable(column, pick).astype("category"))


def _of_objects(columns: list[Column], pick: random.Random) -> Cells:
    return _frame(
        columns, lambda c: pd.Series([_as_object(c, value, pick) for value in c.values], dtype=object)
    )


def _of_read_parquet(columns: list[Column], pick: random.Random) -> Cells:
    backend = pick.choice(({}, {"dtype_backend": "numpy_nullable"}, {"dtype_backend": "pyarrow"}))
    return pd.read_parquet(io.BytesIO(parquet_bytes(columns, pick)), **backend)


def _of_read_csv(columns: list[Column], pick: random.Random) -> Cells:
    texts = {c.name: "str" for c in columns if c.kind in ("text", "key") or _sort(c) in (str, float)}
    return pd.read_csv(
        io.BytesIO(csv_bytes(columns, pick)),
        dtype=texts,
        keep_default_na=False,
        na_values=[""],
        encoding="utf-8",
    )


def _json_cell(column: Column, value: Any, pick: random.Random) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime):
        return spelled(column, value, pick)
    return pick.choice((value, spelled(column, value, pick)))


def records(columns: list[Column], pick: random.Random) -> list[dict[str, Any]]:
    """The table as JSON records; a gap is null, or not there."""
    rows: list[dict[str, Any]] = []
    for row in range(len(columns[0].values)):
        cells = {column.name: _json_cell(column, column.values[row], pick) for column in columns}
        absent = [name for name, cell in cells.items() if cell is None and row and pick.random() < 0.3]
        rows.append({name: cell for name, cell in cells.items() if name not in absent})
    return rows


def _of_json(columns: list[Column], pick: random.Random) -> Cells:
    made = json.loads(json.dumps(records(columns, pick)))
    return pd.DataFrame(made, columns=[column.name for column in columns], dtype=object)


def _of_http_records(columns: list[Column], pick: random.Random) -> Cells:
    return _posted({"dataframe_records": records(columns, pick)})


def _of_http_split(columns: list[Column], pick: random.Random) -> Cells:
    names = [column.name for column in columns]
    data = [[record.get(name) for name in names] for record in records(columns, pick)]
    return _posted({"dataframe_split": {"columns": names, "data": data}})


def _posted(tree: dict[str, Any]) -> Cells:
    request = parsing.parse(json.dumps(tree).encode(), "application/json")
    assert request is not None
    return request[0]


def _of_http_csv(columns: list[Column], pick: random.Random) -> Cells:
    request = parsing.parse(csv_bytes(columns, pick), "text/csv; charset=utf-8")
    assert request is not None
    return request[0]


WAYS: dict[str, Callable[[list[Column], random.Random], Cells]] = {
    "CSV": _of_csv,
    "TSV": _of_tsv,
    "Parquet": _of_parquet,
    "Parquet with INT96": _of_int96,
    "a frame of NumPy dtypes": _of_numpy,
    "a frame of nullable dtypes": _of_nullable,
    "a frame of Arrow dtypes": _of_arrow,
    "a frame of categoricals": _of_categorical,
    "a frame of objects": _of_objects,
    "pd.read_csv": _of_read_csv,
    "pd.read_parquet": _of_read_parquet,
    "JSON records": _of_json,
    "JSON records over HTTP": _of_http_records,
    "JSON split over HTTP": _of_http_split,
    "CSV over HTTP": _of_http_csv,
}
"""Name of each way in, and what gives the cells of a table that came by it."""


@pytest.fixture(scope="session")
def tables() -> Callable[..., st.SearchStrategy[list[Column]]]:
    """Makes a strategy of random tables."""
    return _tables


@pytest.fixture(scope="session")
def ways() -> dict[str, Callable[[list[Column], random.Random], Cells]]:
    """Every way in but files that are read in pieces."""
    return WAYS


@pytest.fixture(scope="session", name="parquet_bytes")
def _parquet_bytes() -> Callable[..., bytes]:
    """Writes a table as Parquet."""
    return parquet_bytes
