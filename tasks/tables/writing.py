"""Cleaned frames as canonical rows, and a Parquet file that grows by them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import ConfigError, quoted
from tasks.features import TYPES
from tasks.features.reading import read_coded
from tasks.features.schema import ROW, types_of


def cleaned_types(rows: pd.DataFrame, before: Mapping[str, str]) -> dict[str, str]:
    """Return the type of each column that cleaning left; a text or key stays what it was before."""
    found = types_of(rows)
    return {
        name: before[name] if kind == "category" and before.get(name) in ("text", "key") else kind
        for name, kind in found.items()
    }


def canonical(rows: pd.DataFrame, types: Mapping[str, str]) -> pa.Table:
    """Return cleaned rows in canonical values, texts coded.

    Raises:
        ConfigError: Other columns, or a column of another type, than `types` has, which only an operation of
            the project's own can bring about.
    """
    if list(rows.columns) != list(types):
        raise ConfigError("clean: an operation of yours gives some rows other columns than others")
    return pa.table({name: _column(rows[name], name, kind) for name, kind in types.items()})


def _column(column: pd.Series, name: str, kind: str) -> pa.Array:
    try:
        found = read_coded(pa.array(column, from_pandas=True), TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        found = TYPES[kind].refuse(pa.nulls(len(column)))
        found.unreadable[:] = True
    if found.unreadable.any():
        raise ConfigError(
            f"clean: column {quoted(name)} is {kind} in some rows and {column.dtype} in others",
            fix="let your operation give one type, whatever the rows",
        )
    return found.values


class Writer:
    """A file that grows by rows.

    Attributes:
        rows: Rows written.
    """

    def __init__(self, path: Path, types: Mapping[str, str]) -> None:
        self.path, self.types, self.rows = path, types, 0
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rows: pa.Table, ids: np.ndarray) -> None:
        """Append canonical rows and their ids, int64 (n,)."""
        table = rows.append_column(ROW, pa.array(ids))
        self.rows += table.num_rows
        if self._file is None:
            # Of numbers that were stored in four bytes, four of eight are zero: apart, they take no room.
            self._file = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name in rows.column_names if _is_coded(rows, name)],
                use_byte_stream_split=[name for name, kind in self.types.items() if kind == "number"],
                write_statistics=False,
            )
        self._file.write_table(table, row_group_size=max(1, table.num_rows))


def _is_coded(rows: pa.Table, name: str) -> bool:
    return bool(pa.types.is_dictionary(rows.schema.field(name).type))
