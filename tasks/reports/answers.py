"""What a report shows of the candidate's answers: confusion, residuals, worst examples, filters.

Read from the files that the records name. A file that is gone (outputs of old runs are removed)
leaves its part of the page out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from tasks import wording
from tasks.config import Config
from tasks.dataset import Dataset, place
from tasks.records import FileRecord
from tasks.reports import pictures, plots
from tasks.reports.exhibits import data_uri, inline

PICTURES, WORST_ROWS, BEST_ROWS = 24, 12, 4
"""Worst examples that are shown: as pictures, or as lines of a table; best ones, of texts only."""
LONG_NAME = 8
"""Where one of more than three classes has a longer name, the confusion matrix has upright heads."""
TABLE_CLASSES = 20
"""Up to so many classes the confusion matrix is a table, beyond a picture."""


def predictions(folder: Path) -> pd.DataFrame | None:
    """Truth and every rung's answer by row id, as `evaluate` wrote them; None when they are gone."""
    try:
        frame = pd.read_parquet(folder / "predictions.parquet")
    except OSError:
        return None
    return frame if {"truth", "candidate"} <= set(frame.columns) and len(frame) else None


def confusion(frame: pd.DataFrame) -> dict[str, Any]:
    """Counts by (truth, prediction), row shares, and the commonest mistakes."""
    truth, said = frame["truth"].astype(object), frame["candidate"].astype(object)
    found = set(truth) | set(said)
    try:
        classes = sorted(found)
    except TypeError:
        classes = sorted(found, key=str)
    counts = pd.crosstab(truth, said).reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    totals, answers = counts.sum(axis=1), counts.sum(axis=0)
    shares = counts / np.maximum(totals, 1)[:, None]
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, counts)
    pairs = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:5]:
        i, j = divmod(int(cell), len(classes))
        pairs.append((classes[i], classes[j], int(wrong[i, j]), int(totals[i])))
    large = len(classes) > TABLE_CLASSES
    return {
        "classes": classes,
        "upright": len(classes) > 3 and max(len(str(name)) for name in classes) > LONG_NAME,
        "counts": counts.tolist(),
        "shares": shares.tolist(),
        "totals": totals.tolist(),
        "answers": answers.tolist(),
        "most": float((wrong / np.maximum(totals, 1)[:, None]).max()) or 1.0,
        "wrong": int(wrong.sum()),
        "rows": len(frame),
        "pairs": [pair for pair in pairs if pair[2] > 1],  # single mistakes are no pattern
        "image": data_uri(pictures.heat(shares)) if large else None,
    }


def residuals(frame: pd.DataFrame, target: str) -> dict[str, Any] | None:
    """How far predictions lie from the truth, in words (units of the target) and as a chart."""
    truth = frame["truth"].to_numpy(dtype=np.float64)
    predicted = frame["candidate"].to_numpy(dtype=np.float64)
    usable = np.isfinite(truth) & np.isfinite(predicted)
    if not usable.any():
        return None
    missed = (predicted - truth)[usable]
    relative = np.abs(missed) <= 0.1 * np.abs(truth[usable])
    alt = f"Scatter plots of {usable.sum():,} test rows: predicted against true {target}, and residuals"
    words = (
        f"Half of the test rows are missed by less than {wording.number(float(np.median(np.abs(missed))))}, "
        f"nine in ten by less than {wording.number(float(np.quantile(np.abs(missed), 0.9)))}; "
        f"{wording.share(float(relative.sum()), len(missed))} lie within 10 % of the truth. "
        f"On average predictions lie {wording.number(abs(float(missed.mean())))} too "
        f"{'high' if missed.mean() >= 0 else 'low'}."
    )
    return {"words": words, "figure": inline(plots.residuals(truth[usable], predicted[usable], target), alt)}


