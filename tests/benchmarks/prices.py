"""House prices over five random 80/20 splits: the figures of the README.

Each split is handed in as a table with a split column, so the test rows are exactly those of
`train_test_split(test_size=0.2, random_state=s)`; validation rows are carved from the other 80 %.

    .venv/bin/python tests/benchmarks/prices.py [--splits 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("rmse", "mae", "rmsle")


def run(source: Path, root: Path) -> dict:
    """One `modelyard train prices` on a table whose column `part` deals the rows."""
    words = ["train", "prices", "--root", str(root), "--source", str(source), "--json"]
    words += ["--set", "split.strategy=column", "--set", "split.column=part"]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def split(rows: pd.DataFrame, seed: int, folder: Path) -> Path:
    """The table with its split column, as a Parquet file."""
    _, test = train_test_split(rows.index, test_size=0.2, random_state=seed)
    dealt = rows.assign(part="train")
    dealt.loc[test, "part"] = "test"
    path = folder / f"split{seed}.parquet"
    dealt.to_parquet(path)
    return path


def main() -> None:
    """Prints each split's test metrics by rung, and their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    arguments = parser.parse_args()
    rows = pd.read_parquet(ROOT / "data" / "prices" / "raw" / "ames.parquet")
    found: dict[str, list[dict[str, float]]] = {}
    table = Table("split", "rung", *METRICS, "seconds")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "data").mkdir()
        (root / "data" / "prices").symlink_to(ROOT / "data" / "prices")
        for seed in range(arguments.splits):
            document = run(split(rows, seed, root), root)
            for score in document["scores"]:
                found.setdefault(score["name"], []).append(score["metrics"])
                values = [f"{score['metrics'][metric]:,.4g}" for metric in METRICS]
                table.add_row(str(seed), score["name"], *values, f"{document['seconds']:.0f}")
    for name, metrics in found.items():
        table.add_row("mean", name, *(f"{statistics.mean(m[k] for m in metrics):,.5g}" for k in METRICS), "")
    Console().print(table)


if __name__ == "__main__":
    main()
