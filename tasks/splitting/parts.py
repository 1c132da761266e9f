"""The three parts of a data set, and the file that says which row is in which."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

FILE = "parts.parquet"


def save(parts: pd.Series, folder: Path) -> None:
    """Writes part names by row id into an existing folder."""
    frame = pd.DataFrame({"part": parts.to_numpy(dtype=str)}, index=parts.index.rename("row"))
    frame.to_parquet(folder / FILE, compression="zstd")


def load(folder: Path) -> pd.Series:
    """Part names by row id, as `split` wrote them: one of `PARTS` a row, index name `row`."""
    return pd.read_parquet(folder / FILE)["part"]
