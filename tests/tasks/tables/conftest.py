"""A made table in a Parquet file, and the steps on it: as a whole, and in pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.clean import clean
from tasks.config import Columns, Encode, Fit, Mlp, Split, TableSource, Validate
from tasks.fit import fit
from tasks.records import CleanRecord, FitRecord, SplitRecord, ValidateRecord
from tasks.split import split
from tasks.tables import hashing, rowgroups
from tasks.validate import validate


def made(count: int = 5000, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, whole numbers, truths, dates, texts, and a price."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "x": rng.normal(size=count).round(3),
            "whole": rng.integers(0, 100, count),
            "kind": rng.choice(["a", " b", "c  c", "d"], count, p=[0.5, 0.3, 0.15, 0.05]),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1000, count), unit="D"),
            "yes": rng.random(count) < 0.5,
        }
    )
    rows["day"] = rows["day"].astype("datetime64[us]")
    rows["price"] = np.exp(
        rows["x"] + 0.01 * rows["whole"] + (rows["kind"] == "a") + 0.1 * rng.normal(size=count)
    )
    rows.loc[::7, "x"] = np.nan
    rows.loc[rng.choice(count, 20, replace=False), "kind"] = None
    return rows


def expect(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


@dataclass
class Bench:
    """A project around one Parquet file."""

    folder: Path
    suite: list[dict[str, Any]] = field(
        default_factory=lambda: [expect("table_row_count_to_be_between", min_value=1)]
    )
    columns: Columns = field(default_factory=Columns)
    rules: Validate = field(default_factory=lambda: Validate(quarantine=0.1))
    task: Any = "regression"
    memory_mb: int = 4096

    def store(self, rows: pd.DataFrame, group: int = 700) -> pd.DataFrame:
        rows.to_parquet(self.folder / "table.parquet", row_group_size=group, index=False)
        return rows

    def source(self, stream: Any = "always", **more: Any) -> TableSource:
        limit = {"memory_mb": self.memory_mb, **more}
        return TableSource(kind="table", path="table.parquet", stream=stream, **limit)

    def work(self, stream: str) -> Path:
        return self.folder / f"work-{stream}"

    def validate(self, stream: Any = "always", target: str = "price", **more: Any) -> ValidateRecord:
        text = json.dumps({"name": "made", "expectations": self.suite})
        (self.folder / "expectations.json").write_text(text)
        how = (self.rules, target, self.task, self.columns, self.folder, self.work(stream))
        return validate.fn(self.source(stream, **more), *how)

    def clean(self, stream: Any = "always", *operations: Any, target: str = "price") -> CleanRecord:
        raw = self.validate(stream, target)
        return clean.fn(raw, operations, target, self.rules.quarantine, self.work(stream))

    def split(
        self, stream: Any = "always", *operations: Any, seed: int = 0, target: str = "price", **rules: Any
    ) -> SplitRecord:
        rows = self.clean(stream, *operations, target=target)
        return split.fn(rows, Split(leaks="warn", **rules), target, self.task, seed, self.work(stream))

    def fit(
        self, stream: Any = "always", *operations: Any, target: str = "price", **changes: Any
    ) -> FitRecord:
        settings = {
            "kind": self.task, "target": target, "columns": self.columns, "exclude": (), "clean": operations,
            "encode": Encode(numeric="quantile", target="log"),
            "network": Mlp(hidden=(16,), dropout=0.0, bins=4),
            "settings": Fit(epochs=2, batch_size=64), "metric": "rmsle", "seed": 0, "work": self.work(stream),
        }  # fmt: skip
        raw, rows = self.validate(stream, target), self.clean(stream, *operations, target=target)
        parts = self.split(stream, *operations, target=target)
        return fit.fn(raw, rows, parts, **{**settings, **changes})


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Batches of 1,024 rows, and a table that is its own sample."""
    monkeypatch.setattr(rowgroups, "CELLS", 1)
    return Bench(tmp_path)


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> int:
    """Samples of about 1,500 rows."""
    monkeypatch.setattr(hashing, "SAMPLE", 1500)
    return 1500


@pytest.fixture
def table(bench: Bench) -> pd.DataFrame:
    """5,000 made rows, which lie in the bench's file."""
    return bench.store(made())
