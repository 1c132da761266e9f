"""Parquet files of any size: what their footers say, and their rows in batches of five plain types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config import Columns, Fit, Source, TableSource
from tasks.errors import ArtifactTampered, ConfigError, DataRejected, ModelyardError, quoted
from tasks.sources import files, parquet, table
from tasks.sources.infer import EXACT

CELLS = 2**21
"""Cells of a batch, which takes some 100 MB on its way as a frame."""
CELL_BYTES = 50
"""Memory that a cell takes at the peak of a run that holds the whole table (measured: 10.3 GB for 10 million
rows of 20 columns)."""

IN_MEMORY = ("refit", "bagging")
"""Settings of `fit:` that take rows which are in memory."""

TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.timestamp("us"),
    "text": pa.dictionary(pa.int32(), pa.string()),
}
"""The five types of a column, and how each comes in a batch."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a table, as it was when it was first looked at."""

    name: str
    path: Path
    rows: int
    size: int
    changed: int
    """Time of its last change, in nanoseconds; 0 for a file of our own, whose bytes have a digest."""

    def check(self) -> None:
        """Raises ArtifactTampered when the file is gone or is another now."""
        now = self.path.stat() if self.path.exists() else None
        if now is None or now.st_size != self.size or self.changed not in (0, now.st_mtime_ns):
            raise ArtifactTampered(
                f"{self.name} changed or went away after it was validated", fix="run again"
            )


def is_beyond(source: Source, project: Path, columns: Columns) -> bool:
    """Whether the data of a source is to be streamed.

    Raises:
        ConfigError: It is asked for, and the source is not Parquet, or holds texts.
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `sources.read`.
    """
    if not isinstance(source, TableSource) or source.stream == "never":
        return False
    if source.stream == "auto" and not (project / source.path).exists():
        return False  # whoever reads it as a whole says so
    places = [path for _, _, path in table.places(source, project)]
    if columns.text is not None or any(path.suffix.lower() not in table.PARQUET for path in places):
        if source.stream == "always":
            raise ConfigError(
                "source.stream: only tables in Parquet, without columns.text, can be streamed",
                fix="write the data as Parquet, or set source.stream: auto",
            )
        return False
    return source.stream == "always" or need(source, project) > source.memory_mb * 2**20


def check_settings(source: Source, project: Path, columns: Columns, settings: Fit) -> None:
    """Asks, before anything is read, whether a table in pieces can be trained on as `fit:` says.

    Raises:
        ConfigError: `fit.refit` or `fit.bagging`, which take rows that are in memory.
    """
    asked = [name for name in IN_MEMORY if getattr(settings, name)]
    if not asked:
        return
    try:
        beyond = is_beyond(source, project, columns)
    except ModelyardError:
        return  # whoever reads the source says what is wrong with it
    if beyond:
        raise in_memory(f"fit.{asked[0]}")


def in_memory(setting: str) -> ConfigError:
    """The refusal of a setting that a table in pieces can't be trained with."""
    return ConfigError(
        f"{setting} takes rows that are in memory, and the table is read in pieces (source.stream)",
        fix=f"set {setting}: false",
    )


def need(source: TableSource, project: Path) -> int:
    """Bytes of memory that a run takes which holds the whole table, by what its footers say."""
    total = 0
    for _, name, path in table.places(source, project):
        with files.opened(path, name) as file:
            total += CELL_BYTES * _cells(parquet.opened(file, name).metadata)
    return total


def _cells(footer: pq.FileMetaData) -> int:
    return int(footer.num_rows * footer.num_columns)


def look(source: TableSource, project: Path, columns: Columns) -> tuple[tuple[Part, ...], dict[str, str]]:
    """The files of a table in row order, and the type of each column, known without reading rows.

    The types are those of `parquet.parse`: whole numbers are numbers, and truths texts, where a row lacks
    one.

    Raises:
        ConfigError: `columns.numeric` names a column of texts, which only all of its cells could tell.
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `parquet.parse`.
    """
    parts, schemas, gaps = [], [], set[str]()
    for _, name, path in table.places(source, project):
        with files.opened(path, name) as file:
            stored = parquet.opened(file, name)
            state = path.stat()
            rows = stored.metadata.num_rows
            parts.append(
                Part(name=name, path=path.resolve(), rows=rows, size=state.st_size, changed=state.st_mtime_ns)
            )
            schemas.append((name, stored.schema_arrow))
            gaps |= {
                name for name in _names(stored.schema_arrow) if name not in gaps and _has_gaps(stored, name)
            }
    parquet.check_same(schemas)
    schema = schemas[0][1]
    kinds = {name: _kind(schema.field(name).type, gaps=name in gaps) for name in _names(schema)}
    texts = [name for name in columns.numeric if kinds.get(name) == "text"]
    if texts:
        raise ConfigError(
            f"columns.numeric: {quoted(texts[0])} is stored as text, and the table is streamed",
            fix=f"put {{types: {{{texts[0]}: number}}}} into clean",
        )
    return tuple(parts), kinds


def _names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if not name.startswith(parquet.PANDAS_INDEX)]


def _has_gaps(stored: pq.ParquetFile, name: str) -> bool:
    at = stored.schema_arrow.names.index(name)
    for group in range(stored.num_row_groups):
        known = stored.metadata.row_group(group).column(at).statistics
        if known is not None and known.has_null_count:
            if known.null_count:
                return True
        elif stored.read_row_group(group, columns=[name]).column(0).null_count:
            return True
    return False


