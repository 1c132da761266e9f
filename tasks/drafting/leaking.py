"""Features that are the answer: each is tried alone, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tasks.config import Task
from tasks.drafting.guesses import Guess
from tasks.splitting import leaks

DEALS = 3
"""Ways to halve the rows; a feature is suspected only if it gives the answer away in all of them."""


def find(rows: pd.DataFrame, features: Sequence[str], target: str, kind: Task) -> list[Guess]:
    """One guess for each feature that predicts the target all by itself, by the probe of `splitting.leaks`.

    Args:
        rows: Cleaned rows.
        features: Columns to try.
        target: Rows without it are passed over.
        kind: Of the task.
    """
    known = rows[rows[target].notna()]
    told: dict[str, str] = {}
    for deal in range(DEALS):
        codes = np.random.default_rng(deal).permutation(len(known)) % 2
        parts = pd.Series(np.where(codes == 0, "train", "validation"), index=known.index)
        tried = features if deal == 0 else tuple(told)
        told = {name: found[0] for name in tried if (found := _alone(known, parts, name, target, kind))}
    return [_guess(name, told[name]) for name in told]


def _alone(rows: pd.DataFrame, parts: pd.Series, name: str, target: str, kind: Task) -> list[str]:
    return leaks.telltales(rows, parts, [name], target, kind)


def _guess(name: str, message: str) -> Guess:
    score = message[message.find("(") + 1 : message.find(" on ")]
    told = f"suspected leak: it predicts the target all by itself ({score})"
    return Guess(what="columns.drop", column=name, guess="left out", evidence=told, open=True)
