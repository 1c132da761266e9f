"""One bit a row: which rows of a table beyond memory are meant. 12.5 MB for 100 million."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_SPAN = 2**20
"""Rows that are looked through at a time; a multiple of eight."""


class Bits:
    """A set of rows out of `count`, by their positions."""

    def __init__(self, count: int, packed: np.ndarray | None = None) -> None:
        self.count = count
        self.packed = np.zeros((count + 7) // 8, dtype=np.uint8) if packed is None else packed

    def add(self, positions: np.ndarray) -> None:
        """Puts rows into the set."""
        np.bitwise_or.at(self.packed, positions >> 3, (128 >> (positions & 7)).astype(np.uint8))

    def mask(self, start: int, count: int) -> np.ndarray:
        """(count,) bool: which rows from `start` on are in the set."""
        first, end = start >> 3, (start + count + 7) >> 3
        unpacked = np.unpackbits(self.packed[first:end])
        return unpacked[start - 8 * first :][:count].astype(bool)

    def of(self, positions: np.ndarray) -> np.ndarray:
        """(n,) bool: which of some rows are in the set."""
        return np.asarray((self.packed[positions >> 3] & (128 >> (positions & 7)).astype(np.uint8)) != 0)

    def total(self) -> int:
        """Rows in the set."""
        return int(np.bitwise_count(self.packed).sum(dtype=np.int64))

    def __or__(self, other: Bits) -> Bits:
        return Bits(self.count, self.packed | other.packed)

    def without(self, other: Bits) -> Bits:
        """The rows that are not in the other set."""
        return Bits(self.count, self.packed & ~other.packed)

    def positions(self) -> Iterator[int]:
        """The rows of the set, in order."""
        for start in range(0, self.count, _SPAN):
            if self.packed[start >> 3 : (start + _SPAN) >> 3].any():
                yield from (start + np.flatnonzero(self.mask(start, min(_SPAN, self.count - start)))).tolist()

    def save(self, path: Path) -> None:
        """Writes the set as a NumPy file."""
        np.save(path, self.packed, allow_pickle=False)

    @staticmethod
    def load(path: Path, count: int) -> Bits:
        """The set that `save` wrote, of `count` rows."""
        return Bits(count, np.load(path, allow_pickle=False))
