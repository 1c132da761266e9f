"""Cleaning of a table beyond memory: the same operations, batch by batch, into one Parquet file.

Duplicates are the one thing that a row alone does not tell; they are found by the rows' hashes, and passed
over from then on.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.cleaning.operations import Applied
from tasks.dataset import Dataset, place
from tasks.records import FileRecord
from tasks.streaming import hashing, rowgroups
from tasks.streaming.bits import Bits
from tasks.streaming.duplicates import Runs
from tasks.streaming.stream import Stream, own_part
from tasks.streaming.writing import Writer

FILE = "stream.parquet"
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

    def count(self, applied: Applied, bad: Mapping[int, str]) -> pd.DataFrame:
        """Counts what became of some rows; those that stay, but for duplicates."""
        before = self.changed or tuple((name, 0) for name, _ in applied.changed)
        pairs = zip(before, applied.changed, strict=True)
        # Columns that were renamed are the same ones in every batch; cells and rows are others.
        self.changed = tuple((name, more if name == "rename" else n + more) for (name, n), (_, more) in pairs)
        self.bad.update(bad.values())
        self.first += sorted(bad)[: PLACES - len(self.first)]
        self.dropped += len(applied.dropped)
        gone = applied.dropped.union(pd.Index(list(bad), dtype=np.int64))
        return applied.rows[~applied.rows.index.isin(gone)] if len(gone) else applied.rows


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
    done, sampled, where = Cleaned(), [], []
    with (
        _listing(folder / "quarantine.csv", files) as listed,
        tempfile.TemporaryDirectory(dir=folder, prefix=".runs-") as place_of_runs,
        Runs(Path(place_of_runs), raw.stored) as runs,
    ):
        with Writer(folder / FILE) as writer:
            for ids, batch in raw.batches():
                applied, bad = operate(rowgroups.frame(batch, ids))
                listed(bad)
                rows = done.count(applied, bad)
                chosen = hashing.sampled(rows.index.to_numpy(), raw.source)
                sampled.append(rows[chosen])
                where.append(writer.rows + np.flatnonzero(chosen))
                runs.add(writer.write(rows))
        twice = runs.repeated()
    done.changed += (("duplicates", twice.total()),)
    done.dropped += twice.total()
    done.kept = writer.rows - twice.total()
    done.digest = writer.digest
    if done.kept:
        _save(raw, writer, pd.concat(sampled)[~twice.of(np.concatenate(where))], twice, folder)
    return done


def _save(raw: Stream, writer: Writer, sample: pd.DataFrame, out: Bits, folder: Path) -> None:
    Dataset(sample).save(folder)
    Stream(
        parts=(own_part(writer.path, writer.rows),),
        kinds=writer.kinds,
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
