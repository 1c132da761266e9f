"""Parquet bytes to columns of cells; what can hold no value of any type is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import DataFormatError, DataRejected, ResourceLimit, UnsafeInput, quoted
from tasks.features.inference import value_type
from tasks.sources import files
from tasks.sources.columns import check_count, check_names
from tasks.sources.files import Content

ACCEPTED = "whole numbers, float, decimal, bool, string, date, timestamp"
MAX_ROWS = 200_000_000

PANDAS_INDEX = "__index_level_"
_BUFFER = 2**20
"""Bytes of a column that are read at a time, where a file is read in pieces."""


def parse(content: Content) -> pa.Table:
    """Return the cells of one Parquet file, in the types that they are stored in.

    The nameless index that pandas stores (`__index_level_0__`) is left out: a row number is no feature.

    Args:
        content: The file.

    Raises:
        DataFormatError: Not a readable Parquet file.
        DataRejected: A column's name or type is not accepted, or there are no rows.
        ResourceLimit: The file claims more than may be read.
        UnsafeInput: A column of pickled Python objects.
    """
    return _read(content)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of several files, whose types are the same but for how a text is stored."""
    plain = [table.cast(pa.schema([(f.name, value_type(f.type)) for f in table.schema])) for table in tables]
    return pa.concat_tables(plain)


def check_same(schemas: Sequence[tuple[str, pa.Schema]]) -> None:
    """Refuses files of one folder whose columns differ in name, order or type.

    Raises:
        DataRejected: Names the first file that differs from the first one, and the column.
    """
    (first, expected), *others = schemas
    for name, schema in others:
        if schema.names != expected.names:
            odd = next(
                (a or b for a, b in zip([*schema.names, ""], [*expected.names, ""], strict=False) if a != b),
                "",
            )
            raise DataRejected(
                f"{name}: its columns differ from those of {first} at {quoted(odd)}",
                fix="write all files of the folder with the same columns in the same order",
            )
        for field, other in zip(schema, expected, strict=True):
            if value_type(field.type) != value_type(other.type):
                raise DataRejected(
                    f"{name}: column {quoted(field.name)} has type {field.type}, in {first} {other.type}",
                    fix="write all files of the folder with the same types",
                )


def schema(content: Content) -> pa.Schema:
    """The schema of a Parquet file, without reading its rows."""
    return _open(content).schema_arrow


def pieces(
    file: BinaryIO, name: str, rows: int, choose: Callable[[list[str]], list[str]]
) -> Iterator[pa.Table]:
    """The rows of a Parquet file of any size in order, in tables of at most `rows` rows.

    Args:
        file: The file, which can seek.
        name: The file, for messages.
        rows: Of a table.
        choose: Given the file's column names, the ones to read.

    Returns:
        Columns in the types that they are stored in.

    Raises:
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `parse`.
    """
    stored = opened(file, name)
    chosen = choose(stored.schema_arrow.names)
    for group in range(stored.num_row_groups):
        # One at a time: over several, Arrow keeps every byte that it has read until the last.
        yield from row_groups(stored, name, [group], chosen, rows)


def opened(
    file: BinaryIO,
    name: str,
    texts: Sequence[str] = (),
    footer: pq.FileMetaData | None = None,
    *,
    ours: bool = False,
) -> pq.ParquetFile:
    """A Parquet file of any size, its footer read and checked.

    Args:
        file: The file, which can seek.
        name: The file, for messages.
        texts: Columns of text that are to be read with their dictionaries.
        footer: Its footer, where it was read before.
        ours: Whether a step wrote it, so that its columns need no check and one of them holds row ids.

    Raises:
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `parse`.
    """
    _check_marks(files.ends(file), name)
    stored = _footer(file, name, texts, footer)
    check_count(stored.metadata.num_columns, name)
    if not ours:
        _check_fields(stored, name)
    if not stored.metadata.num_rows:
        raise DataRejected(f"{name}: 0 rows", fix="give data with rows")
    return stored


