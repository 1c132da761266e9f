"""One bit a row: which rows of a table beyond memory are meant. 12.5 MB for 100 million, none for none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_SPAN = 2**20
"""Rows that are looked through at a time; a multiple of eight."""


class Bits:
    """A set of rows out of `count`, by their positions; those of a piece begin at `first`."""

    def __init__(self, count: int, packed: np.ndarray | None = None, first: int = 0) -> None:
        assert first % 8 == 0, "the bits of a piece lie as they do in those of the whole"
        self.count, self.first = count, first
        self._packed = packed

    @staticmethod
    def of_piece(start: int, rows: int) -> Bits:
        """An empty set of rows from `start` on."""
        first = start - start % 8
        return Bits(start + rows - first, first=first)

    @property
    def packed(self) -> np.ndarray:
        """(ceil(count / 8),) uint8, eight rows a byte; made when somebody first wants it."""
        if self._packed is None:
            self._packed = np.zeros((self.count + 7) // 8, dtype=np.uint8)
        return self._packed

    @property
    def untouched(self) -> bool:
        """Whether no row was ever put into the set."""
        return self._packed is None

    def empty(self) -> Bits:
        """A set out of the same rows that holds none."""
        return Bits(self.count, first=self.first)

    def add(self, positions: np.ndarray) -> None:
        """Puts rows into the set."""
        if not len(positions):
            return
        at = positions - self.first
        np.bitwise_or.at(self.packed, at >> 3, (128 >> (at & 7)).astype(np.uint8))

    def include(self, piece: Bits) -> None:
        """Puts the rows of a piece's set into this one."""
        if piece.untouched:
            return
        at = (piece.first - self.first) >> 3
        self.packed[at : at + len(piece.packed)] |= piece.packed

    def mask(self, start: int, count: int) -> np.ndarray:
        """(count,) bool: which rows from `start` on are in the set."""
        if self.untouched:
            return np.zeros(count, dtype=bool)
        start -= self.first
        first, end = start >> 3, (start + count + 7) >> 3
        unpacked = np.unpackbits(self.packed[first:end])
        return unpacked[start - 8 * first :][:count].astype(bool)

    def of(self, positions: np.ndarray) -> np.ndarray:
        """(n,) bool: which of some rows are in the set."""
        if self.untouched:
            return np.zeros(len(positions), dtype=bool)
        at = positions - self.first
        return np.asarray((self.packed[at >> 3] & (128 >> (at & 7)).astype(np.uint8)) != 0)

    def total(self) -> int:
        """Rows in the set."""
        return 0 if self.untouched else int(np.bitwise_count(self.packed).sum(dtype=np.int64))

    def __or__(self, other: Bits) -> Bits:
        both = self.empty()
        both.include(self)
        both.include(other)
        return both

    def without(self, other: Bits) -> Bits:
        """The rows that are not in the other set."""
        if self.untouched or other.untouched:
            return self | other.empty()
        return Bits(self.count, self.packed & ~other.packed, self.first)

    def positions(self) -> Iterator[int]:
        """The rows of the set, in order."""
        if self.untouched:
            return
        for start in range(self.first, self.first + self.count, _SPAN):
            at = (start - self.first) >> 3
            if self.packed[at : at + _SPAN // 8].any():
                left = self.first + self.count - start
                yield from (start + np.flatnonzero(self.mask(start, min(_SPAN, left)))).tolist()

    def save(self, path: Path) -> None:
        """Writes the set as a NumPy file."""
        np.save(path, self.packed, allow_pickle=False)

    @staticmethod
    def load(path: Path, count: int) -> Bits:
        """The set that `save` wrote, of `count` rows."""
        return Bits(count, np.load(path, allow_pickle=False))
