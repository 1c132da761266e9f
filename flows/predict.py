"""Predict the rows of a file with a registered model.

The model takes raw rows, its preprocessing inside. Rows that it can't read are answered with an
error instead of a number; the output is written whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import sources, store
from tasks.config import Columns, Config, IdxSource, TableSource
from tasks.errors import ConfigError, DataRejected, quoted
from tasks.learning import scoring
from tasks.predictions import Predictions
from tasks.records import ModelVersion
from tasks.registry import tracking

ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was written: `rows` lines, `bad` of them with an error instead of an answer."""

    output: Path
    model: ModelVersion
    rows: int
    bad: int


def predict(
    config: Config, root: Path, file: Path, output: Path, *, version: int | None, force: bool
) -> Predicted:
    """Writes one line an input row: `prediction`, `probability`, `model_version`, `error`.

    Args:
        config: The project, which names the model.
        root: The checkout.
        file: A table, or a folder of IDX files for a model of images.
        output: A file that ends in `.csv` or `.parquet`.
        version: Version of the model; the champion when absent.
        force: Whether a file that is there may be replaced.

    Raises:
        ConfigError: The output's ending is unknown, it exists, or there is no champion yet.
        DataError: The file can't be read, or lacks a column that the model needs.
    """
    check_output(output, force=force)
    model = _model(config.register_as.name, root, version)
    scorer = scoring.load(_folder(model))
    data = _read(file, scorer.manifest)
    predictions, bad = scorer.predict_each(data)
    frame = _frame(predictions, bad, model.version)
    with store.replacing(output) as temporary:
        if output.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
    return Predicted(output=output, model=model, rows=len(frame), bad=len(bad))


def check_output(output: Path, *, force: bool) -> None:
    """Refuses an output that can't be written.

    Raises:
        ConfigError: Unknown ending, no such folder, or a file that is there and may not be replaced.
    """
    if output.suffix not in ENDINGS:
        raise ConfigError(f"output {quoted(str(output))}: expected a name ending in {' or '.join(ENDINGS)}")
    if not output.parent.is_dir():
        raise ConfigError(f"output {quoted(str(output))}: its folder does not exist", fix="make it first")
    if output.is_dir() or (output.exists() and not force):
        raise ConfigError(f"output {quoted(str(output))} exists", fix="choose another name, or add --force")


def _model(name: str, root: Path, version: int | None) -> ModelVersion:
    uri, cache = tracking.connect(root), root / ".state" / "models"
    if version is not None:
        return tracking.version(uri, name, version, cache)
    found = tracking.champion(uri, name, cache)
    if found is None:
        raise ConfigError(
            f"model {quoted(name)} has no champion yet", fix="train one, or name a --model-version"
        )
    return found


def _folder(model: ModelVersion) -> Path:
    if model.folder is None:
        raise ConfigError(f"model {quoted(model.name)} version {model.version} came without its bundle")
    return model.folder


def _read(file: Path, manifest: dict[str, Any]) -> pd.DataFrame | np.ndarray:
    """The raw rows, or the images (n, height, width[, 3]) uint8, of a file or folder."""
    if not file.exists():
        raise ConfigError(f"{quoted(str(file))}: no such file or folder")
    idx = manifest["columns"] is None
    path = str(file.resolve())
    source = IdxSource(kind="idx", path=path) if idx else TableSource(kind="table", path=path)
    loaded = sources.read(source, file.resolve().parent, None, Columns())
    if not idx:
        return loaded.dataset.rows.reset_index(drop=True)
    pixels, shape = loaded.dataset.pixels, manifest["image_shape"]
    if pixels is None or list(pixels.shape[1:]) != list(shape):
        got = "no images" if pixels is None else f"{list(pixels.shape[1:])} pixels"
        raise DataRejected(f"{file}: got {got}; the model takes {shape}")
    return pixels


def _frame(predictions: Predictions, bad: dict[int, str], version: int) -> pd.DataFrame:
    """The output's columns; what is unreadable has an error and no answer."""
    count = len(predictions.values)
    fine = np.ones(count, dtype=bool)
    fine[list(bad)] = False
    columns: dict[str, Any] = {"prediction": pd.Series(predictions.values).where(fine)}
    if predictions.probabilities is not None:
        columns["probability"] = pd.Series(predictions.probabilities.max(axis=1)).where(fine)
    columns["model_version"] = version
    columns["error"] = pd.Series([bad.get(i) for i in range(count)], dtype="str")
    if np.issubdtype(predictions.values.dtype, np.integer):
        columns["prediction"] = columns["prediction"].astype("Int64")
    return pd.DataFrame(columns)
