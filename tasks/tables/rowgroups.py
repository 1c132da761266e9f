"""Parquet files of any size: what their footers say, and their rows in batches of canonical values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config import Columns, Fit, Source, TableSource
from tasks.errors import ArtifactTampered, ConfigError, ModelyardError
from tasks.features import TYPES, Rows, Schema
from tasks.features.inference import beyond_exact, of_storage, value_type
from tasks.features.reading import CODED, read_coded
from tasks.sources import files, parquet, table

CELLS = 2**21
"""Cells of a batch, which takes some 100 MB on its way as a frame."""
CELL_BYTES = 50
"""Memory that a cell takes at the peak of a run that holds the whole table (measured: 10.3 GB for 10 million
rows of 20 columns)."""

IN_MEMORY = ("refit", "bagging")
"""Settings of `fit:` that take rows which are in memory."""


def storage(kind: str) -> pa.DataType:
    """Return how a column of a type comes in a batch: texts are coded by a dictionary."""
    stored = TYPES[kind].storage
    return CODED if pa.types.is_string(stored) else stored


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


def look(source: TableSource, project: Path, columns: Columns) -> tuple[tuple[Part, ...], Schema]:
    """Return the files of a table in row order, and its schema, known without reading rows.

    A column without a declared type has that of what is stored; whole numbers that float64 can't hold are
    codes of a category.

    Raises:
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `parquet.parse`.
    """
    parts, schemas, codes = [], [], set[str]()
    for _, name, path in table.places(source, project):
        with files.opened(path, name) as file:
            stored = parquet.opened(file, name)
            state = path.stat()
            rows = stored.metadata.num_rows
            parts.append(
                Part(name=name, path=path.resolve(), rows=rows, size=state.st_size, changed=state.st_mtime_ns)
            )
            schemas.append((name, stored.schema_arrow))
            undeclared = (one for one in _names(stored.schema_arrow) if columns.type_of(one) is None)
            codes |= {one for one in undeclared if one not in codes and _is_code(stored, one)}
    parquet.check_same(schemas)
    schema = schemas[0][1]
    kinds = {
        name: columns.type_of(name) or ("category" if name in codes else of_storage(schema.field(name).type))
        for name in _names(schema)
    }
    return tuple(parts), Schema(kinds)


def _names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if not name.startswith(parquet.PANDAS_INDEX)]


def _is_code(stored: pq.ParquetFile, name: str) -> bool:
    """Whether a column holds whole numbers that float64 does not tell apart, by the statistics kept of it."""
    at = stored.schema_arrow.names.index(name)
    if not pa.types.is_integer(value_type(stored.schema_arrow.field(at).type)):
        return False
    for group in range(stored.num_row_groups):
        known = stored.metadata.row_group(group).column(at).statistics
        if known is None or not known.has_min_max:
            bounds = pc.min_max(stored.read_row_group(group, columns=[name]).column(0)).as_py()
            low, high = bounds["min"], bounds["max"]
        else:
            low, high = known.min, known.max
        if beyond_exact(low, high):
            return True
    return False


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
        return parquet.opened(file, part.name, ours=not part.changed).metadata


_kept_footer = lru_cache(maxsize=1)(_footer)
"""The same, read once: that of a thousand row groups takes a hundredth of a second, and each group is a piece
that asks. Not for a file of our own: it has few, and no time by which to tell that it is another one now."""


def batches(
    part: Part,
    kinds: Mapping[str, str],
    columns: Sequence[str] | None = None,
    size: int | None = None,
    groups: Sequence[int] | None = None,
) -> Iterator[Rows]:
    """Yield the rows of one file in order, some at a time, in canonical values, texts coded.

    Args:
        part: The file.
        kinds: Type of each of its columns.
        columns: Those to read; all of `kinds` by default.
        size: Rows of a batch, at most; by default so many that a batch has `CELLS` cells of the table.
        groups: Row groups to read together; by default all, as many together as make a batch.

    Raises:
        ArtifactTampered: The file is not what it was.
        DataFormatError, DataRejected, ResourceLimit: As for `parquet.parse`, when the rows are reached.
    """
    part.check()
    names = list(kinds if columns is None else columns)
    with files.opened(part.path, part.name) as file:
        footer = _kept_footer(part) if part.changed else None
        texts = _texts(names, kinds)
        stored = parquet.opened(file, part.name, texts, footer, ours=not part.changed)
        size = size or batch_rows(kinds)
        for chosen in _together(stored.metadata, size) if groups is None else [groups]:
            for found in parquet.row_groups(stored, part.name, chosen, names, size):
                yield _own(found, kinds) if not part.changed else _read(found, kinds)


def _texts(names: Sequence[str], kinds: Mapping[str, str]) -> list[str]:
    return [name for name in names if name in kinds and pa.types.is_dictionary(storage(kinds[name]))]


def _own(found: pa.Table, kinds: Mapping[str, str]) -> Rows:
    """Return rows of a file of our own, whose values are canonical already."""
    schema = pa.schema([(name, storage(kinds[name])) for name in found.column_names])
    return Rows(found.cast(schema).combine_chunks(), {})


def _read(found: pa.Table, kinds: Mapping[str, str]) -> Rows:
    cells = {name: read_coded(found[name], TYPES[kinds[name]]) for name in found.column_names}
    unreadable = {name: each.unreadable for name, each in cells.items() if each.unreadable.any()}
    return Rows(pa.table({name: each.values for name, each in cells.items()}), unreadable)


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
