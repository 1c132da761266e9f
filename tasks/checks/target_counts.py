"""What a target's values are, counted over pieces, as far as it takes to see that they can be learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.checks import prechecks
from tasks.config import Task
from tasks.records import Finding
from tasks.tables import cells
from tasks.tables.running_statistics import Levels, Moments


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
