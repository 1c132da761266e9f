"""Columns read as a model declares them, cell by cell.

Where a whole file is read, its types come from all of its cells. A part of a file must not be read so:
how a cell reads would depend on its neighbours. Here the type is known beforehand; a cell that does not
fit it stays as it is, as text, for the model to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import DataRejected, did_you_mean, quoted
from tasks.sources import infer


def check(columns: Sequence[Mapping[str, str]], names: Collection[str], name: str) -> list[str]:
    """The names of the columns that are needed.

    Raises:
        DataRejected: The file has no such column; the nearest name is suggested.
    """
    for column in columns:
        if column["name"] not in names:
            raise DataRejected(
                f"{name}: column {quoted(column['name'])} is missing", fix=did_you_mean(column["name"], names)
            )
    return [column["name"] for column in columns]


def frame(table: pa.Table, columns: Sequence[Mapping[str, str]]) -> pd.DataFrame:
    """The rows as pandas has them, in the declared columns alone, numbered from 0.

    Args:
        table: Columns of any accepted type.
        columns: Each {"name", "type"}, the type number, integer, date, boolean or text.
    """
    arrays = [_as(table[column["name"]], column["name"], column["type"]) for column in columns]
    made = pa.table(arrays, names=[column["name"] for column in columns])
    rows: pd.DataFrame = made.to_pandas(ignore_metadata=True)
    return rows


def _as(column: pa.ChunkedArray, name: str, kind: str) -> pa.ChunkedArray:
    stored = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    column = pc.cast(column, stored)
    if kind in _NATURAL and _NATURAL[kind](stored):
        return _plain(column, name, kind)
    text = pc.cast(column, pa.string())
    return _from_text[kind](text) if kind in _from_text else text


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


_NATURAL: dict[str, Callable[[pa.DataType], bool]] = {
    "number": _number,
    "integer": _number,
    "date": _moment,
    "boolean": pa.types.is_boolean,
}


def _plain(column: pa.ChunkedArray, name: str, kind: str) -> pa.ChunkedArray:
    """One type for each kind, whether there are gaps or not; times with a zone as UTC."""
    if kind == "boolean":
        return column
    if kind != "date":
        return pc.cast(column, pa.float64(), safe=False)
    try:
        return pc.cast(column, options=pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True))
    except pa.ArrowInvalid:
        raise DataRejected(
            f"column {quoted(name)} holds times that are out of range", fix="cast it when writing the file"
        ) from None


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As float64; as text if some cell is no plain number. Each number reads the same either way."""
    read = infer.numbers(column)
    return column if pa.types.is_string(read.type) else pc.cast(read, pa.float64(), safe=False)


def _dates(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As timestamps; as text if some cell is no date, the others then written in one way.

    pandas takes the unit of a whole column from its finest cell, and refuses one that mixes time zones.
    """
    if (read := infer.dates(column)) is not None:
        return read
    texts = column.to_pandas()
    moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    written = moments.astype("datetime64[us]").map(pd.Timestamp.isoformat, na_action="ignore")
    return pa.chunked_array([pa.array(texts.where(moments.isna(), written), pa.string(), from_pandas=True)])


_from_text: dict[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]] = {
    "number": _numbers,
    "integer": _numbers,
    "date": _dates,
}
