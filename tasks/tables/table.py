"""A table as a step leaves it: a schema and pieces. One in memory is one piece, one beyond it is many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.dataset import Dataset
from tasks.features import Rows
from tasks.features.schema import ROW
from tasks.records import from_json
from tasks.store import write_json
from tasks.tables import hashing, rowgroups
from tasks.tables.bits import Bits
from tasks.tables.rowgroups import Part, Span

FILE = "table.json"
OUT = "out.npy"
TOGETHER = 64
"""Pieces whose samples are put together."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Neighbouring rows of a table in files: what is worked on at a time, here or elsewhere.

    Attributes:
        spans: The row groups that hold them.
        kinds: Type of each column of the files.
        names: The columns to read.
        size: Rows of a batch, at most.
        start: Position of the first row.
        rows: How many there are, those to pass over included.
        gone: One bit for each row that is to be passed over; None where there is none.
        numbered: Whether the files hold row ids in a column of their own.
    """

    spans: tuple[Span, ...]
    kinds: dict[str, str]
    names: tuple[str, ...]
    size: int
    start: int
    rows: int
    gone: np.ndarray | None
    numbered: bool

    @property
    def kept(self) -> int:
        """Rows that count."""
        return self.rows - (0 if self.gone is None else int(np.bitwise_count(self.gone).sum(dtype=np.int64)))

    def batches(self) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield row ids, int64 (n,), and columns of the rows that count, some at a time.

        Raises:
            ArtifactTampered: A file is not what it was.
        """
        for ids, rows in self.read():
            yield ids, rows.table

    def read(self) -> Iterator[tuple[np.ndarray, Rows]]:
        """Yield the same with the cells that can't be read."""
        gone = None if self.gone is None else np.unpackbits(self.gone, count=self.rows).astype(bool)
        at, names = 0, [*self.names, *([ROW] if self.numbered else [])]
        for part, groups in self.spans:
            for found in rowgroups.batches(part, self.kinds, names, self.size, groups):
                count = found.table.num_rows
                ids = _ids(found.table, self.start + at, numbered=self.numbered)
                out = None if gone is None else gone[at : at + count]
                at += count
                rows = Rows(found.table.select(self.names), found.unreadable)
                if out is not None and out.any():
                    ids, rows = ids[~out], _filtered(rows, ~out)
                if len(ids):
                    yield ids, rows


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table in files.

    Attributes:
        parts: The files in row order.
        kinds: Type of each column, in the columns' order.
        source: Rows of the source that the row ids count.
        sample: Rows that lie in `rows.parquet`: all of a table in memory.
        memory_mb: Memory that may be taken, in MiB; None for a table that is held in memory.
        numbered: Whether the files hold row ids in a column of their own; else an id is a position.
        folder: Where the file `out.npy` with the rows to pass over lies; None before there is one.
    """

    parts: tuple[Part, ...]
    kinds: dict[str, str]
    source: int
    sample: int
    memory_mb: int | None = None
    numbered: bool = False
    folder: Path | None = None

    @property
    def stored(self) -> int:
        """Rows in the files, those to pass over included."""
        return sum(part.rows for part in self.parts)

    @property
    def in_memory(self) -> bool:
        """Whether it is held in memory, so that `rows.parquet` is the table and no sample of it."""
        return self.memory_mb is None

    @property
    def whole(self) -> bool:
        """Whether `rows.parquet` holds all rows: the table is in memory, or has no more than a sample."""
        return self.in_memory or self.source <= hashing.SAMPLE

    def sampled(self, ids: np.ndarray) -> np.ndarray:
        """Return which rows, by id (n,), lie in `rows.parquet`: all of a table in memory."""
        return np.ones(len(ids), dtype=bool) if self.in_memory else hashing.sampled(ids, self.source)

    def out(self) -> Bits:
        """Return the rows to pass over, by position in the files."""
        if self.folder is None or not (self.folder / OUT).exists():
            return Bits(self.stored)
        return Bits.load(self.folder / OUT, self.stored)

    @property
    def kept(self) -> int:
        """Rows that count."""
        return self.stored - self.out().total()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Yield row ids, int64 (n,), and columns of every row that counts, some rows at a time."""
        for piece in self.pieces(columns):
            yield from piece.batches()

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Yield all rows in pieces, in order; how they are cut depends on the files alone."""
        out, start = self.out(), 0
        kinds = {**self.kinds, **({ROW: "integer"} if self.numbered else {})}
        names = tuple(self.kinds if columns is None else columns)
        size = rowgroups.batch_rows(kinds)
        for spans, rows in rowgroups.pieces(self.parts, size):
            gone = out.mask(start, rows)
            yield Piece(
                spans=spans, kinds=kinds, names=names, size=size, start=start, rows=rows,
                gone=np.packbits(gone) if gone.any() else None, numbered=self.numbered,
            )  # fmt: skip
            start += rows

    def save(self, folder: Path, out: Bits | None = None) -> None:
        """Write `table.json` and the rows to pass over into an existing folder."""
        if out is not None:
            out.save(folder / OUT)
        write_json(folder / FILE, replace(self, folder=None))

    def told(self, what: str) -> tuple[str, ...]:
        """Warn that something goes by the sample; not where the sample is all there is."""
        if self.whole:
            return ()
        size = f"a sample of {self.sample:,} of {self.source:,} rows"
        return (f"{what} {size}, because the table is read in pieces (source.stream)",)


def _filtered(rows: Rows, kept: np.ndarray) -> Rows:
    unreadable = {name: cells[kept] for name, cells in rows.unreadable.items()}
    return Rows(rows.table.filter(pa.array(kept)), unreadable)


def gathered(samples: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return the same rows in one frame, where they lie in many: each takes as much again as its few rows."""
    return [pd.concat(samples)] if len(samples) >= TOGETHER else samples


def load(folder: Path) -> Table:
    """Return the table in a step's folder; files that lie there are found again when it was moved."""
    read = from_json(Table, json.loads((folder / FILE).read_text(encoding="utf-8")))
    parts = tuple(replace(part, path=folder / part.path) for part in read.parts)
    return replace(read, parts=parts, folder=folder)


def own_part(path: Path, rows: int) -> Part:
    """Return a file that a step has written into its own folder, which may be moved."""
    return Part(name=path.name, path=Path(path.name), rows=rows, size=path.stat().st_size, changed=0)


def _ids(batch: pa.Table, start: int, *, numbered: bool) -> np.ndarray:
    if not numbered:
        return np.arange(start, start + batch.num_rows, dtype=np.int64)
    return np.asarray(batch.column(ROW).to_numpy(), dtype=np.int64)


def save(folder: Path, data: Dataset, types: Mapping[str, str], source: int) -> None:
    """Write examples in memory as the table of a step, into an existing folder.

    Args:
        folder: Where.
        data: The rows that count, under their ids.
        types: Type of each column.
        source: Rows of the source that the ids count.
    """
    data.save(folder)
    part = own_part(folder / "rows.parquet", len(data))
    Table(parts=(part,), kinds=dict(types), source=source, sample=len(data), numbered=True).save(folder)
