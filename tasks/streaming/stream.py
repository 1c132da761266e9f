"""A table beyond memory as a step leaves it: files, the rows of them that do not count, and a sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.records import from_json
from tasks.store import write_json
from tasks.streaming import hashing, rowgroups
from tasks.streaming.bits import Bits
from tasks.streaming.rowgroups import Part, Span

FILE = "stream.json"
OUT = "out.npy"
TOGETHER = 64
"""Pieces whose samples are put together."""
ID = "__row__"
"""Column that holds the row ids, where they are not the rows' positions."""


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
        """Row ids, int64 (n,), and columns of the rows that count, some at a time.

        Raises:
            ArtifactTampered: A file is not what it was.
        """
        gone = None if self.gone is None else np.unpackbits(self.gone, count=self.rows).astype(bool)
        at, read = 0, [*self.names, *([ID] if self.numbered else [])]
        for part, groups in self.spans:
            for found in rowgroups.batches(part, self.kinds, read, self.size, groups):
                ids = _ids(found, self.start + at, numbered=self.numbered)
                rows, out = found.select(self.names), None if gone is None else gone[at : at + len(ids)]
                at += len(ids)
                if out is not None and out.any():
                    ids, rows = ids[~out], rows.filter(pa.array(~out))
                if len(ids):
                    yield ids, rows


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A table in files.

    Attributes:
        parts: The files in row order.
        kinds: Type of each column, one of `rowgroups.TYPES`, in the columns' order.
        source: Rows of the source that the row ids count.
        sample: Rows that lie beside it in `rows.parquet`.
        memory_mb: Memory that may be taken, in MiB.
        numbered: Whether the files hold row ids in a column of their own; else an id is a position.
        folder: Where the file `out.npy` with the rows to pass over lies; None before there is one.
    """

    parts: tuple[Part, ...]
    kinds: dict[str, str]
    source: int
    sample: int
    memory_mb: int
    numbered: bool = False
    folder: Path | None = None

    @property
    def stored(self) -> int:
        """Rows in the files, those to pass over included."""
        return sum(part.rows for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether the sample was drawn from so few rows that it is all of them."""
        return self.source <= hashing.SAMPLE

    def out(self) -> Bits:
        """The rows to pass over, by position in the files."""
        if self.folder is None:
            return Bits(self.stored)
        return Bits.load(self.folder / OUT, self.stored)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Row ids, int64 (n,), and columns of every row that counts, some rows at a time."""
        for piece in self.pieces(columns):
            yield from piece.batches()

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """All rows in pieces, in order; how they are cut depends on the files alone."""
        out, start = self.out(), 0
        kinds = {**self.kinds, **({ID: "integer"} if self.numbered else {})}
        names = tuple(self.kinds if columns is None else columns)
        size = rowgroups.batch_rows(kinds)
        for spans, rows in rowgroups.pieces(self.parts, size):
            gone = out.mask(start, rows)
            yield Piece(
                spans=spans, kinds=kinds, names=names, size=size, start=start, rows=rows,
                gone=np.packbits(gone) if gone.any() else None, numbered=self.numbered,
            )  # fmt: skip
            start += rows

    def save(self, folder: Path, out: Bits) -> None:
        """Writes `stream.json` and the rows to pass over into an existing folder."""
        out.save(folder / OUT)
        write_json(folder / FILE, replace(self, folder=None))

    def told(self, what: str) -> tuple[str, ...]:
        """A warning that something goes by the sample; none where the sample is all there is."""
        if self.whole:
            return ()
        size = f"a sample of {self.sample:,} of {self.source:,} rows"
        return (f"{size} is what {what}; the table is read in pieces (source.stream)",)


def gathered(samples: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The same rows in one frame, where they lie in many: each takes as much again as its few rows."""
    return [pd.concat(samples)] if len(samples) >= TOGETHER else samples


def streamed(folder: Path) -> bool:
    """Whether a step's folder holds a table beyond memory; `rows.parquet` beside it is then a sample."""
    return (folder / FILE).exists()


def load(folder: Path) -> Stream:
    """The stream in a step's folder; files that lie there are found again when it was moved."""
    read = from_json(Stream, json.loads((folder / FILE).read_text(encoding="utf-8")))
    parts = tuple(replace(part, path=folder / part.path) for part in read.parts)
    return replace(read, parts=parts, folder=folder)


def memory_mb(folder: Path) -> int | None:
    """Memory that a step may take for what lies in a folder, on which the order of training depends.

    None where that is in memory as a whole.
    """
    return load(folder).memory_mb if streamed(folder) else None


def told(folder: Path, what: str) -> tuple[str, ...]:
    """The same about what lies in a step's folder; none where that is in memory as a whole."""
    return load(folder).told(what) if streamed(folder) else ()


def own_part(path: Path, rows: int) -> Part:
    """A file that a step has written into its own folder, which may be moved."""
    return Part(name=path.name, path=Path(path.name), rows=rows, size=path.stat().st_size, changed=0)


def _ids(batch: pa.Table, start: int, *, numbered: bool) -> np.ndarray:
    if not numbered:
        return np.arange(start, start + batch.num_rows, dtype=np.int64)
    return np.asarray(batch.column(ID).to_numpy(), dtype=np.int64)
