"""Made data of every type that a table may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.drafting import looking
from tasks.drafting.guesses import Asked, Draft

ROWS = 240


def made_table(count: int = ROWS) -> pd.DataFrame:
    """A target of three classes, and a column of each kind beside it."""
    rng = np.random.default_rng(5)
    kind = rng.choice(["ash", "oak", "elm"], count, p=[0.6, 0.25, 0.15])
    height = rng.normal(10, 3, count).round(2) + 2 * (kind == "oak")
    words = ["tall", "old", "bent", "dry", "green", "near the river", "by the wall", "in shade"]
    return pd.DataFrame(
        {
            "Id": np.arange(1, count + 1) * 7,
            "tag": [f"T{i:04d}x{i % 13}" for i in range(count)],
            "height": np.where(rng.random(count) < 0.1, np.nan, height),
            "girth": [str(v) if i % 40 else "?" for i, v in enumerate(rng.normal(2, 0.4, count).round(2))],
            "soil": rng.choice(["clay", "sand ", "loam"], count),
            "felled": rng.random(count) < 0.3,
            "planted": pd.Timestamp("2001-01-01") + pd.to_timedelta(rng.integers(0, 9000, count), "D"),
            "rings": rng.integers(1, 6, count),
            "country": "DE",
            "empty": np.nan,
            "height_again": np.where(rng.random(count) < 2, height * 0 + np.arange(count) % 90, 0),
            "note": [" ".join(rng.choice(words, 6)) + f" {i}" for i in range(count)],
            "code": pd.Series(kind).map({"ash": 4, "oak": 9, "elm": 2}),
            "plot_id": np.arange(count) // 5,
            "kind": kind,
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    """240 trees."""
    return made_table()


@pytest.fixture
def drafted(tmp_path: Path) -> Callable[..., Draft]:
    """Writes a frame as CSV and drafts a project from it."""

    def draft(frame: pd.DataFrame, **asked: str) -> Draft:
        path = tmp_path / "table.csv"
        frame.to_csv(path, index=False)
        return looking.draft(path, Asked(**asked))

    return draft
