"""NumPy files that grow by rows, and are read in blocks: nothing stays mapped, so nothing fills memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np


class ArrayWriter:
    """A `.npy` file of `rows` rows, written one after the other."""

    def __init__(self, path: Path, rows: int, width: tuple[int, ...], dtype: Any) -> None:
        self.path, self.shape, self.dtype = path, (rows, *width), np.dtype(dtype)
        self._file = path.open("wb")
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, rows: np.ndarray) -> None:
        """Appends rows (n, ...)."""
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())


def block(path: Path, start: int, end: int) -> np.ndarray:
    """Rows `start` to `end` of a `.npy` file, copied out of a mapping that is closed again."""
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[start:end])
