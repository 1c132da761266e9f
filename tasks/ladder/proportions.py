"""Intervals of shares of rows, of their means and of their paired differences.

A resample of rows that are all right is all right, too: the bootstrap then claims certainty. These intervals
have a width wherever chance is left. `exact`: Clopper and Pearson, Biometrika 26 (1934). `wilson`: Wilson,
JASA 22 (1927). `paired`: the score interval of Tango, Statistics in Medicine 17 (1998). `combined`: limits of
a weighted sum from the limits of its terms (MOVER; Zou and Donner, Statistics in Medicine 27, 2008).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import betaincinv

LEVEL = 0.95
Z = 1.959963984540054
"""Quantile of the standard normal distribution that bounds its middle 95 %."""
HALVINGS = 60
"""Of the range in which a limit is looked for: to less than what float64 tells apart."""

Bounds = tuple[np.ndarray, np.ndarray]
"""Lower and upper limits, (k,) float64 each."""


def exact(hits: np.ndarray, rows: np.ndarray) -> Bounds:
    """Clopper and Pearson's interval of each share `hits / rows`, (k,) each; covers at least so often.

    114 of 114 rows: 0.968 to 1.
    """
    tail = (1 - LEVEL) / 2
    misses = rows - hits
    with np.errstate(invalid="ignore"):
        low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), misses + 1, tail), 0.0)
        high = np.where(misses > 0, betaincinv(hits + 1, np.maximum(misses, 1), 1 - tail), 1.0)
    return low, high


def wilson(hits: np.ndarray, rows: np.ndarray) -> Bounds:
    """Wilson's score interval of each share `hits / rows`, (k,) each; covers about so often."""
    share, extra = hits / rows, Z**2 / rows
    middle = (share + extra / 2) / (1 + extra)
    half = Z * np.sqrt(share * (1 - share) / rows + extra / (4 * rows)) / (1 + extra)
    # Rounding must not move a limit past a share of 0 or 1.
    return np.minimum(middle - half, share).clip(0, 1), np.maximum(middle + half, share).clip(0, 1)


def paired(only_one: np.ndarray, only_other: np.ndarray, rows: np.ndarray) -> Bounds:
    """Tango's score interval of each difference of two shares of the same rows.

    Args:
        only_one: (k,) rows that the one got right and the other wrong.
        only_other: (k,) rows that the other got right and the one wrong.
        rows: (k,) all rows.

    Returns:
        Limits of (only_one - only_other) / rows, within -1 and 1.
    """
    difference = (only_one - only_other) / rows

    def inside(delta: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(_score(delta, only_one, only_other, rows)) <= Z)

    low = _limit(inside, difference, np.full_like(difference, -1.0))
    return low, _limit(inside, difference, np.full_like(difference, 1.0))


def _score(delta: np.ndarray, b: np.ndarray, c: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Tango's statistic for the hypothesis that the difference is `delta`; 0 where that is what was seen."""
    linear = -b - c + (2 * n - b + c) * delta
    root = np.sqrt(np.maximum(linear**2 + 8 * n * c * delta * (1 - delta), 0.0))
    share = (root - linear) / (4 * n)  # of rows that only the other gets right, by maximum likelihood
    variance = n * (2 * share + delta * (1 - delta))
    distance = b - c - n * delta
    far = np.where(np.abs(distance) > 1e-9, np.inf, 0.0)
    spread = np.sqrt(np.maximum(variance, 1e-300))
    return np.asarray(np.where(variance > 1e-12, distance / spread, far))


def _limit(inside: Callable[[np.ndarray], np.ndarray], near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The last value between `near`, which is inside, and `far` that still is, by halving; (k,)."""
    whole = inside(far)
    low, high = near.astype(np.float64), far
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        within = inside(middle)
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.where(whole, far, low)


def combined(values: np.ndarray, bounds: Bounds, weights: np.ndarray) -> tuple[float, float]:
    """Limits of the sum of independent `values` times positive `weights`, (k,) each, from their own."""
    low, high = bounds
    middle = float(weights @ values)
    below = float(np.sqrt(((weights * (values - low)) ** 2).sum()))
    above = float(np.sqrt(((weights * (high - values)) ** 2).sum()))
    return middle - below, middle + above
