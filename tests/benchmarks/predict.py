"""Scoring a generated table: rows a second and peak memory, against a tenth of the rows.

Trains a small model on made flats (eight numbers, three categories, a date; the price is predicted in
its logarithm), then runs `modelyard predict` as a process of its own on each table.

    .venv/bin/python tests/benchmarks/predict.py [--rows 2000000] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
PROJECT = """
name: flats
task: regression
source: {kind: table, path: raw/flats.parquet}
target: price
clean: [{trim: [town]}]
network: {kind: mlp, hidden: [128, 128]}
fit: {epochs: 3}
evaluate: {metric: mae, baselines: [median]}
register: {name: flats}
"""
SUITE = {"name": "flats", "expectations": [
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "price"}, "severity": "critical"}
]}  # fmt: skip
PIECE = 100_000


def flats(rows: int, seed: int) -> Iterator[pa.Table]:
    """Made flats with their prices, some tens of thousands at a time."""
    for start in range(0, rows, PIECE):
        rng = np.random.default_rng([seed, start])
        count = min(PIECE, rows - start)
        numbers = {f"x{i}": rng.normal(i, 1 + i, count).round(4) for i in range(8)}
        town = rng.integers(0, 40, count)
        worth = 0.02 * numbers["x3"] + 0.01 * town + rng.normal(0, 0.1, count)
        days = rng.integers(15_000, 20_000, count)
        yield pa.table(
            {
                **{name: pa.array(x, mask=rng.random(count) < 0.02) for name, x in numbers.items()},
                "town": pa.array([f"town {i}" for i in range(40)]).take(pa.array(town)),
                "heating": pa.array(["gas", "oil", "wood"]).take(pa.array(rng.integers(0, 3, count))),
                "lift": pa.array(rng.random(count) < 0.5),
                "built": pa.array(days.astype("datetime64[D]")).cast(pa.timestamp("us")),
                "price": (1e5 * np.exp(worth)).round(2),
            }
        )


def write(path: Path, rows: int, seed: int) -> Path:
    """The table without its last column, piece by piece."""
    made = (piece.drop_columns("price") for piece in flats(rows, seed))
    first = next(made)
    kind = arrow_csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
    with kind(str(path), first.schema) as writer:
        writer.write_table(first)
        for piece in made:
            writer.write_table(piece)
    return path


def train(root: Path) -> None:
    """A registered model of 20,000 flats."""
    home = root / "data" / "flats"
    (home / "raw").mkdir(parents=True)
    (home / "project.yaml").write_text(PROJECT, encoding="utf-8")
    (home / "expectations.json").write_text(json.dumps(SUITE), encoding="utf-8")
    pq.write_table(pa.concat_tables(flats(20_000, 0)), home / "raw" / "flats.parquet")
    words = ["train", "flats", "--root", str(root), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert json.loads(done.stdout)["outcome"] == "registered"


def predict(root: Path, table: Path, output: Path) -> tuple[dict, float, float]:
    """One command: its document, its seconds and its peak memory in MB."""
    words = ["predict", "flats", str(table), "-o", str(output), "--force", "--root", str(root), "--json"]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    document = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return document, time.monotonic() - began, usage.ru_maxrss / 1000


def main() -> None:
    """Prints a line for each table; the last rate leaves out the start, by the shorter table of its kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="keeps model and tables there, and uses them again")
    arguments = parser.parse_args()
    shown = Table("table", "rows", "MB", "seconds", "rows/s", "without the start", "peak MB")
    with tempfile.TemporaryDirectory() as place:
        root = (arguments.folder or Path(place)).resolve()
        if not (root / "data").exists():
            train(root)
        for ending in ("csv", "parquet"):
            before, began = 0, 0.0
            for rows in (arguments.rows // 10, arguments.rows):
                table = root / f"{rows}.{ending}"
                if not table.exists():
                    write(table, rows, 1)
                document, seconds, peak = predict(root, table, root / f"answers.{ending}")
                assert (document["rows"], document["bad"]) == (rows, 0)
                later = f"{(rows - before) / (seconds - began):,.0f}" if before else ""
                size = f"{table.stat().st_size / 1e6:,.0f}"
                speed = f"{rows / seconds:,.0f}"
                shown.add_row(ending, f"{rows:,}", size, f"{seconds:.1f}", speed, later, f"{peak:,.0f}")
                before, began = rows, seconds
    Console().print(shown)


if __name__ == "__main__":
    main()
