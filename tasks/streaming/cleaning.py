"""Cleaning of a table beyond memory: the same operations, each piece into a Parquet file of its own.

Duplicates are the one thing that a row alone does not tell; they are found by the rows' hashes, and passed
over from then on.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.cleaning.operations import Applied
from tasks.dataset import Dataset, place
from tasks.records import FileRecord
from tasks.store import replacing
from tasks.streaming import hashing, rowgroups
from tasks.streaming.bits import Bits
from tasks.streaming.duplicates import Runs
from tasks.streaming.mapping import mapped
from tasks.streaming.rowgroups import Part
from tasks.streaming.stream import Piece, Stream, gathered, own_part
from tasks.streaming.writing import Writer

FILE = "stream-{:05d}.parquet"
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


def clean(raw: Stream, operate: Operate, files: tuple[FileRecord, ...], folder: Path) -> Cleaned:
    """Writes the cleaned rows, the sample of them and `quarantine.csv` into an existing folder.

    Args:
        raw: The rows that validation let pass.
        operate: Runs the operations on some rows.
        files: Of the source, to name a bad row's place.
        folder: Where.

    Raises:
        ArtifactTampered: The source is not what was validated.
        ConfigError: An operation names an unknown column, or one of the project's own gives a column another
            type in some rows.
    """
    done, told = Cleaned(), _Told()
    tidy = partial(_tidy, operate=operate, source=raw.source, folder=folder)
    pieces = enumerate(raw.pieces())
    with (
        _listing(folder / "quarantine.csv", files) as listed,
        tempfile.TemporaryDirectory(dir=folder, prefix=".runs-") as place_of_runs,
        Runs(Path(place_of_runs), raw.stored) as runs,
    ):
        first = tidy(next(pieces))  # its columns' types are those of all pieces
        for tidied in chain([first], mapped(partial(tidy, kinds=first.kinds), pieces)):
            done.include(tidied.done)
            listed(tidied.bad)
            runs.add(tidied.hashes)
            told.include(tidied)
        twice = runs.repeated()
    for left in folder.glob(".stream-*"):  # by a worker that ended, or was thought to have
        left.unlink()
    done.changed += (("duplicates", twice.total()),)
    done.dropped += twice.total()
    done.kept = told.rows - twice.total()
    done.digest = told.digest(first.kinds)
    if done.kept:
        _save(raw, told, first.kinds, twice, folder)
    return done


@dataclass
class _Tidied:
    """What became of a piece.

    Attributes:
        done: What was counted.
        bad: The rows that were set aside, each with the reason.
        kinds: Type of each column.
        part: The file of the rows that stay.
        ids: Their ids, int64 (n,).
        hashes: Their hashes, uint64 (n,).
        sample: The sampled ones.
        chosen: Which of them those are, bool (n,).
    """

    done: Cleaned
    bad: dict[int, str]
    kinds: dict[str, str]
    part: Part
    ids: np.ndarray
    hashes: np.ndarray
    sample: pd.DataFrame
    chosen: np.ndarray


def _tidy(
    numbered: tuple[int, Piece],
    *,
    operate: Operate,
    source: int,
    folder: Path,
    kinds: dict[str, str] | None = None,
) -> _Tidied:
    """Cleans a piece and writes the rows that stay; a second time it writes the same."""
    number, piece = numbered
    done, bad, path = Cleaned(), dict[int, str](), folder / FILE.format(number)
    ids, hashes, sample, chosen = [], [], [], []
    with replacing(path) as temporary, Writer(temporary, kinds) as writer:
        for row_ids, batch in piece.batches():
            applied, unusable = operate(rowgroups.frame(batch, row_ids))
            rows = done.count(applied, unusable)
            bad |= unusable
            hashes.append(writer.write(rows))
            ids.append(rows.index.to_numpy(dtype=np.int64))
            chosen.append(hashing.sampled(ids[-1], source))
            sample.append(rows[chosen[-1]])
    part = own_part(path, writer.rows)
    if not writer.rows:
        path.unlink()
    return _Tidied(
        done=done, bad=bad, kinds=writer.kinds, part=part, ids=_joined(ids, np.int64),
        hashes=_joined(hashes, np.uint64), sample=pd.concat(sample) if sample else pd.DataFrame(),
        chosen=_joined(chosen, np.bool_),
    )  # fmt: skip


def _joined(arrays: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=kind)


class _Told:
    """The rows that stay, of one piece after the other."""

    def __init__(self) -> None:
        self.rows, self.parts = 0, list[Part]()
        self.samples, self.where = list[pd.DataFrame](), list[np.ndarray]()
        self._ids, self._hashes = hashlib.sha256(), hashlib.sha256()

    def include(self, piece: _Tidied) -> None:
        """Adds the piece that follows."""
        if piece.part.rows:
            self.parts.append(piece.part)
            self.samples = gathered([*self.samples, piece.sample])
            self.where.append(self.rows + np.flatnonzero(piece.chosen))
        self.rows += piece.part.rows
        self._ids.update(piece.ids.tobytes())
        self._hashes.update(piece.hashes.tobytes())

    def digest(self, kinds: dict[str, str]) -> str:
        """Hex sha256 over names and types of the columns, row ids, and hashes of the rows."""
        told = json.dumps([kinds, self._ids.hexdigest(), self._hashes.hexdigest()])
        return hashlib.sha256(told.encode()).hexdigest()


def _save(raw: Stream, told: _Told, kinds: dict[str, str], out: Bits, folder: Path) -> None:
    sample = pd.concat(told.samples)[~out.of(np.concatenate(told.where))]
    Dataset(sample).save(folder)
    Stream(
        parts=tuple(told.parts),
        kinds=kinds,
        source=raw.source,
        sample=len(sample),
        memory_mb=raw.memory_mb,
        numbered=True,
    ).save(folder, out)


@contextmanager
def _listing(path: Path, files: tuple[FileRecord, ...]) -> Iterator[Callable[[Mapping[int, str]], None]]:
    """A function that appends bad rows, each with its place and reason, to a file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("row", "place", "reason"))
        yield lambda bad: writer.writerows((row, place(row, files), bad[row]) for row in sorted(bad))
