"""Hashes of rows of a table beyond memory: of their content, and of their ids for the sample."""

from __future__ import annotations

import numpy as np

from tasks.features.hashing import hash_rows as rows
from tasks.features.hashing import mixed

__all__ = ["SAMPLE", "rows", "sampled", "shares"]

SAMPLE = 2**18
"""Rows of a table's sample: a quantile of it is that of the whole to within 0.2 % of the rows."""


def sampled(ids: np.ndarray, count: int) -> np.ndarray:
    """(n,) bool: which of `count` rows, by id, are in the sample; all where they are fewer."""
    if count <= SAMPLE:
        return np.ones(len(ids), dtype=bool)
    return mixed(ids.astype(np.uint64)) < np.uint64(SAMPLE / count * 2**64)


def shares(hashed: np.ndarray) -> np.ndarray:
    """uint64 (n,) hashes as numbers in [0, 1), of 53 bits."""
    return (hashed >> np.uint64(11)).astype(np.float64) / 2**53
