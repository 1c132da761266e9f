"""Small made data in which there is something to learn: a table, images, texts, and a run's first steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.dataset import Dataset
from tasks.features.schema import ROW, types_of
from tasks.own.contracts import Context
from tasks.sources.idx import describe

SHAPES = np.array([[[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 0], [0, 1, 0]]], dtype=np.uint8)
"""A lying and a standing bar, 3 x 3."""
GOOD, BAD = ("lovely", "bright", "moving", "clever"), ("dull", "empty", "tired", "clumsy")


def tiny_table(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Houses: two numbers of which one has gaps, a category, a date, a price to predict, and a class of it.

    Columns: `size` (float64), `rooms` (int64), `age` (float64, every eighth is missing), `town` (text),
    `built` (datetime64), `price` (float64, follows size, rooms and town) and `dear` (text, yes or no).
    """
    rng = np.random.default_rng(seed)
    size, room = rng.gamma(9.0, 12.0, rows).round(1), rng.integers(1, 7, rows)
    town = rng.choice(["north", "south", "west"], rows)
    price = size * np.select([town == "north", town == "south"], [1.0, 1.4], 0.8) + 6.0 * room
    frame = pd.DataFrame({"size": size, "rooms": room, "age": rng.integers(0, 90, rows).astype(float)})
    frame.loc[::8, "age"] = np.nan
    frame["town"] = pd.Series(town, dtype="str")
    frame["built"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 9000, rows), unit="D")
    frame["price"] = (price + rng.normal(0, 2.0, rows)).round(2)
    frame["dear"] = pd.Series(np.where(price > np.median(price), "yes", "no"), dtype="str")
    return frame.rename_axis(ROW)


def tiny_images(count: int = 60, size: int = 8, *, colour: bool = False, seed: int = 0) -> Dataset:
    """Lying and standing bars at random places, uint8 (count, size, size[, 3]); the label is which."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 40, (count, size, size), dtype=np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        y, x = rng.integers(0, size - 2, 2)
        picture[y : y + 3, x : x + 3] += SHAPES[label] * np.uint8(200)
    if colour:
        pixels = np.repeat(pixels[..., None], 3, axis=3)
    names = pd.Series(np.where(labels == 0, "lying", "standing"), dtype="str")
    return Dataset(describe(pixels, names, [""] * count), pixels)


def tiny_texts(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Sentences about films: columns `text` and `label` (good or bad), which four words of each decide."""
    rng = np.random.default_rng(seed)
    labels = np.where(np.arange(rows) % 2, "good", "bad")
    words = [rng.choice(GOOD if label == "good" else BAD, 2) for label in labels]
    texts = [f"film {rng.integers(1, 999)}: a {a} story, {b} to the end" for a, b in words]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype="str"), "label": pd.Series(labels, dtype="str")})
    return frame.rename_axis(ROW)


def tiny_context(folder: Path, rows: pd.DataFrame | None = None, target: str = "price") -> Context:
    """What an extra step after `split` is told, of a table whose first steps are run in `folder`.

    Args:
        folder: An existing folder that gets the outputs of the steps.
        rows: The table; `tiny_table` by default.
        target: Its target.
    """
    from tasks.clean import clean  # noqa: PLC0415 - Prefect, which no other test needs
    from tasks.config import Config, Split  # noqa: PLC0415
    from tasks.records import Step, ValidateRecord  # noqa: PLC0415
    from tasks.split import split  # noqa: PLC0415
    from tasks.store import remember  # noqa: PLC0415
    from tasks.tables import table as table_of  # noqa: PLC0415

    table = tiny_table() if rows is None else rows
    kind = "regression" if pd.api.types.is_numeric_dtype(table[target]) else "classification"
    config = Config.model_validate(
        {
            "name": "tiny", "task": kind, "source": {"kind": "table", "path": "raw/tiny.csv"},
            "target": target, "network": {"kind": "neuron"}, "register": {"name": "tiny"},
            "evaluate": {
                "metric": "mae" if kind == "regression" else "accuracy",
                "baselines": ["median" if kind == "regression" else "majority"],
            },
        }
    )  # fmt: skip

    def accepted(place: Path) -> ValidateRecord:
        types = types_of(table)
        table_of.save(place, Dataset(table), types, len(table))
        return ValidateRecord(
            step=Step(name="validate"), folder=place, fingerprint="0" * 64, files=(), read=len(table),
            kept=len(table), quarantined=0, reasons={}, findings=(), expectations=0,
            columns=tuple(table.columns), types=types,
        )  # fmt: skip

    raw = remember(folder, "validate", {"tiny": len(table)}, ValidateRecord, accepted)
    cleaned = clean.fn(raw, (), target, 0.01, folder)
    parts = split.fn(cleaned, Split(), target, config.task, 0, folder)
    own = folder / "extra"
    own.mkdir()
    records = {"validate": raw, "clean": cleaned, "split": parts}
    return Context(records=records, config=config, project=folder, folder=own)
