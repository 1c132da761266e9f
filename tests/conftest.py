"""Fixtures that the whole tree shares: tiny made data, and a machine that never phones home."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before any library reads its settings: a test must never leave this machine or write beside the code.
os.environ.update(
    DO_NOT_TRACK="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    GX_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
)
for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MODELYARD_ROOT"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The four official IDX files, which are no part of the project."""
    folder = ROOT.parent / "shared" / "data" / "mnist"
    if not folder.exists():
        pytest.skip("the full MNIST files are not on this machine")
    return folder


@pytest.fixture
def houses() -> pd.DataFrame:
    """300 made houses: numbers with gaps, categories, and a skewed price that depends on them."""
    rng = np.random.default_rng(7)
    area = rng.gamma(9.0, 16.0, 300).round(1)
    town = rng.choice(["north", "south", "west"], 300, p=[0.5, 0.3, 0.2])
    rooms = rng.integers(1, 8, 300)
    worth = {"north": 1.0, "south": 1.3, "west": 0.8}
    price = area * 1500 * np.array([worth[t] for t in town]) * np.exp(rng.normal(0, 0.05, 300)) + rooms * 4000
    frame = pd.DataFrame({"area": area, "rooms": rooms, "town": town, "price": price.round(0)})
    frame["garden"] = np.where(rng.random(300) < 0.3, np.nan, rng.gamma(2.0, 50.0, 300).round(1))
    frame["town"] = frame["town"].astype("str")
    frame.index = pd.RangeIndex(len(frame), name="row")
    return frame[["area", "rooms", "garden", "town", "price"]]
