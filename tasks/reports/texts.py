"""What a report shows of a project of texts, asked of the model itself; nothing where the model is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.config import Config
from tasks.dataset import Dataset
from tasks.errors import ModelyardError
from tasks.splitting import parts

if TYPE_CHECKING:
    from tasks.learning.scoring import Scorer

REFUSED = (ModelyardError, RuntimeError, ValueError, IndexError)
"""What a user's own network may raise at a text of one word; a page must not fail of it."""


@dataclass(frozen=True)
class Reader:
    """A stored model with the cleaned texts of its project.

    Attributes:
        scorer: The model.
        texts: The cleaned texts by row id.
        show: Whether texts may be quoted (`validate.show_values`).
    """

    scorer: Scorer = field(repr=False)
    texts: pd.Series = field(repr=False)
    show: bool

    def learned(self, split: Path) -> dict[str, Any] | None:
        """The words that tell most; see `tasks.reports.words`.

        Args:
            split: Folder of `split`, which knows the train rows.
        """
        from tasks.reports import words  # noqa: PLC0415 - torch, which no other page needs

        try:
            part = parts.load(split)
            train = self.texts.reindex(part.index[part == "train"]).dropna()
            return words.learned(self.scorer, train.tolist())
        except (*REFUSED, OSError):
            return None

    def passages(self, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Texts by row id, their words marked by what they did to the answer; see `tasks.reports.moved`."""
        from tasks.reports import moved  # noqa: PLC0415 - torch, which no other page needs

        chosen = self.texts.reindex(pd.Index(rows)).fillna("") if self.show else self.texts.head(0)
        try:
            return dict(zip(chosen.index, moved.marked(self.scorer, chosen.tolist()), strict=True))
        except REFUSED:
            return {}


def reader(config: Config, data: Dataset | None, bundle: Path | None) -> Reader | None:
    """The model of a project of texts; None for other projects, and where rows or model are gone.

    Args:
        config: Names the column of texts.
        data: The cleaned rows.
        bundle: Folder of the model.
    """
    column = config.columns.text
    if column is None or data is None or bundle is None or column not in data.rows.columns:
        return None
    from tasks.learning import scoring  # noqa: PLC0415 - torch, which no other page needs

    try:
        scorer = scoring.load(bundle)
    except REFUSED:
        return None
    texts = data.rows[column].astype(object).fillna("").astype(str)
    return Reader(scorer, texts, config.validation.show_values)