def _kind(stored: pa.DataType, *, gaps: bool) -> str:
    stored = parquet.value_type(stored)
    if pa.types.is_integer(stored):
        return "number" if gaps else "integer"
    if pa.types.is_boolean(stored):
        return "text" if gaps else "boolean"
    if pa.types.is_floating(stored):
        return "number"
    return "text" if pa.types.is_string(stored) else "date"


Span = tuple[Part, tuple[int, ...]]
"""A file and some of its row groups."""


def pieces(parts: Sequence[Part], rows: int) -> Iterator[tuple[tuple[Span, ...], int]]:
    """All row groups of some files, cut into pieces, each with its rows.

    A piece has so many row groups, of one file or of several small ones, that they have about `rows` rows
    together; a larger row group is a piece by itself.

    Raises:
        ArtifactTampered: A file is not what it was.
    """
    held, count = list[Span](), 0
    for part in parts:
        part.check()
        footer = _kept_footer(part) if part.changed else _footer(part)
        for groups in _together(footer, rows):
            more = sum(footer.row_group(group).num_rows for group in groups)
            if held and count + more > rows:
                yield tuple(held), count
                held, count = [], 0
            held.append((part, tuple(groups)))
            count += more
    if held:
        yield tuple(held), count


def _footer(part: Part) -> pq.FileMetaData:
    with files.opened(part.path, part.name) as file:
        return parquet.opened(file, part.name).metadata


_kept_footer = lru_cache(maxsize=1)(_footer)
"""The same, read once: that of a thousand row groups takes a hundredth of a second, and each group is a piece
that asks. Not for a file of our own: it has few, and no time by which to tell that it is another one now."""


def batches(
    part: Part,
    kinds: Mapping[str, str],
    columns: Sequence[str] | None = None,
    size: int | None = None,
    groups: Sequence[int] | None = None,
) -> Iterator[pa.Table]:
    """The rows of one file in order, some at a time.

    Args:
        part: The file.
        kinds: Type of each of its columns, one of `TYPES`.
        columns: Those to read; all of `kinds` by default.
        size: Rows of a batch, at most; by default so many that a batch has `CELLS` cells of the table.
        groups: Row groups to read together; by default all, as many together as make a batch.

    Raises:
        ArtifactTampered: The file is not what it was.
        DataFormatError, DataRejected, ResourceLimit: As for `parquet.parse`, when the rows are reached.
    """
    part.check()
    names = list(kinds if columns is None else columns)
    texts = [name for name in names if kinds[name] == "text"]
    with files.opened(part.path, part.name) as file:
        stored = parquet.opened(file, part.name, texts, _kept_footer(part) if part.changed else None)
        size = size or batch_rows(kinds)
        for chosen in _together(stored.metadata, size) if groups is None else [groups]:
            for found in parquet.row_groups(stored, part.name, chosen, names, size):
                arrays = [_plain(found[name], kinds[name], name, part.name) for name in names]
                yield pa.table(arrays, names=names)


def _together(footer: pq.FileMetaData, rows: int) -> Iterator[list[int]]:
    """Row groups in order; small ones together, until they have `rows` rows."""
    held, count = list[int](), 0
    for group in range(footer.num_row_groups):
        more = footer.row_group(group).num_rows
        if held and count + more > rows:
            yield held
            held, count = [], 0
        held.append(group)
        count += more
    yield held


def batch_rows(kinds: Mapping[str, str]) -> int:
    """Rows of a batch: by the number of columns alone, so that no setting changes a sum's last bits."""
    return max(1024, CELLS // len(kinds))


def _plain(column: pa.ChunkedArray, kind: str, label: str, name: str) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    stored = parquet.value_type(array.type)
    if kind == "text":
        if pa.types.is_dictionary(array.type):
            return pc.cast(array, TYPES["text"])
        return pc.cast(pc.cast(array, pa.string()).dictionary_encode(), TYPES["text"])
    if kind == "number" and pa.types.is_integer(stored):
        _check_exact(array, label, name)
    try:
        if pa.types.is_timestamp(stored):
            return pc.cast(array, options=pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True))
        if pa.types.is_date(stored):
            return pc.cast(pc.cast(array, pa.timestamp("s")), TYPES[kind])
        return pc.cast(array, TYPES[kind])
    except pa.ArrowInvalid:
        raise DataRejected(
            f"{name}: column {quoted(label)} of type {stored} holds values that are out of range",
            fix="cast it when writing the file",
        ) from None


def _check_exact(array: pa.Array, label: str, name: str) -> None:
    low, high = pc.min_max(array).as_py().values()
    if low is not None and max(-low, high) > EXACT:
        raise DataRejected(
            f"{name}: column {quoted(label)} holds integers above 2^53 beside missing values",
            fix="cast it to string when writing the file",
        )


def frame(batch: pa.Table, ids: np.ndarray) -> pd.DataFrame:
    """A batch as pandas has it where a whole file is read, indexed by row ids (n,), index name `row`."""
    plain = [pc.cast(column, pa.string()) if _is_text(column) else column for column in batch.columns]
    rows: pd.DataFrame = pa.table(plain, names=batch.column_names).to_pandas(ignore_metadata=True)
    rows.index = pd.Index(ids, name="row")
    return rows


def _is_text(column: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_dictionary(column.type))
