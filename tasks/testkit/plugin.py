"""Fixtures for pytest: `pytest_plugins = ["tasks.testkit.plugin"]` in a conftest.py. Each is made anew."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.dataset import Dataset
from tasks.own.contracts import Context
from tasks.testkit import data


@pytest.fixture
def tiny_table() -> pd.DataFrame:
    """120 made houses; see `data.tiny_table`."""
    return data.tiny_table()


@pytest.fixture
def tiny_images() -> Dataset:
    """60 made grey pictures of 8 x 8; see `data.tiny_images`."""
    return data.tiny_images()


@pytest.fixture
def tiny_texts() -> pd.DataFrame:
    """120 made sentences with labels; see `data.tiny_texts`."""
    return data.tiny_texts()


@pytest.fixture
def tiny_context(tmp_path: Path) -> Context:
    """What an extra step after `split` is told; see `data.tiny_context`."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    return data.tiny_context(folder)
