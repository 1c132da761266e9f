"""Frames written one after the other into one Parquet file, whose columns keep the types of the first."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import ConfigError, quoted
from tasks.streaming import hashing
from tasks.streaming.rowgroups import TYPES
from tasks.streaming.stream import ID


class Writer:
    """A file that grows by frames.

    Attributes:
        kinds: Type of each column, one of `rowgroups.TYPES`; where none are given, those of the first frame.
        rows: Rows written.
    """

    def __init__(self, path: Path, kinds: dict[str, str] | None = None) -> None:
        self.path = path
        self.kinds = kinds or {}
        self.rows = 0
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rows: pd.DataFrame) -> np.ndarray:
        """Appends rows, indexed by row id, and answers their hashes, uint64 (n,).

        Raises:
            ConfigError: A column is of another type than in the rows before, which only an operation of the
                project's own can bring about.
        """
        found = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata()
        self.kinds = self.kinds or {name: _kind(found.schema.field(name)) for name in found.column_names}
        table = self._typed(found)
        hashes = hashing.rows(table, table.column_names)
        ids = rows.index.to_numpy(dtype=np.int64)
        self._append(table.append_column(ID, pa.array(ids)))
        self.rows += len(rows)
        return hashes

    def _typed(self, found: pa.Table) -> pa.Table:
        if found.column_names != list(self.kinds):
            raise ConfigError("clean: an operation of yours gives some rows other columns than others")
        arrays = []
        for name, kind in self.kinds.items():
            column = found.column(name).combine_chunks()
            try:
                if kind == "text":
                    column = column.cast(pa.string()).dictionary_encode()
                arrays.append(column.cast(TYPES[kind]))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                raise ConfigError(
                    f"clean: column {quoted(name)} is {kind} in some rows and {column.type} in others",
                    fix="let your operation give one type, whatever the rows",
                ) from None
        return pa.table(arrays, names=found.column_names)

    def _append(self, table: pa.Table) -> None:
        if self._file is None:
            # Of numbers that were stored in four bytes, four of eight are zero: apart, they take no room.
            self._file = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name, kind in self.kinds.items() if kind == "text"],
                use_byte_stream_split=[name for name, kind in self.kinds.items() if kind == "number"],
                write_statistics=False,
            )
        self._file.write_table(table, row_group_size=max(1, table.num_rows))


def _kind(field: pa.Field) -> str:
    kind = field.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    return "date" if pa.types.is_timestamp(kind) else "text"
