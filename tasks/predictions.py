"""What any rung of the ladder answers, in one shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Answers for n rows.

    Attributes:
        values: (n,) labels for classification (the most probable), float64 for regression.
        probabilities: (n, k) float64, each row summing to 1; None for regression.
        classes: (k,) label of each column of `probabilities`; None for regression.
        bounded: How many of `values` were brought back to the range of the train targets.
    """

    values: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None
    bounded: int = 0

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
