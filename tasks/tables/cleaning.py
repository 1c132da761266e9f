"""Cleaning of a table: the operations on each piece, then duplicates, found by the rows' hashes.

A table in memory stays there; of one beyond it, each piece becomes a Parquet file, and duplicates are passed
over from then on.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.cleaning.operations import Applied
from tasks.dataset import Dataset, place
from tasks.features.schema import frame
from tasks.records import FileRecord
from tasks.store import replacing
from tasks.tables import hashing
from tasks.tables import table as table_of
from tasks.tables.bits import Bits
from tasks.tables.duplicates import Runs
from tasks.tables.mapping import mapped
from tasks.tables.rowgroups import Part
from tasks.tables.table import Piece, Table, gathered, own_part
from tasks.tables.writing import Writer, canonical, cleaned_types

FILE = "piece-{:05d}.parquet"
"""The rows of a piece that stay, by its number."""
PLACES = 10
"""Most bad rows that are kept to be named."""

Operate = Callable[[pd.DataFrame], tuple[Applied, dict[int, str]]]
"""Rows to what the operations make of them, and the rows that can't be used, each with the reason."""


@dataclass
class Cleaned:
    """What cleaning did.

    Attributes:
        changed: Each operation in order, `duplicates` last, with what it changed.
        bad: Reasons why rows were set aside, counted.
        first: Ids of the first of those rows.
        kept: Rows that stay.
        dropped: Rows that an operation or a duplicate cost.
        digest: Of the rows that stay.
    """

    changed: tuple[tuple[str, int], ...] = ()
    bad: Counter[str] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)
    kept: int = 0
    dropped: int = 0
    digest: str = ""

    @property
    def quarantined(self) -> int:
        """Rows that were set aside."""
        return self.bad.total()

    def include(self, piece: Cleaned) -> None:
        """Adds what was done in the piece that follows."""
        self._changed(piece.changed)
        self.bad.update(piece.bad)
        self.first += piece.first[: PLACES - len(self.first)]
        self.dropped += piece.dropped

    def count(self, applied: Applied, bad: Mapping[int, str]) -> pd.DataFrame:
        """Counts what became of some rows; those that stay, but for duplicates."""
        self._changed(applied.changed)
        self.bad.update(bad.values())
        self.first += sorted(bad)[: PLACES - len(self.first)]
        self.dropped += len(applied.dropped)
        gone = applied.dropped.union(pd.Index(list(bad), dtype=np.int64))
        return applied.rows[~applied.rows.index.isin(gone)] if len(gone) else applied.rows

    def _changed(self, more: tuple[tuple[str, int], ...]) -> None:
        before = self.changed or tuple((name, 0) for name, _ in more)
        # Columns that were renamed are the same ones in every batch; cells and rows are others.
        self.changed = tuple(
            (name, new if name == "rename" else n + new)
            for (name, n), (_, new) in zip(before, more, strict=True)
        )


def clean(
    raw: Table,
    operate: Operate,
    files: tuple[FileRecord, ...],
    folder: Path,
    same: Sequence[str] | None = None,
) -> Cleaned:
    """Write the cleaned rows, or the sample of them, and `quarantine.csv` into an existing folder.

    Args:
        raw: The rows that validation let pass.
        operate: Runs the operations on some rows.
        files: Of the source, to name a bad row's place.
        folder: Where.
        same: Columns in which two rows are equal that are duplicates; None for all.

    Raises:
        ArtifactTampered: The source is not what was validated.
        ConfigError: An operation names an unknown column, or one of the project's own gives a column another
            type in some rows.
    """
    done, told = Cleaned(), _Told()
    tidy = partial(_tidy, operate=operate, raw=replace(raw, parts=()), folder=folder, same=same)
    pieces = enumerate(raw.pieces())
    with (
        _listing(folder / "quarantine.csv", files) as listed,
        tempfile.TemporaryDirectory(dir=folder, prefix=".runs-") as place_of_runs,
        Runs(Path(place_of_runs), raw.stored) as runs,
    ):
        first = tidy(next(pieces))  # its columns' types are those of all pieces
        for tidied in chain([first], mapped(partial(tidy, types=first.types), pieces)):
            done.include(tidied.done)
            listed(tidied.bad)
            runs.add(tidied.marks)
            told.include(tidied)
        twice = runs.repeated()
    for left in folder.glob(".piece-*"):  # by a worker that ended, or was thought to have
        left.unlink()
    done.changed += (("duplicates", twice.total()),)
    done.dropped += twice.total()
    done.kept = told.rows - twice.total()
    done.digest = told.digest(first.types, twice)
    if done.kept:
        _save(raw, told, first.types, twice, folder)
    return done


@dataclass
class _Tidied:
    """What became of a piece.

    Attributes:
        done: What was counted.
        bad: The rows that were set aside, each with the reason.
        types: Type of each column.
        part: The file of the rows that stay; None where these are the sample.
        ids: Their ids, int64 (n,).
        hashes: Their hashes, uint64 (n,).
        marks: Hashes of what must not stand twice, uint64 (n,).
        sample: The sampled ones.
        chosen: Which of them those are, bool (n,).
    """

    done: Cleaned
    bad: dict[int, str]
    types: dict[str, str]
    part: Part | None
    ids: np.ndarray
    hashes: np.ndarray
    marks: np.ndarray
    sample: pd.DataFrame
    chosen: np.ndarray


