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
    """

    values: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> Predictions:
        """The answers for some of the rows: a mask, or positions."""
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Predictions(self.values[chosen], probabilities, self.classes)
