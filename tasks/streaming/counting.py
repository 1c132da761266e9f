"""Values of a column, counted over all rows: classes and levels one by one, numbers by their moments."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.checks import prechecks
from tasks.config import Task
from tasks.errors import DataRejected, quoted
from tasks.records import Finding
from tasks.streaming import cells

LEVELS = 100_000
"""Most values of a column that are told apart; beyond them nothing is learned from which one it is."""


@dataclass(frozen=True)
class Moments:
    """Of numbers that were seen; two of them add up to that of both (Chan, Golub & LeVeque, 1979)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared distances from the mean."""
    low: float = math.inf
    high: float = -math.inf

    @staticmethod
    def of(values: np.ndarray) -> Moments:
        """Of float64 (n,) without NaN."""
        if not len(values):
            return Moments()
        mean = float(values.mean())
        return Moments(
            len(values), mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max())
        )

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * (other.count / count),
            self.squares + other.squares + apart * apart * (self.count * other.count / count),
            min(self.low, other.low),
            max(self.high, other.high),
        )

    def spread(self, correction: int = 0) -> float:
        """Standard deviation; NaN for too few numbers."""
        left = self.count - correction
        return math.sqrt(self.squares / left) if left > 0 else math.nan


@dataclass
class Levels:
    """How often each value of a column occurs."""

    name: str
    counts: Counter[Any] = field(default_factory=Counter)

    def see(self, column: pa.Array) -> None:
        """Counts a batch; gaps are no value.

        Raises:
            DataRejected: More than `LEVELS` values.
        """
        if cells.is_text(column):
            seen = np.bincount(column.indices.drop_null().to_numpy(), minlength=len(column.dictionary))
            texts = column.dictionary.to_pylist()
            self.counts.update({text: int(count) for text, count in zip(texts, seen, strict=True) if count})
        else:
            found = pc.value_counts(column.drop_null())
            values, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
            self.counts.update(dict(zip(values, counts, strict=True)))
        self._check()

    def include(self, other: Levels) -> None:
        """Adds what was counted in the rows that follow.

        Raises:
            DataRejected: More than `LEVELS` values.
        """
        self.counts.update(other.counts)
        self._check()

    def _check(self) -> None:
        if len(self.counts) > LEVELS:
            raise DataRejected(
                f"column {quoted(self.name)} has more than {LEVELS:,} different values",
                fix=f"put {self.name} into columns.drop, or make it a number",
            )


@dataclass
class Counts:
    """What a target's values are, as far as it takes to see that they can be learned."""

    target: str | None
    kind: Task
    levels: Levels
    first: dict[Any, int] = field(default_factory=dict)
    """A row of each class."""
    moments: Moments = field(default_factory=Moments)

    @staticmethod
    def of_target(target: str | None, kind: Task) -> Counts:
        """Nothing counted yet."""
        return Counts(target, kind, Levels(str(target)))

    def see(self, batch: pa.Table, ids: np.ndarray, sound: np.ndarray) -> None:
        """Counts the sound rows, (n,) bool, of a batch."""
        if self.target is None:
            return
        column = cells.of(batch, self.target).filter(pa.array(sound))
        if self.kind == "classification":
            self.levels.see(column)
            self._find_first(column, ids[sound])
        elif not cells.is_text(column):
            self.moments += Moments.of(cells.numbers(column))

    def _find_first(self, column: pa.Array, ids: np.ndarray) -> None:
        coded = column if cells.is_text(column) else column.dictionary_encode()
        found = np.full(len(coded.dictionary) + 1, -1, dtype=np.int64)  # the last for gaps, coded as -1
        # Of several rows the last one that is written stays: from the end on, that is the first.
        found[coded.indices.fill_null(-1).to_numpy()[::-1]] = ids[::-1]
        for value, row in zip(coded.dictionary.to_pylist(), found[:-1].tolist(), strict=True):
            if row >= 0:
                self.first.setdefault(value, row)

    def include(self, other: Counts) -> None:
        """Adds what was counted in the rows that follow."""
        self.levels.include(other.levels)
        for value, row in other.first.items():
            self.first.setdefault(value, row)
        self.moments += other.moments

    def findings(self, rows: int, sample: pd.DataFrame) -> list[Finding]:
        """What makes the target impossible to learn.

        Args:
            rows: Rows that were read.
            sample: Some of them, for the target's type.
        """
        assert self.target is not None
        if self.kind == "classification":
            counts = self.levels.counts
            if not counts:
                return [prechecks.no_target(self.target, rows)]
            lone = sorted(self.first[value] for value, count in counts.items() if count == 1)
            return prechecks.check_classes(self.target, len(counts), sum(counts.values()), lone)
        left = sample[self.target].dropna()
        if not len(left):
            return [prechecks.no_target(self.target, rows)]
        found = prechecks.check_target(left, self.kind)
        varies = self.moments.low < self.moments.high
        return [finding for finding in found if finding.rule != "constant target" or not varies]
