"""A loader of a project's own: a frame, or a frame and pixels, checked as strictly as any other source.

The fingerprint is that of the content, so a loader is called whenever one is asked for. It has to answer
the same whenever nothing changed; one that does not is found out, since `validate` asks twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.cleaning import content
from tasks.config import Columns, OwnSource
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected, quoted
from tasks.features.schema import ROW
from tasks.own import extension
from tasks.records import FileRecord
from tasks.sources import idx, typed
from tasks.sources.columns import check_label, check_target
from tasks.sources.loaded import Loaded

KEY = "source.kind"


def fingerprint(source: OwnSource, project: Path) -> str:
    """Hex sha256 of what the loader answers. Raises like `load`."""
    return content.digest(_called(source, project))


def load(source: OwnSource, project: Path, target: str | None, columns: Columns) -> Loaded:
    """Return what the loader answers in canonical values; a row is named by its position in it.

    Args:
        source: The loader and its options.
        project: The project's folder.
        target: Column that must be there, or None.
        columns: Declared types.

    Raises:
        ConfigError: The loader is not there, raised, or answered something else than rows.
        DataRejected: The target is missing, or there is no row.
    """
    data = _called(source, project)
    check_target(target, [str(name) for name in data.rows.columns], source.kind)
    if data.pixels is not None:
        check_label(target)
    digest = content.digest(data)
    name = extension.short(source.kind)
    return typed.load_frame(data, columns, digest, (FileRecord(name=name, rows=len(data), sha256=digest),))


def _called(source: OwnSource, project: Path) -> Dataset:
    return examples(extension.call(source.kind, KEY, project, **source.options), source.kind)


def examples(made: Any, name: str) -> Dataset:
    """What a loader called `name` answered, as examples.

    Raises:
        ConfigError: It is no frame, or no frame and pixels.
        DataRejected: There is no row.
    """
    rows, pixels = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(rows, pd.DataFrame):
        raise ConfigError(
            f"{KEY}: {quoted(name)} answered {type(made).__name__}",
            fix="a loader answers a DataFrame, or a DataFrame and pixels",
        )
    if not rows.columns.is_unique or not all(isinstance(each, str) and each for each in rows.columns):
        raise ConfigError(f"{KEY}: {quoted(name)} answered column names that are no text, or not unique")
    if not len(rows):
        raise DataRejected(f"{name}: 0 rows", fix="look at what the loader reads")
    rows = rows.set_axis(pd.RangeIndex(len(rows), name=ROW), axis=0)
    return Dataset(rows) if pixels is None else _pictures(name, rows, pixels)


def _pictures(name: str, rows: pd.DataFrame, pixels: object) -> Dataset:
    """The pictures with the columns that describe them; those of the loader's own stay beside them."""
    shape: tuple[int, ...] = getattr(pixels, "shape", ())
    colour = len(shape) == 4 and shape[3] == 3
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or not (len(shape) == 3 or colour):
        raise ConfigError(
            f"{KEY}: {quoted(name)} answered pixels that are no uint8 array (n, height, width[, 3])"
        )
    if len(pixels) != len(rows) or "label" not in rows.columns:
        raise ConfigError(
            f"{KEY}: {quoted(name)} answered {len(rows)} rows for {len(pixels)} pictures",
            fix="a row each, with the column label",
        )
    parts = [str(part) for part in rows["part"]] if "part" in rows.columns else [""] * len(rows)
    described = idx.describe(pixels, rows["label"].to_numpy(), parts)
    others = [each for each in rows.columns if each not in described.columns]
    return Dataset(described.assign(**{each: rows[each] for each in others}), pixels)
