"""What a project's data looks like in memory, whatever it came from: rows, and pixels if images.

`rows` is a frame with one row an example, features and target as columns, indexed by row id: the
0-based position in the source, over all of its files in order. For images the columns describe the
picture (`label`, `height`, `width`, `luminance`, `digest`, `part`) and `pixels` holds it, aligned by
position, so that one suite language, one split and one report serve tables and images alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.features.schema import ROW, frame
from tasks.records import FileRecord

DESCRIPTIVE = ("height", "width", "luminance", "digest", "part", "mode", "path")
"""Columns of an image data set that describe a picture and are never features."""

TEXTUAL = ("text_characters", "text_tokens", "text_script", "text_empty")
"""Columns that describe a text and are never features: its length in characters and in words, the script
that most of its letters are of, and whether it holds no word."""


@dataclass(frozen=True)
class Dataset:
    """Examples in memory.

    Attributes:
        rows: One row an example, indexed by row id (int64, unique, name `features.schema.ROW`).
        pixels: uint8 (n, height, width) or (n, height, width, 3), aligned with `rows`, or None.
    """

    rows: pd.DataFrame
    pixels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: np.ndarray) -> Dataset:
        """The examples at `positions`: integers, or a mask of len(self) booleans."""
        pixels = None if self.pixels is None else self.pixels[positions]
        return Dataset(self.rows.iloc[positions], pixels)

    def save(self, folder: Path) -> None:
        """Writes `rows.parquet` and, for images, `pixels.npy` into an existing folder."""
        rows = pa.Table.from_pandas(self.rows, preserve_index=False).replace_schema_metadata()
        ids = pa.array(self.rows.index.to_numpy(dtype=np.int64))
        pq.write_table(rows.append_column(ROW, ids), folder / "rows.parquet", compression="zstd")
        if self.pixels is not None:
            np.save(folder / "pixels.npy", self.pixels, allow_pickle=False)

    @staticmethod
    def load(folder: Path) -> Dataset:
        """Reads what `save` wrote; pixels are mapped into memory, not copied."""
        pixels = folder / "pixels.npy"
        loaded = np.load(pixels, mmap_mode="c", allow_pickle=False) if pixels.exists() else None
        rows = pq.read_table(folder / "rows.parquet")
        return Dataset(frame(rows.drop_columns([ROW]), rows.column(ROW).to_numpy()), loaded)


def place(row: int, files: tuple[FileRecord, ...]) -> str:
    """Where row id `row` stands, for a message: `FILE row R`, counted from 1 without the header.

    What is a file of its own, such as a picture, is told by its name alone.
    """
    name, number = position(row, files)
    return name if number is None else f"{name} row {number}".strip()


def position(row: int, files: tuple[FileRecord, ...]) -> tuple[str, int | None]:
    """The file that row id `row` stands in, and the row's number in it; None where it is the whole file."""
    for file in files:
        if row < file.rows:
            return (f"{file.name}/{file.members[row]}", None) if file.members else (file.name, row + 1)
        row -= file.rows
    return "", row + 1