def worst(
    frame: pd.DataFrame, config: Config, data: Dataset | None, files: tuple[FileRecord, ...]
) -> dict[str, Any]:
    """The rows that the candidate answered worst, as pictures where the data are images.

    Args:
        frame: Predictions by row id.
        config: Says whether features may be quoted (`validate.show_values`).
        data: The cleaned rows; None when they are gone.
        files: The source's files, to tell where a row stands.
    """
    classify = config.task == "classification"
    frame = frame.assign(miss=_misses(frame, classify))
    frame = frame.sort_values("miss", ascending=False, kind="stable", na_position="first")
    as_pictures = data is not None and data.pixels is not None
    as_texts = config.columns.text is not None  # the page shows the texts themselves
    chosen = frame.head(PICTURES if as_pictures else WORST_ROWS)
    examples = _examples(chosen, files)
    if data is not None:
        show = config.validation.show_values and not as_pictures and not as_texts
        names = [name for name in data.rows.columns if name != config.target] if show else []
        where = data.rows.index.get_indexer(chosen.index)
        for example, position in zip(examples, where, strict=True):
            if position >= 0 and data.pixels is not None:
                example["image"] = data_uri(pictures.picture(data.pixels[position]))
            if position >= 0:
                example["values"] = [(name, data.rows[name].iloc[position]) for name in names]
    best = frame.iloc[::-1].head(BEST_ROWS if as_texts and config.validation.show_values else 0)
    return {
        "examples": examples,
        "best": _examples(best, files),
        "pictures": as_pictures,
        "loss": "candidate_loss" in frame,
    }


def _misses(frame: pd.DataFrame, classify: bool) -> pd.Series[float]:
    if "candidate_loss" in frame:
        return frame["candidate_loss"]
    if classify:
        return (frame["truth"] != frame["candidate"]).astype(float)
    return (frame["candidate"] - frame["truth"]).abs()


def _examples(frame: pd.DataFrame, files: tuple[FileRecord, ...]) -> list[dict[str, Any]]:
    # Column by column: a row of the frame would turn whole-number labels into floats.
    unknown = pd.Series(float("nan"), index=frame.index)
    confidence = frame.get("candidate_confidence", unknown)
    columns = (frame.index, frame["truth"], frame["candidate"], frame["miss"], confidence)
    return [
        {
            "row": int(row),
            "place": place(int(row), files),
            "truth": truth,
            "said": said,
            "right": bool(truth == said),
            "miss": float(miss),
            "confidence": float(sure),
            "image": None,
            "values": [],
        }
        for row, truth, said, miss, sure in zip(*columns, strict=True)
    ]


def dataset(folder: Path) -> Dataset | None:
    """The stored rows and pixels of a step; None when they are gone."""
    try:
        return Dataset.load(folder)
    except OSError:
        return None


def filters(folder: Path, *, folded: bool) -> dict[str, Any] | None:
    """Picture of a bundle's first 4-D tensor, in name order; None where there is none.

    Args:
        folder: A bundle of a network that reads images.
        folded: Whether the network folds 2x2 pixels into channels first; the filters are then shown
            unfolded, as the pixels that they look at.
    """
    try:
        with safe_open(folder / "weights.safetensors", framework="numpy") as weights:
            names = [name for name in sorted(weights.keys()) if len(weights.get_slice(name).get_shape()) == 4]
            tensor = weights.get_tensor(names[0]) if names else None
    except (OSError, SafetensorError):
        return None
    if tensor is None:
        return None
    tensor = _unfolded(tensor) if folded else tensor
    count, channels, height, width = tensor.shape
    words = f"{min(count, pictures.FILTERS)} of {count} filters of {names[0]}, {height} × {width} pixels each"
    return {
        "image": data_uri(pictures.filters(tensor)),
        "words": words,
        "channels": channels,
        "width": min(8, count) * 56,
    }


def _unfolded(weights: np.ndarray) -> np.ndarray:
    """(filters, 4 x channels, h, w) over 2x2 blocks -> (filters, channels, 2h, 2w) over pixels."""
    count, folded, height, width = weights.shape
    blocks = weights.reshape(count, folded // 4, 2, 2, height, width)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(count, folded // 4, 2 * height, 2 * width)