def row_groups(
    stored: pq.ParquetFile, name: str, groups: Sequence[int], columns: Sequence[str], rows: int
) -> Iterator[pa.Table]:
    """The rows of one row group in tables of at most `rows` rows, or those of several small ones in one."""
    with _reading(name):
        for table in _tables(stored, groups, columns, rows):
            table.validate(full=True)
            if len(table):
                yield table


def _tables(
    stored: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str], rows: int
) -> Iterator[pa.Table]:
    if len(groups) > 1:
        yield stored.read_row_groups(groups, columns=columns)
        return
    for batch in stored.iter_batches(batch_size=rows, row_groups=groups, columns=columns):
        yield pa.Table.from_batches([batch])


def _open(content: Content) -> pq.ParquetFile:
    _check_marks(content.data, content.name)
    return _footer(pa.BufferReader(content.data), content.name)


def _check_marks(data: bytes, name: str) -> None:
    """Refuses bytes, a file's first and last ones at least, that do not begin and end as Parquet does."""
    if not data:
        raise _unreadable(name, "it is empty (0 bytes)")
    if not files.is_parquet(data):
        files.refuse_foreign(data, name, "a Parquet file")
        raise _unreadable(name, "the mark PAR1 is missing at its begin or end")


def _footer(
    source: object, name: str, texts: Sequence[str] = (), footer: pq.FileMetaData | None = None
) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, metadata=footer, buffer_size=_BUFFER, read_dictionary=list(texts))
    except (pa.ArrowMemoryError, MemoryError):
        raise ResourceLimit(f"{name}: its footer claims more than fits into memory") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns Arrow's failures to read rows into ours."""
    try:
        yield
    except (pa.ArrowMemoryError, MemoryError):
        raise ResourceLimit(f"{name}: does not fit into memory") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _read(content: Content) -> pa.Table:
    file = _open(content)
    _check_size(file.metadata, content.name)
    _check_fields(file, content.name)
    with _reading(content.name):
        table = file.read()
        table.validate(full=True)
    if not table.num_rows:
        raise DataRejected(f"{content.name}: 0 rows", fix="give data with rows")
    return table.drop_columns([c for c in table.column_names if c.startswith(PANDAS_INDEX)])


def _unreadable(name: str, reason: object) -> DataFormatError:
    words = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return DataFormatError(
        f"{name}: not a readable Parquet file: {quoted(words)[1:-1]}", fix="make or fetch it again"
    )


def _check_size(metadata: pq.FileMetaData, name: str) -> None:
    check_count(metadata.num_columns, name)
    if metadata.num_rows > MAX_ROWS:
        raise ResourceLimit(f"{name}: claims {metadata.num_rows:,} rows; the limit is {MAX_ROWS:,}")
    # Run lengths hide from the stored size: a page of one repeated number has next to no bytes.
    stored = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    size = max(stored, 8 * metadata.num_rows * metadata.num_columns)
    if size > files.MAX_BYTES:
        raise ResourceLimit(
            f"{name}: claims {size:,} bytes of values; the limit is {files.MAX_BYTES:,}",
            fix="split it or take a sample",
        )


def _check_fields(file: pq.ParquetFile, name: str) -> None:
    fields = list(file.schema_arrow)
    kept = [field.name for field in fields if not field.name.startswith(PANDAS_INDEX)]
    check_names(kept, name)
    for field in fields:
        extension = (field.metadata or {}).get(b"ARROW:extension:name", b"")
        if b"py_extension" in extension:
            raise UnsafeInput(f"{name}: column {quoted(field.name)} holds pickled Python objects")
        if extension or not _accepted(field.type):
            kind = extension.decode("ascii", "replace") or str(field.type)
            raise _wrong_type(name, field.name, kind)


def _wrong_type(name: str, column: str, kind: str) -> DataRejected:
    return DataRejected(
        f"{name}: column {quoted(column)} has type {quoted(kind)[1:-1]}; accepted: {ACCEPTED}",
        fix="cast or leave out the column when writing the file",
    )


def _accepted(kind: pa.DataType) -> bool:
    kind = value_type(kind)
    tests = ("is_integer", "is_floating", "is_decimal", "is_boolean", "is_string", "is_date", "is_timestamp")
    return any(getattr(pa.types, test)(kind) for test in tests)
