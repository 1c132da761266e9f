"""What would make a score too good: features that are the answer, and rows that are nearly the same.

The split refuses both. Here they are found before anything is written, and told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from tasks.config import Split, Task
from tasks.dataset import Dataset
from tasks.drafting.guesses import Guess
from tasks.splitting import leaks
from tasks.splitting.near_duplicates import search as near

HELD = 0.35
"""Share of rows that are compared with the others, as validation and test will be with train."""


def telltales(rows: pd.DataFrame, features: Sequence[str], target: str, kind: Task) -> list[Guess]:
    """One guess for each feature that predicts the target all by itself, by the probe of `splitting.leaks`.

    Args:
        rows: Cleaned rows.
        features: Columns to try.
        target: Rows without it are passed over.
        kind: Of the task.
    """
    found = leaks.surely(rows[rows[target].notna()], features, target, kind)
    return [_guess(name, score, kind) for name, score in found.items()]


def _guess(name: str, score: float, kind: Task) -> Guess:
    measure = "balanced accuracy" if kind == "classification" else "R2 of ranks"
    told = f"suspected leak: it predicts the target all by itself ({measure} {score:.3f})"
    return Guess(what="columns.drop", column=name, guess="left out", evidence=told, open=True)


def alike(data: Dataset, columns: Sequence[str], *, text: str | None = None) -> tuple[float, list[Guess]]:
    """The setting `split.max_near_duplicates`, raised if the split would refuse so many near-duplicates.

    Args:
        data: Cleaned rows without copies, with pixels if they are images.
        columns: Of a table: features and target.
        text: The column of texts, where that is the only feature.
    """
    allowed = Split().max_near_duplicates
    parts = pd.Series("train", index=data.rows.index)
    order = np.random.default_rng(0).permutation(len(parts))
    parts.iloc[order[: math.ceil(HELD * len(parts))]] = "test"
    share, _ = near.find(data, parts, columns, text=text, most=allowed)
    if share <= allowed / 2:  # another deal of the rows shows a little more or less
        return allowed, []
    most = min(1.0, math.ceil(100 * (1.5 * share + allowed)) / 100)
    told = f"{share:.1%} of the rows are nearly the same as another; are they copies, or of one group?"
    override = f"split.max_near_duplicates={allowed}"
    return most, [
        Guess(
            what="split.max_near_duplicates",
            guess=f"at most {most:g}",
            evidence=told,
            override=override,
            open=True,
        )
    ]
