"""The schema of a table: its columns in order, each with its type, and the rows that it makes of cells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.errors import DataRejected, did_you_mean, quoted
from tasks.features.base import TYPES, FeatureType
from tasks.features.reading import read

ROW = "\x1frow"
"""Name of what holds row ids, in frames and files: no column of a source may have an invisible character."""


@dataclass(frozen=True)
class Rows:
    """Rows in canonical values.

    Attributes:
        table: (n, columns) in the storage of each type; null where a cell is missing or can't be read.
        unreadable: Column to which of its cells (n,) can't be read; columns without such a cell are left out.
    """

    table: pa.Table
    unreadable: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Schema:
    """Names and types of columns, in order.

    Attributes:
        types: Name of each column to the name of its type, a key of `TYPES`.
    """

    types: Mapping[str, str]

    def __iter__(self) -> Iterator[tuple[str, FeatureType]]:
        return ((name, TYPES[kind]) for name, kind in self.types.items())

    def read(self, cells: pa.Table | pd.DataFrame) -> Rows:
        """Read the schema's columns of some rows; others are left out.

        Raises:
            DataRejected: A column is missing; the nearest name is suggested.
        """
        names = cells.column_names if isinstance(cells, pa.Table) else list(cells.columns)
        self.check_names(names)
        arrays: list[pa.Array] = []
        unreadable: dict[str, np.ndarray] = {}
        for name, kind in self:
            found = read(cells[name], kind)
            arrays.append(found.values)
            if found.unreadable.any():
                unreadable[name] = found.unreadable
        return Rows(pa.table(arrays, names=list(self.types)), unreadable)

    def check_names(self, names: Collection[object]) -> None:
        """Raise DataRejected for a column that is missing."""
        known = set(names)
        for name in self.types:
            if name not in known:
                near = did_you_mean(name, [str(column) for column in names])
                raise DataRejected(f"column {quoted(name)} is missing", fix=near)

    def reasons(self, unreadable: Mapping[str, np.ndarray]) -> dict[int, str]:
        """Return each row (by position) with a cell that can't be read, and the first such cell's reason."""
        found: dict[int, str] = {}
        for name, cells in unreadable.items():
            for row in np.flatnonzero(cells).tolist():
                found.setdefault(row, self.reason(name))
        return dict(sorted(found.items()))

    def reason(self, name: str) -> str:
        """Say why a row whose cell in a column can't be read is of no use."""
        return f"column {quoted(name)} holds no {TYPES[self.types[name]].noun}"


def frame(table: pa.Table, ids: np.ndarray | None = None, *, coded: bool = False) -> pd.DataFrame:
    """Return canonical rows as pandas has them, indexed by row ids (n,), index name `ROW`.

    With `coded`, texts that come coded by a dictionary stay so, as pandas categories.

    float64, int64 or (with gaps) Int64, bool or boolean, datetime64[us] and str: a gap never turns a value
    into another, 10 into 10.0 or true into "True".
    """
    rows: pd.DataFrame = pd.DataFrame(
        {position: series(table.column(position), coded=coded) for position in range(table.num_columns)}
    )
    rows.columns = pd.Index(table.column_names)
    rows.index = pd.RangeIndex(len(table), name=ROW) if ids is None else pd.Index(ids, name=ROW)
    return rows


def series(column: pa.ChunkedArray | pa.Array, *, coded: bool = False, nullable: bool = False) -> pd.Series:
    """Return one canonical column as pandas has it; see `frame`.

    With `nullable`, its dtype can hold a gap whether there is one or not.
    """
    stored = column.type
    if pa.types.is_dictionary(stored) and not coded:
        column, stored = column.cast(pa.string()), pa.string()
    if pa.types.is_string(stored):
        return pd.Series(column.to_pandas(), dtype="str")
    gaps = nullable or bool(column.null_count)
    dtypes = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()} if gaps else {}
    made: pd.Series = column.to_pandas(types_mapper=dtypes.get)
    return made


def type_of(dtype: Any) -> str:
    """Return the type whose canonical values a pandas column of a dtype holds; texts are categories."""
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype):
        return "boolean"
    if kinds.is_integer_dtype(dtype):
        return "integer"
    if kinds.is_numeric_dtype(dtype):
        return "number"
    return "date" if kinds.is_datetime64_any_dtype(dtype) else "category"


def types_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return the type of each column, as its pandas dtype tells it."""
    return {str(name): type_of(kind) for name, kind in rows.dtypes.items()}
