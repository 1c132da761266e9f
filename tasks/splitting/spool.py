"""Keys of rows in temporary files, read again block by block: 1e8 of them fit on a disk, not into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasks.splitting.row_keys import OPEN

BLOCK = 2**20
"""Rows of a block."""

SEEN = np.uint64(2**63)
"""Where keys of rows begin that must not become test rows, once they are marked."""

_TYPES = {"keys": np.uint64, "strata": np.uint64, "codes": np.uint32, "fixed": np.uint8}


class Spool:
    """Columns of numbers that grow by rows, each in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def rows(self) -> int:
        """Rows that were appended."""
        path = self.folder / "fixed"
        return path.stat().st_size if path.exists() else 0

    def append(self, **columns: np.ndarray) -> None:
        """Append rows to each of some columns."""
        for name, values in columns.items():
            with (self.folder / name).open("ab") as file:
                file.write(np.ascontiguousarray(values, dtype=_TYPES[name]).tobytes())

    def mark(self, keys: np.ndarray) -> None:
        """Halve all keys and raise those among some sorted ones into the upper half of the numbers."""
        path = self.folder / "keys"
        before = path.rename(self.folder / "before")
        for start in range(0, self.rows, BLOCK):
            some = np.fromfile(before, np.uint64, BLOCK, offset=start * 8)
            self.append(keys=(some >> np.uint64(1)) | (among(some, keys).astype(np.uint64) << np.uint64(63)))

    def read(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Read columns block by block; a column that was never written is all zeros."""
        for start in range(0, self.rows, BLOCK):
            count = min(BLOCK, self.rows - start)
            yield tuple(self._block(name, start, count) for name in names)

    def open_rows(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Read columns of the rows that are still to be assigned."""
        for fixed, *columns in self.read("fixed", *names):
            still = fixed == OPEN
            yield tuple(columns) if still.all() else tuple(column[still] for column in columns)

    def _block(self, name: str, start: int, count: int) -> np.ndarray:
        kind, path = np.dtype(_TYPES[name]), self.folder / name
        if not path.exists():
            return np.zeros(count, dtype=kind)
        return np.fromfile(path, dtype=kind, count=count, offset=start * kind.itemsize)


def among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each key (n,) is one of some sorted ones."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)
