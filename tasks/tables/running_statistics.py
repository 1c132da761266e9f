"""Statistics that add up over pieces: levels counted one by one, numbers by their moments."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import DataRejected, quoted
from tasks.tables import cells

LEVELS = 100_000
"""Most values of a column that are told apart; beyond them nothing is learned from which one it is."""


@dataclass(frozen=True)
class Moments:
    """Of numbers that were seen; two of them add up to that of both (Chan, Golub & LeVeque, 1979)."""

    count: int = 0
    total: float = 0.0
    """Their sum: of whole numbers it is exact, however they are cut into pieces."""
    squares: float = 0.0
    """Sum of the squared distances from the mean."""
    low: float = math.inf
    high: float = -math.inf

    @staticmethod
    def of(values: np.ndarray) -> Moments:
        """Of float64 (n,) without NaN."""
        if not len(values):
            return Moments()
        total = float(values.sum())
        squares = float(((values - total / len(values)) ** 2).sum())
        return Moments(len(values), total, squares, float(values.min()), float(values.max()))

    @property
    def mean(self) -> float:
        """Their mean; 0 of none."""
        return self.total / self.count if self.count else 0.0

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        return Moments(
            count,
            self.total + other.total,
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
