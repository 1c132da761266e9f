"""The rows that the ladder stands on: what each rung learns from, and what all are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.config import Task
from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.ladder.features import truth_of


@dataclass(frozen=True)
class Rows:
    """What the ladder stands on.

    Attributes:
        train: Cleaned rows that the candidate learned from, which baselines are fitted on.
        test: Cleaned test rows, which baselines predict.
        raw: The same test rows as they came, without the target; what a stored model predicts.
        known: The same with the target; what a stored model knows its own rows by.
        truth: (n,) cleaned targets of the test rows.
    """

    train: Dataset
    test: Dataset
    raw: Dataset
    known: pd.DataFrame
    truth: np.ndarray


def read_rows(
    raw: Path,
    cleaned: Path,
    parts: pd.Series,
    target: str,
    kind: Task,
    learned_from: Sequence[str] = ("train",),
) -> Rows:
    """Reads the stored rows; `parts` says for each row id train, validation or test.

    Baselines get the rows of the parts that the candidate learned from, no fewer: a candidate that was
    refitted on validation rows would else have been given more examples than what it is compared with.

    Raises:
        DataRejected: A row id of `parts` that the stored rows lack.
    """
    clean, before = Dataset.load(cleaned), Dataset.load(raw)
    test = parts.index[(parts == "test").to_numpy()]
    kept, came = _at(clean, test), _at(before, test)
    return Rows(
        train=_at(clean, parts.index[parts.isin(learned_from).to_numpy()]),
        test=kept,
        raw=_without(came, target),
        known=came.rows,
        truth=truth_of(kept.rows[target], kind),
    )


def _at(data: Dataset, ids: pd.Index) -> Dataset:
    positions = data.rows.index.get_indexer(ids)
    if (positions < 0).any():
        row = ids[int(np.argmax(positions < 0))]
        raise DataRejected(f"row {row} was dealt to a part, but is not in the stored rows", fix="run again")
    return data.take(positions)


def _without(data: Dataset, target: str) -> Dataset:
    return Dataset(data.rows.drop(columns=[target], errors="ignore"), data.pixels)
