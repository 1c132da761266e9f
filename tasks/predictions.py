"""What any rung of the ladder answers, in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Answers for n rows.

    Attributes:
        values: (n,) labels for classification, float64 for regression. A label is the most probable class,
            or, of a model trained with class weights, the one with the largest weighted output.
        probabilities: (n, k) float64, each row summing to 1; None for regression.
        classes: (k,) label of each column of `probabilities`; None for regression.
        bounded: How many of `values` were brought back to the range of the train targets.
        unfamiliar: Column to how many of its cells training saw nothing like: a category that is no level, or
            a gap where it saw none. Columns without such a cell are left out.
    """

    values: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None
    bounded: int = 0
    unfamiliar: Mapping[str, int] = field(default_factory=dict)

    @property
    def confidence(self) -> np.ndarray | None:
        """(n,) probability of each label that is answered; None for regression."""
        if self.probabilities is None or self.classes is None:
            return None
        columns = {label: column for column, label in enumerate(self.classes.tolist())}
        at = [columns[label] for label in self.values.tolist()]
        return np.asarray(self.probabilities[np.arange(len(at)), at])

    @property
    def note(self) -> str:
        """A sentence about answers that were brought back; empty where none was."""
        if not self.bounded:
            return ""
        whole = f"{self.bounded:,} of {len(self.values):,}"
        return f"{whole} answers lay beyond the range of the train targets and were brought back to it"

    def take(self, chosen: np.ndarray) -> Predictions:
        """The answers for some of the rows: a mask, or positions."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Predictions(self.values[chosen], probabilities, self.classes)
