"""Equal rows among more than fit into memory: by their 64-bit hashes, in files by the hashes' first bits."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from tasks.tables.bits import Bits

RUN_ROWS = 2**22
"""Rows of a file, about: 64 MB, and four times as much to sort them."""


class Runs:
    """Hashes and positions of rows; equal hashes come to lie in one file."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Opens as many files in `folder` as it takes for `rows` rows."""
        self.bits = max(0, (rows - 1) // RUN_ROWS).bit_length()
        self.paths = [folder / f"{number:04d}" for number in range(2**self.bits)]
        self.count = 0
        self._open = ExitStack()
        self._files = [self._open.enter_context(path.open("wb")) for path in self.paths]

    def __enter__(self) -> Runs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, hashes: np.ndarray) -> None:
        """Takes the hashes, uint64 (n,), of the rows that follow."""
        pairs = np.empty((len(hashes), 2), dtype=np.uint64)
        pairs[:, 0] = hashes
        pairs[:, 1] = np.arange(self.count, self.count + len(hashes))
        self.count += len(hashes)
        if not self.bits:
            self._files[0].write(pairs.tobytes())
            return
        homes = (hashes >> np.uint64(64 - self.bits)).astype(np.uint16)
        pairs = pairs[np.argsort(homes, kind="stable")]
        ends = np.cumsum(np.bincount(homes, minlength=len(self.paths)))
        for file, rows in zip(self._files, np.split(pairs, ends[:-1]), strict=True):
            file.write(rows.tobytes())

    def repeated(self) -> Bits:
        """Every row but the first of those that are equal, by position."""
        found = Bits(self.count)
        self._open.close()
        for path in self.paths:
            pairs = np.fromfile(path, dtype=np.uint64).reshape(-1, 2)
            order = np.argsort(pairs[:, 0], kind="stable")
            ordered = pairs[order, 0]
            later = order[1:][ordered[1:] == ordered[:-1]]
            found.add(pairs[later, 1].astype(np.int64))
            path.unlink()
        return found