def _tidy(
    numbered: tuple[int, Piece],
    *,
    operate: Operate,
    raw: Table,
    folder: Path,
    same: Sequence[str] | None,
    types: dict[str, str] | None = None,
) -> _Tidied:
    """Clean a piece and write the rows that stay; a second time it writes the same."""
    number, piece = numbered
    done, bad, known = Cleaned(), dict[int, str](), types or {}
    ids, hashes, marks, sample, chosen = [], [], [], [], []
    with _writing(None if raw.in_memory else folder / FILE.format(number)) as write:
        for row_ids, batch in piece.batches():
            applied, unusable = operate(frame(batch, row_ids))
            left = done.count(applied, unusable)
            bad |= unusable
            known = known or cleaned_types(left, raw.kinds)
            rows = canonical(left, known)
            ids.append(left.index.to_numpy(dtype=np.int64))
            hashes.append(hashing.rows(rows, list(known)))
            kept = same and [name for name in same if name in known]
            marks.append(hashing.rows(rows, kept) if kept else hashes[-1])
            chosen.append(raw.sampled(ids[-1]))
            sample.append(frame(rows.filter(pa.array(chosen[-1])), ids[-1][chosen[-1]]))
            write(rows, ids[-1], known)
    return _Tidied(
        done=done, bad=bad, types=known, part=write.part(), ids=_joined(ids, np.int64),
        hashes=_joined(hashes, np.uint64), marks=_joined(marks, np.uint64),
        sample=pd.concat(sample) if sample else pd.DataFrame(), chosen=_joined(chosen, np.bool_),
    )  # fmt: skip


class _Writing:
    """A piece's file, made when the first rows come; none for a table in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.rows = path, 0
        self._open = ExitStack()
        self._writer: Writer | None = None

    def __call__(self, rows: pa.Table, ids: np.ndarray, types: Mapping[str, str]) -> None:
        if self.path is None or not len(ids):
            return
        if self._writer is None:
            temporary = self._open.enter_context(replacing(self.path))
            self._writer = self._open.enter_context(Writer(temporary, types))
        self._writer.write(rows, ids)
        self.rows += len(ids)

    def part(self) -> Part | None:
        """The file, once it is closed."""
        return own_part(self.path, self.rows) if self.path is not None and self.rows else None


@contextmanager
def _writing(path: Path | None) -> Iterator[_Writing]:
    writing = _Writing(path)
    with writing._open:
        yield writing


def _joined(arrays: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)


class _Told:
    """The rows that stay, of one piece after the other."""

    def __init__(self) -> None:
        self.rows, self.parts = 0, list[Part]()
        self.samples, self.where = list[pd.DataFrame](), list[np.ndarray]()
        self._ids, self._hashes = hashlib.sha256(), hashlib.sha256()

    def include(self, piece: _Tidied) -> None:
        """Add the piece that follows."""
        if piece.part is not None:
            self.parts.append(piece.part)
        if len(piece.ids):
            self.samples = gathered([*self.samples, piece.sample])
            self.where.append(self.rows + np.flatnonzero(piece.chosen))
        self.rows += len(piece.ids)
        self._ids.update(piece.ids.tobytes())
        self._hashes.update(piece.hashes.tobytes())

    def digest(self, types: Mapping[str, str], twice: Bits) -> str:
        """Hex sha256 over names and types of the columns, ids and hashes of the rows, and the duplicates."""
        out = hashlib.sha256(b"" if twice.untouched else twice.packed.tobytes()).hexdigest()
        told = json.dumps([dict(types), self._ids.hexdigest(), self._hashes.hexdigest(), out])
        return hashlib.sha256(told.encode()).hexdigest()

    def sample(self, out: Bits) -> pd.DataFrame:
        """The sampled rows that are no duplicates."""
        return pd.concat(self.samples)[~out.of(np.concatenate(self.where))]


def _save(raw: Table, told: _Told, types: Mapping[str, str], out: Bits, folder: Path) -> None:
    sample = told.sample(out)
    if raw.in_memory:
        table_of.save(folder, Dataset(sample, _pixels(raw, sample.index)), types, raw.source)
        return
    Dataset(sample).save(folder)
    table = replace(raw, parts=tuple(told.parts), kinds=dict(types), sample=len(sample), numbered=True)
    table.save(folder, out)


def _pixels(raw: Table, ids: pd.Index) -> np.ndarray | None:
    """The pixels of the rows that stay, where rows describe pictures."""
    assert raw.folder is not None
    before = Dataset.load(raw.folder) if (raw.folder / "pixels.npy").exists() else None
    if before is None or before.pixels is None:
        return None
    return np.asarray(before.pixels[before.rows.index.get_indexer(ids)])


@contextmanager
def _listing(path: Path, files: tuple[FileRecord, ...]) -> Iterator[Callable[[Mapping[int, str]], None]]:
    """A function that appends bad rows, each with its place and reason, to a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("row", "place", "reason"))
        yield lambda bad: writer.writerows((row, place(row, files), bad[row]) for row in sorted(bad))
