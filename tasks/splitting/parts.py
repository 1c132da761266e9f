"""The three parts of a data set, and the file that says which row is in which."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.store import digest

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

FILE = "parts.parquet"

CODES = "codes.npy"
"""The part of each row of a table beyond memory, uint8 (n,), in the order of the cleaned rows."""


def save(parts: pd.Series, folder: Path) -> None:
    """Writes part names by row id into an existing folder."""
    frame = pd.DataFrame({"part": parts.to_numpy(dtype=str)}, index=parts.index.rename("row"))
    frame.to_parquet(folder / FILE, compression="zstd")


def load(folder: Path) -> pd.Series:
    """Part names by row id, as `split` wrote them: one of `PARTS` a row, index name `row`."""
    return pd.read_parquet(folder / FILE)["part"]


def parts_hash(parts: pd.Series) -> str:
    """Digest of row ids and parts, in the order of the ids; the same as that of `assign_splits`.

    Rows of no part count as such.
    """
    ordered = parts.sort_index()
    codes = pd.Index(PARTS).get_indexer(pd.Index(ordered)).astype(np.uint8)
    ids = ordered.index.to_numpy(dtype=np.int64)
    return joint_hash(hashlib.sha256(ids.tobytes()).hexdigest(), hashlib.sha256(codes.tobytes()).hexdigest())


def joint_hash(ids: str, codes: str) -> str:
    """Digest of the sha256 of row ids, int64, and of that of parts, uint8, in row order."""
    return digest([ids, codes])


def streamed(folder: Path) -> bool:
    """Whether a split's folder holds the part of every row of a table beyond memory."""
    return (folder / CODES).exists()


def count(folder: Path, part: int) -> int:
    """Rows of one part of a table beyond memory."""
    with (folder / CODES).open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return sum(piece.count(bytes([part])) for piece in iter(lambda: file.read(2**24), b""))
