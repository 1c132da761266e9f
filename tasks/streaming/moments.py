"""Count, mean, spread and range of numbers, added up batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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
