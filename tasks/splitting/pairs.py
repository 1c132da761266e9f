"""Two rows of two parts that should not know of each other, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from tasks.dataset import Dataset, place

PLACES = 10
"""Most pairs that a message names."""

LISTED = 200
"""Most pairs of a kind that are kept."""


@dataclass(frozen=True)
class Pair:
    """A row of train, where there is one, and its like in another part; rows are counted from 1."""

    row: int
    part: str
    other: int
    other_part: str
    similarity: float | None = None
    files: tuple[str, str] | None = None
    """Where both are pictures with a file of their own."""

    def __str__(self) -> str:
        one, other = self.files or (place(self.row - 1, ()), place(self.other - 1, ()))
        named = f"{one} ({self.part}) ~ {other} ({self.other_part})"
        return named if self.similarity is None else f"{named}, similarity {self.similarity:.3f}"


@dataclass(frozen=True)
class Leak:
    """One kind of leak that was found.

    Attributes:
        kind: `copies`, `near`, `groups` or `telltale`.
        told: What was found, for a message.
        fix: What can be done.
        pairs: The rows, at most `LISTED`.
        blocks: Whether the split is refused for it.
    """

    kind: str
    told: str
    fix: str
    pairs: tuple[Pair, ...] = ()
    blocks: bool = True


def files_of(data: Dataset) -> pd.Series | None:
    """The file of each picture by row id, where each has one of its own."""
    return data.rows["path"] if data.pixels is not None and "path" in data.rows else None


def listed(pairs: Sequence[Pair], count: int) -> str:
    """The first pairs of `count`, for a message."""
    shown = "; ".join(map(str, pairs[:PLACES]))
    return f"{shown}; …" if count > PLACES else shown


def across(found: pd.DataFrame, files: pd.Series | None = None) -> list[Pair]:
    """A pair for each example (value, or row) and each further part that it stands in.

    Args:
        found: Columns `example` and `part` by row id, as `leaks.straddling` has them.
        files: The picture's file by row id, where each has one.
    """
    once = found.drop_duplicates(["example", "part"])
    order = {"train": 0, "validation": 1, "test": 2}
    once = once.assign(turn=once["part"].map(order)).sort_values(["example", "turn"], kind="stable")
    pairs: list[Pair] = []
    first = None
    for row, example, part in zip(once.index, once["example"], once["part"], strict=True):
        if first is None or first[1] != example:
            first = (int(row) + 1, example, str(part))
        elif len(pairs) < LISTED:
            both = None if files is None else (str(files[first[0] - 1]), str(files[int(row)]))
            pairs.append(Pair(first[0], first[2], int(row) + 1, str(part), files=both))
    return pairs
