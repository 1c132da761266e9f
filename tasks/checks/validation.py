"""Validation of a table: one pass over its pieces, after which every count is known; nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.checks import counts, prechecks, suite
from tasks.checks.counts import Judged
from tasks.checks.inspection import Inspection
from tasks.checks.suite import Entry, Outcome, Suite
from tasks.checks.target_counts import Counts
from tasks.config import Columns, Task, Validate
from tasks.features import TYPES, Rows, Schema, read
from tasks.features.schema import frame
from tasks.records import Finding
from tasks.tables import cells, hashing
from tasks.tables.bits import Bits
from tasks.tables.mapping import mapped
from tasks.tables.opening import Opened, Readable
from tasks.tables.table import gathered


def inspect(
    opened: Opened, asked: Suite, rules: Validate, target: str, kind: Task, columns: Columns, docs: Path
) -> tuple[Inspection, pd.DataFrame]:
    """Judge a source: our own checks, the suite on the rows that they leave, then the target that is left.

    Args:
        opened: The source.
        asked: The suite.
        rules: Budget and limits.
        target: Column to predict.
        kind: Of the task.
        columns: Which columns the configuration names.
        docs: Folder that gets the Data Docs.

    Returns:
        What was found, and the rows that stay, or the sample of them where they are not in memory.

    Raises:
        ArtifactTampered: A file changed meanwhile.
        ConfigError: An expectation that can't be judged piece by piece, or is wrong.
        DataRejected: Great Expectations failed as a whole.
    """
    asked = _typed(asked, opened.schema)
    asking = _Asking.of(opened, asked, target, kind, columns)
    passing = _Pass(asking, Bits(opened.rows))
    for row, reason in opened.unread.items():
        passing.set_aside(reason, np.array([row]), np.array([True]))
    for seen in mapped(partial(_see, asking), opened.pieces()):
        passing.include(seen)
    passing.forget_missing_target()
    outcomes = passing.outcomes(asked, docs, show_values=rules.show_values)
    broken, sample = passing.told_by(outcomes), passing.sample
    if len(broken) > len(passing.broken):
        passing.answers = _recounted(asking, opened, broken)
    inspection = Inspection(
        fingerprint=opened.fingerprint,
        files=opened.files,
        read=opened.rows,
        share=rules.quarantine,
        suite=asked,
        outcomes=outcomes,
        findings=(
            *opened.findings,
            *prechecks.missing_columns(list(opened.schema.types), target, columns),
            *passing.findings(rules.null_share),
        ),
        broken=broken,
    )
    return inspection, sample[~inspection.out.of(sample.index.to_numpy())]


def _typed(asked: Suite, schema: Schema) -> Suite:
    """Read the values that an expectation lists as the type of its column, as every other cell is read.

    A list of 1, 2, 3 then fits a column of codes that was declared a category. What can't be read stays.
    """
    return replace(asked, entries=tuple(_entry(entry, schema) for entry in asked.entries))


def _entry(entry: Entry, schema: Schema) -> Entry:
    kind, listed = schema.types.get(str(entry.kwargs.get("column"))), entry.kwargs.get("value_set")
    if kind is None or kind == "date" or not isinstance(listed, list):
        return entry
    found = read(pd.Series(listed, dtype=object), TYPES[kind])
    values = [
        own if bad or value is None else value
        for own, value, bad in zip(listed, found.values.to_pylist(), found.unreadable, strict=True)
    ]
    return replace(entry, kwargs={**entry.kwargs, "value_set": values})


@dataclass(frozen=True)
class _Asking:
    """What every piece is asked.

    Attributes:
        rows: Rows of the table.
        whole: Whether all of them are kept for Great Expectations.
        features: Columns to learn from.
        idle: Columns that are neither features nor target, whose cells are nobody's concern.
        target: The column to predict; None where the table lacks it.
        text: The column of texts; None where there is none.
        task: Of the project.
        counted: Expectations that counts can judge, by their position in the suite.
        reasons: What is wrong with a row whose cell in a column can't be read.
    """

    rows: int
    whole: bool
    features: tuple[str, ...]
    idle: frozenset[str]
    target: str | None
    text: str | None
    task: Task
    counted: dict[int, Entry]
    reasons: dict[str, str]

    @staticmethod
    def of(opened: Opened, asked: Suite, target: str, task: Task, columns: Columns) -> _Asking:
        """Raise ConfigError for an expectation that takes all rows at once, where they are not in memory."""
        kinds, counted = opened.schema.types, dict[int, Entry]()
        whole = opened.in_memory or opened.rows <= hashing.SAMPLE
        for position, entry in enumerate(asked.entries if not whole else ()):
            if counts.countable(entry, kinds):
                counted[position] = entry
            else:
                counts.refuse_uncounted(entry, f"{asked.path.name}: expectations[{position}]")
        features = [name for name in kinds if name != target and name not in columns.drop]
        if opened.pictures or columns.text is not None:  # no column is a feature but one
            features = [name for name in features if name == columns.text]
        return _Asking(
            rows=opened.rows,
            whole=whole,
            features=tuple(features),
            idle=frozenset(kinds) - {target, *features},
            target=target if target in kinds else None,
            text=columns.text if columns.text in kinds else None,
            task=task,
            counted=counted,
            reasons={name: opened.schema.reason(name) for name in kinds},
        )


def _recounted(asking: _Asking, opened: Opened, broken: Mapping[str, Bits]) -> Counts:
    """Count the target of the rows that are left when the suite has set others aside."""
    answers, out = Counts.of_target(asking.target, asking.task), Bits(asking.rows)
    for rows in broken.values():
        out |= rows
    names = [] if asking.target is None else [asking.target]
    for counted in mapped(partial(_count, asking, out), opened.pieces(names)) if names else ():
        answers.include(counted)
    return answers


def _count(asking: _Asking, out: Bits, piece: Readable) -> Counts:
    answers = Counts.of_target(asking.target, asking.task)
    for ids, rows in piece.read():
        answers.see(rows.table, ids, ~out.of(ids))
    return answers


def _see(asking: _Asking, piece: Readable) -> _Pass:
    """Return what is counted in one piece."""
    passing = _Pass(asking, Bits.of_piece(piece.start, piece.rows))
    for ids, rows in piece.read():
        passing.see(ids, rows)
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
        """Add what was counted in the piece that follows."""
        for name, count in piece.gaps.items():
            self.gaps[name] += count
        for reason, rows in piece.broken.items():
            self.broken.setdefault(reason, self.none.empty()).include(rows)
        for position, one in piece.judged.items():
            self.judged[position].include(one)
        self.answers.include(piece.answers)
        self.kept = gathered(self.kept + piece.kept)

    def see(self, ids: np.ndarray, rows: Rows) -> None:
        """Count some rows, int64 ids (n,)."""
        asking, batch = self.asking, rows.table
        sound = self._sound(ids, rows)
        for name in self.gaps:
            self.gaps[name] += int(cells.missing(cells.of(batch, name)).sum())
        for one in self.judged.values():
            one.see(batch, ids, sound)
        self.answers.see(batch, ids, sound)
        chosen = np.ones(len(ids), dtype=bool) if asking.whole else hashing.sampled(ids, asking.rows)
        if chosen.any():
            self.kept.append(frame(batch if chosen.all() else batch.filter(pa.array(chosen)), ids[chosen]))

    def _sound(self, ids: np.ndarray, rows: Rows) -> np.ndarray:
        """Set rows aside that hold something unreadable, or lack target or text; (n,) the others."""
        sound, asking = np.ones(len(ids), dtype=bool), self.asking
        for name, unreadable in rows.unreadable.items():
            if name not in asking.idle:
                sound &= self.set_aside(asking.reasons[name], ids, unreadable)
        for column, reason in ((asking.target, "target missing"), (asking.text, "text missing")):
            if column is not None:
                name = column
                blank = cells.blank(cells.of(rows.table, name)) & ~rows.unreadable.get(name, np.False_)
                sound &= self.set_aside(f"{name}: {reason}", ids, blank)
        return sound

    def set_aside(self, reason: str, ids: np.ndarray, broken: np.ndarray) -> np.ndarray:
        """Note the rows that break a rule; (n,) those that do not."""
        if broken.any():
            self.broken.setdefault(reason, self.none.empty()).add(ids[broken])
        return ~broken

    def forget_missing_target(self) -> None:
        """Set no row aside for a target without any value: the error says it of the whole column."""
        reason = f"{self.asking.target}: target missing"
        if reason in self.broken and self.broken[reason].total() == self.asking.rows:
            del self.broken[reason]

    @property
    def sample(self) -> pd.DataFrame:
        """The sampled rows, under their ids."""
        if len(self.kept) > 1:
            self.kept = [pd.concat(self.kept)]
        return self.kept[0]

    def outcomes(self, asked: Suite, docs: Path, *, show_values: bool) -> tuple[Outcome, ...]:
        """Return Great Expectations' answers, or the counts of all rows where it judged a sample."""
        rows = self.sample
        bad = np.zeros(len(rows), dtype=bool)
        for broken in self.broken.values():
            bad |= broken.of(rows.index.to_numpy())
        sound = rows[~bad]
        found = list(suite.run(asked, sound if len(sound) else None, docs, show_values=show_values))
        for position, judged in self.judged.items():
            if not found[position].could_not_run:
                found[position] = judged.outcome()
        return tuple(found)

    def told_by(self, outcomes: tuple[Outcome, ...]) -> dict[str, Bits]:
        """Return each rule by which rows are set aside, the suite's after ours, with those rows."""
        told = dict(self.broken)
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
        """Return what is wrong with columns as wholes."""
        rows = self.asking.rows
        found = [prechecks.gaps_in(name, count, rows, null_share) for name, count in self.gaps.items()]
        return [
            *(one for one in found if one),
            *(self.answers.findings(rows, self.sample) if self.asking.target else []),
            *self._by_sample(),
        ]

    def _by_sample(self) -> list[Finding]:
        if self.asking.whole:
            return []
        message = (
            f"Data Docs show a sample of {len(self.sample):,} of {self.asking.rows:,} rows, "
            "because the table is read in pieces (source.stream)"
        )
        return [Finding(rule="sample", severity="warn", message=message)]
