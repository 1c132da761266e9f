"""What a split depends on besides the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tasks.config import Task


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How rows are assigned to train, validation and test.

    Attributes:
        strategy: One of `split.strategy`.
        validation: Share of validation rows among the rows to assign.
        test: Share of test rows among them; 0 if the test rows are given.
        column: The group, the time, the key or the name of the part, if the strategy uses one.
        target: Column that is predicted.
        task: Kind of learning problem; classes or quantiles of a number are the strata.
        seed: Salts every hash.
        content: Columns that make two rows the same example to a model; never the target.
        official: Column whose word `test` marks an official test set, which stays the test set.
        carve: Whether `column` names no validation rows, so that train rows become validation rows.
    """

    strategy: str
    validation: float
    test: float
    column: str | None
    target: str
    task: Task
    seed: int
    content: tuple[str, ...]
    official: str | None = None
    carve: bool = False

    @property
    def stratified(self) -> bool:
        """Whether parts keep the proportions of classes, or of the quantiles of a number."""
        return self.strategy == "stratified" or (self.carve and self.task == "classification")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read, each once."""
        by_content = self.carve or self.strategy in ("random", "stratified")
        keyed = self.content if by_content or self.column is None else ()
        named = (self.column, self.official, self.target if self.stratified else None)
        return tuple(dict.fromkeys([*sorted(keyed), *(name for name in named if name is not None)]))


def rounded(rows: int, share: float) -> int:
    """Rows that are `share` of `rows`, halves rounded up."""
    return math.floor(rows * share + 0.5)


FEWEST_UNSEEN = 30


def fewest_unseen(test: int) -> int:
    """Test rows a champion must not have learned from to be compared on them; half of a small test set."""
    return min(FEWEST_UNSEEN, math.ceil(test / 2))
