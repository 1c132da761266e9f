"""Validation of a table beyond memory: one pass, after which every count is known; nothing is copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.checks import prechecks, suite
from tasks.checks.inspection import Inspection
from tasks.checks.suite import Entry, Outcome, Suite
from tasks.config import Columns, Source, TableSource, Task, Validate
from tasks.dataset import Dataset
from tasks.records import FileRecord, Finding
from tasks.sources import table
from tasks.store import digest
from tasks.streaming import cells, hashing, judging, rowgroups
from tasks.streaming.bits import Bits
from tasks.streaming.counting import Counts
from tasks.streaming.judging import Judged
from tasks.streaming.mapping import mapped
from tasks.streaming.rowgroups import Part
from tasks.streaming.stream import Piece, Stream, gathered


@dataclass(frozen=True)
class Told:
    """A table beyond memory, looked at from outside.

    Attributes:
        parts: Its files.
        kinds: Type of each column.
        digests: Role and sha256 of each file's bytes.
        memory_mb: Memory that may be taken.
    """

    parts: tuple[Part, ...]
    kinds: dict[str, str]
    digests: tuple[tuple[str, str], ...]
    memory_mb: int

    @property
    def fingerprint(self) -> str:
        """The same as `sources.fingerprint` of the table."""
        return digest(list(self.digests))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        return tuple(self.kinds)

    @property
    def stream(self) -> Stream:
        """Its rows."""
        rows = sum(part.rows for part in self.parts)
        return Stream(parts=self.parts, kinds=self.kinds, source=rows, sample=0, memory_mb=self.memory_mb)

    @property
    def state(self) -> list[object]:
        """What later steps go by, which read the files again: which ones they are, and the memory for it."""
        return [self.memory_mb, *((str(part.path), part.size, part.changed) for part in self.parts)]


@dataclass(frozen=True, kw_only=True)
class Found(Inspection):
    """What an inspection found of rows that are not in memory.

    Attributes:
        broken: Each rule by which rows are set aside, in order, with those rows.
        out: All of those rows.
        sample: The sampled rows that were not.
        stream: All rows.
    """

    broken: dict[str, Bits]
    sample: pd.DataFrame = field(repr=False)
    out: Bits = field(repr=False)
    stream: Stream

    @property
    def quarantined(self) -> int:
        """Rows that were set aside."""
        return self.out.total()

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined rows by their first reason, most frequent first."""
        counts, known = Counter[str](), Bits(self.read)
        for reason, rows in self.broken.items():
            counts[reason] = rows.without(known).total()
            known |= rows
        return {reason: count for reason, count in counts.most_common() if count}

    def listed(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each row that was set aside, in order, with every rule that it broke."""
        for row in self.out.positions():
            yield row, tuple(reason for reason, rows in self.broken.items() if rows.mask(row, 1)[0])

    def save(self, folder: Path) -> None:
        """Writes the rows that stay: where they lie, and the sample of them."""
        Dataset(self.sample).save(folder)
        self.stream.save(folder, self.out)


def look(source: Source, project: Path, columns: Columns) -> Told | None:
    """What there is to stream; None for a source that is to be read as a whole.

    Raises:
        ConfigError, DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `sources.read`.
    """
    if not isinstance(source, TableSource) or not rowgroups.is_beyond(source, project, columns):
        return None
    parts, kinds = rowgroups.look(source, project, columns)
    digests = table.digests(source, project) or []
    return Told(parts, kinds, tuple(digests), source.memory_mb)


def inspect(
    told: Told, asked: Suite, rules: Validate, target: str, kind: Task, columns: Columns, docs: Path
) -> Found:
    """The same checks as of a table in memory, on rows that pass by.

    Args:
        told: The table.
        asked: The suite.
        rules: Budget and limits.
        target: Column to predict.
        kind: Of the task.
        columns: Which columns the configuration names.
        docs: Folder that gets the Data Docs, of the sample.

    Raises:
        ArtifactTampered: A file changed meanwhile.
        ConfigError: An expectation that can't be judged piece by piece, or is wrong.
        DataRejected: Great Expectations failed as a whole.
    """
    stream = told.stream
    asking = _Asking.of(stream, asked, target, kind, columns)
    passing = _Pass(asking, Bits(stream.source))
    for seen in mapped(partial(_see, asking), stream.pieces()):
        passing.include(seen)
    for part in told.parts:
        part.check()
    outcomes = passing.outcomes(asked, docs, whole=stream.whole, show_values=rules.show_values)
    findings = _structure(passing.sample, target, columns) + passing.findings(rules.null_share)
    broken = passing.broken | passing.told_by(outcomes)
    out = Bits(stream.source)
    for rows in broken.values():
        out |= rows
    kept = passing.sample[~out.of(passing.sample.index.to_numpy())]
    files = zip(told.parts, told.digests, strict=True)
    return Found(
        fingerprint=told.fingerprint,
        files=tuple(FileRecord(name=part.name, rows=part.rows, sha256=sha) for part, (_, sha) in files),
        read=stream.source,
        share=rules.quarantine,
        suite=asked,
        outcomes=outcomes,
        findings=(*findings, *_by_sample(passing, stream)),
        bad={},
        broken=broken,
        sample=kept,
        out=out,
        stream=replace(stream, sample=len(kept)),
    )


@dataclass(frozen=True)
class _Asking:
    """What every piece is asked.

    Attributes:
        rows: Rows of the table.
        features: Columns to learn from.
        target: The column to predict; None where the table lacks it.
        task: Of the project.
        counted: Expectations that counts can judge, by their position in the suite.
        unjudged: Types of the others, which go by a sample that is not all of the rows.
    """

    rows: int
    features: tuple[str, ...]
    target: str | None
    task: Task
    counted: dict[int, Entry]
    unjudged: tuple[str, ...]

    @staticmethod
    def of(stream: Stream, asked: Suite, target: str, task: Task, columns: Columns) -> _Asking:
        """Raises ConfigError for an expectation that neither counts nor a sample can judge."""
        counted, unjudged = dict[int, Entry](), list[str]()
        for position, entry in enumerate(asked.entries):
            if judging.countable(entry, stream.kinds):
                counted[position] = entry
            elif not stream.whole:
                judging.refuse_untold(entry, f"{asked.path.name}: expectations[{position}]")
                unjudged.append(entry.type)
        features = tuple(name for name in stream.kinds if name != target and name not in columns.drop)
        there = target if target in stream.kinds else None
        return _Asking(stream.source, features, there, task, counted, tuple(unjudged))


def _see(asking: _Asking, piece: Piece) -> _Pass:
    """What is counted in one piece."""
    passing = _Pass(asking, Bits.of_piece(piece.start, piece.rows))
    for ids, batch in piece.batches():
        passing.see(ids, batch)
    return passing


class _Pass:
    """All that is counted while the rows of a piece, or of all pieces, pass by."""

    def __init__(self, asking: _Asking, none: Bits) -> None:
        """Nothing seen yet; `none` is the empty set of the rows that are to come."""
        self.asking, self.none = asking, none
        self.gaps = dict.fromkeys(asking.features, 0)
        self.answers = Counts.of_target(asking.target, asking.task)
        self.broken: dict[str, Bits] = {}
        self.judged = {at: Judged(entry, none.empty()) for at, entry in asking.counted.items()}
        self.kept: list[pd.DataFrame] = []

    def include(self, piece: _Pass) -> None:
        """Adds what was counted in the piece that follows."""
        for name, count in piece.gaps.items():
            self.gaps[name] += count
        for reason, rows in piece.broken.items():
            self.broken.setdefault(reason, self.none.empty()).include(rows)
        for position, one in piece.judged.items():
            self.judged[position].include(one)
        self.answers.include(piece.answers)
        self.kept = gathered(self.kept + piece.kept)

    def see(self, ids: np.ndarray, batch: pa.Table) -> None:
        sound = np.ones(len(ids), dtype=bool)
        target = self.asking.target
        if target is not None:
            sound &= self._set_aside(f"{target}: target missing", ids, cells.blank(cells.of(batch, target)))
        for name in (*self.asking.features, *([target] if target else [])):
            column = cells.of(batch, name)
            if name in self.gaps:
                self.gaps[name] += int(cells.missing(column).sum())
            if pa.types.is_floating(column.type):
                sound &= self._set_aside(f"{name}: not finite", ids, np.isinf(cells.numbers(column)))
        for one in self.judged.values():
            one.see(batch, ids, sound)
        self.answers.see(batch, ids, sound)
        chosen = hashing.sampled(ids, self.asking.rows)
        if chosen.any():
            self.kept.append(rowgroups.frame(batch.filter(pa.array(chosen)), ids[chosen]))

    def _set_aside(self, reason: str, ids: np.ndarray, broken: np.ndarray) -> np.ndarray:
        if broken.any():
            self.broken.setdefault(reason, self.none.empty()).add(ids[broken])
        return ~broken

    @property
    def sample(self) -> pd.DataFrame:
        """The sampled rows, under their ids."""
        if len(self.kept) > 1:
            self.kept = [pd.concat(self.kept)]
        return self.kept[0]

    def outcomes(self, asked: Suite, docs: Path, *, whole: bool, show_values: bool) -> tuple[Outcome, ...]:
        """Great Expectations' answers for the sample, and the counts of all rows in their place."""
        rows = self.sample
        bad = np.zeros(len(rows), dtype=bool)
        for broken in self.broken.values():
            bad |= broken.of(rows.index.to_numpy())
        sound = rows[~bad]
        found = list(suite.run(asked, sound if len(sound) else None, docs, show_values=show_values))
        for position, outcome in enumerate(found):
            if position in self.judged and not outcome.could_not_run:
                found[position] = self.judged[position].outcome()
            elif not whole:
                # Rows that only the sample shows can't be set aside in all the others.
                notes = f"{outcome.notes} (judged on a sample of {len(sound):,} rows)".strip()
                found[position] = replace(outcome, rows=None, notes=notes)
        return tuple(found)

    def told_by(self, outcomes: tuple[Outcome, ...]) -> dict[str, Bits]:
        """Rows that the suite sets aside, by expectation."""
        told: dict[str, Bits] = {}
        for position, outcome in enumerate(outcomes):
            if outcome.word != "quarantined":
                continue
            if position in self.judged:
                rows = self.judged[position].broken
            else:
                rows = self.none.empty()
                rows.add(np.array(outcome.rows, dtype=np.int64))
            told[outcome.title] = told[outcome.title] | rows if outcome.title in told else rows
        return told

    def findings(self, null_share: float) -> list[Finding]:
        """What is wrong with columns as wholes."""
        rows = self.asking.rows
        found = [prechecks.gaps_in(name, count, rows, null_share) for name, count in self.gaps.items()]
        return [
            *(one for one in found if one),
            *(self.answers.findings(rows, self.sample) if self.asking.target else []),
        ]


def _structure(sample: pd.DataFrame, target: str, columns: Columns) -> list[Finding]:
    """Columns that the configuration names and the table lacks; the reader has checked the names."""
    found = prechecks.check(sample.iloc[:1], target=target, columns=columns, null_share=1.0)
    return [finding for finding in found.findings if finding.rule == "column missing"]


def _by_sample(passing: _Pass, stream: Stream) -> list[Finding]:
    unjudged = passing.asking.unjudged
    others = f" and {len(unjudged)} expectations" if unjudged else ""
    told = replace(stream, sample=len(passing.sample)).told(f"the Data Docs{others} go by")
    return [Finding(rule="sample", severity="warn", message=message) for message in told]
