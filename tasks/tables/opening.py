"""A source as a table: held in memory, or, for Parquet that needs more of it, left in its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks import sources
from tasks.config import Columns, Source, TableSource
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered
from tasks.features import Rows, Schema
from tasks.records import FileRecord, Finding
from tasks.sources import Loaded, table, typed
from tasks.store import digest
from tasks.tables import rowgroups
from tasks.tables import table as table_of
from tasks.tables.bits import Bits
from tasks.tables.rowgroups import Part
from tasks.tables.table import Piece, Table


class Readable(Protocol):
    """Neighbouring rows as the source gives them."""

    @property
    def start(self) -> int:
        """Position of the first row."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def read(self) -> Iterator[tuple[np.ndarray, Rows]]:
        """Yield row ids, int64 (n,), and rows, some at a time."""


class Opened(Protocol):
    """A source that was opened, not judged yet."""

    @property
    def schema(self) -> Schema:
        """Its columns and their types."""

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of its content."""

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Its files in row order."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Doubts of its reader."""

    @property
    def unread(self) -> Mapping[int, str]:
        """Rows that its reader could not read at all, each with the reason."""

    @property
    def rows(self) -> int:
        """How many it has."""

    @property
    def in_memory(self) -> bool:
        """Whether all of them are judged at once."""

    @property
    def pictures(self) -> bool:
        """Whether its columns describe pictures, so that none is a feature."""

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Readable]:
        """Yield its rows in order; of a table in files, those columns alone where some are named."""

    def save(self, folder: Path, out: Bits, sample: pd.DataFrame) -> None:
        """Write the rows that stay into an existing folder.

        Args:
            folder: Where.
            out: The rows that do not.
            sample: Those that stay, all or some of them.
        """


def fingerprint(source: Source, project: Path, columns: Columns) -> tuple[str, InFiles | None]:
    """Return the sha256 of a source's content, and the table where it is one that is left in its files.

    Raises:
        ConfigError, DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `sources.read`.
    """
    if isinstance(source, TableSource) and rowgroups.is_beyond(source, project, columns):
        parts, schema = rowgroups.look(source, project, columns)
        opened = InFiles(parts, schema, tuple(table.digests(source, project) or ()), source.memory_mb)
        return opened.fingerprint, opened
    return sources.fingerprint(source, project), None


def read(source: Source, project: Path, target: str, columns: Columns, content: str) -> Opened:
    """Return a source in memory, which must still hold what was fingerprinted."""
    loaded = sources.read(source, project, target, columns)
    if loaded.fingerprint != content:
        raise ArtifactTampered(
            f"the source changed while it was read: {content[:12]}, then {loaded.fingerprint[:12]}"
        )
    return InMemory(loaded)


@dataclass(frozen=True)
class InMemory:
    """A source that was read as a whole: one piece."""

    loaded: Loaded

    in_memory = True
    start = 0

    @property
    def schema(self) -> Schema:
        """Its columns and their types."""
        return self.loaded.schema

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of its content."""
        return self.loaded.fingerprint

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Its files in row order."""
        return self.loaded.files

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Doubts of its reader."""
        return self.loaded.findings

    @property
    def unread(self) -> Mapping[int, str]:
        """Rows that its reader could not read at all."""
        return self.loaded.unread

    @property
    def rows(self) -> int:
        """How many it has."""
        return len(self.loaded.dataset)

    @property
    def pictures(self) -> bool:
        """Whether its columns describe pictures."""
        return self.loaded.dataset.pixels is not None

    def sampled(self, ids: np.ndarray) -> np.ndarray:
        """Return which rows, by id (n,), are in memory: all."""
        return np.ones(len(ids), dtype=bool)

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[InMemory]:  # noqa: ARG002 - all are here
        """Yield itself."""
        yield self

    def batches(self) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield row ids, int64 (n,), and columns of all rows."""
        for ids, rows in self.read():
            yield ids, rows.table

    def read(self) -> Iterator[tuple[np.ndarray, Rows]]:
        """Yield all of its rows."""
        rows = self.loaded.dataset.rows
        kinds = {name: kind for name, kind in self.schema.types.items() if name in rows.columns}
        arrays = [_coded(rows[name], kind) for name, kind in kinds.items()]
        table = pa.table(arrays, names=list(kinds))
        yield rows.index.to_numpy(dtype=np.int64), Rows(table, self.loaded.unreadable)

    def save(self, folder: Path, out: Bits, sample: pd.DataFrame) -> None:  # noqa: ARG002 - all are here
        """Write the rows that stay, all of which are the sample."""
        data = self.loaded.dataset
        kept = data.take(~out.mask(0, len(data))) if out.total() else data
        table_of.save(folder, kept, self.schema.types, self.rows)


def of_frame(rows: pd.DataFrame, types: Mapping[str, Any] | None = None) -> InMemory:
    """Return rows in memory as a table, columns without a type of the type of their cells."""
    return InMemory(typed.load_frame(Dataset(rows), Columns(types=dict(types or {})), "", ()))


def _coded(column: pd.Series, kind: str) -> pa.Array:
    array = pa.array(column, from_pandas=True)
    stored = rowgroups.storage(kind)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_dictionary(stored):
        return array.cast(pa.string()).dictionary_encode()
    return array.cast(stored)


@dataclass(frozen=True)
class InFiles:
    """A table beyond memory, looked at from outside.

    Attributes:
        parts: Its files.
        schema: Its columns and their types.
        digests: Role and sha256 of each file's bytes.
        memory_mb: Memory that may be taken.
    """

    parts: tuple[Part, ...]
    schema: Schema
    digests: tuple[tuple[str, str], ...]
    memory_mb: int

    in_memory = pictures = False
    findings: tuple[Finding, ...] = ()

    @property
    def unread(self) -> Mapping[int, str]:
        """No row: a file whose rows can't be read is refused."""
        return {}

    @property
    def fingerprint(self) -> str:
        """The same as `sources.fingerprint` of the table."""
        return digest(list(self.digests))

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Its files in row order."""
        known = zip(self.parts, self.digests, strict=True)
        return tuple(FileRecord(name=part.name, rows=part.rows, sha256=sha) for part, (_, sha) in known)

    @property
    def rows(self) -> int:
        """How many it has."""
        return sum(part.rows for part in self.parts)

    @property
    def table(self) -> Table:
        """Its rows."""
        kinds = dict(self.schema.types)
        return Table(parts=self.parts, kinds=kinds, source=self.rows, sample=0, memory_mb=self.memory_mb)

    @property
    def state(self) -> list[object]:
        """What later steps go by, which read the files again: which ones they are, and the memory for it."""
        return [self.memory_mb, *((str(part.path), part.size, part.changed) for part in self.parts)]

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield its rows in order, and at the end make sure that no file has changed meanwhile."""
        yield from self.table.pieces(columns)
        for part in self.parts:
            part.check()

    def save(self, folder: Path, out: Bits, sample: pd.DataFrame) -> None:
        """Write where the rows lie, and the sample of those that stay."""
        Dataset(sample).save(folder)
        replace(self.table, sample=len(sample)).save(folder, out)
