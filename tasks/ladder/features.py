"""What the baselines read: the target, rows as a matrix in the making, pixels, a sample of rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from tasks.config import Task
from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.learning.features import numbers_of, texts_of

VALUES = 1024
"""Most numbers of a picture that a baseline is given, 32 x 32 pixels in grey. The support
vector machine took 12 s for 5,000 pictures of 768 numbers, and 138 s with four times as many."""
LEVELS = 255
"""Most levels of a category that histogram boosting takes as such; rarer ones are put together."""


def truth_of(target: pd.Series, task: Task) -> np.ndarray:
    """The target, (n,), as every rung and metric takes it: float64, or labels in plain numpy types."""
    if task == "regression" or pd.api.types.is_float_dtype(target.dtype):
        return np.asarray(target.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_bool_dtype(target.dtype):
        return np.asarray(target.to_numpy(dtype=bool))
    if pd.api.types.is_integer_dtype(target.dtype):
        return np.asarray(target.to_numpy(dtype=np.int64))
    return np.asarray(target.to_numpy(dtype=object))


def nothing(data: Dataset) -> np.ndarray:
    """One constant column, (n, 1): what a dummy is told of the rows."""
    return np.zeros((len(data), 1))


def flat(data: Dataset) -> np.ndarray:
    """Pixels as (n, values) float32 in 0..1: one of each, or the means of blocks where there are too many."""
    if data.pixels is None:
        raise DataRejected("the model was fitted on images, but there are none")
    if (block := _block(data.pixels)) == 1:
        return np.asarray(data.pixels, dtype=np.float32).reshape(len(data), -1) / np.float32(255)
    parts = [_means(data.pixels[at : at + 1024], block) for at in range(0, len(data), 1024)]
    return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)


def thinned(data: Dataset) -> str:
    """What `flat` makes of larger pictures, in words; empty where it takes every pixel."""
    if data.pixels is None or (block := _block(data.pixels)) == 1:
        return ""
    height, width = (math.ceil(side / block) for side in data.pixels.shape[1:3])
    return f"sees pictures averaged to {height} x {width} pixels"


def _block(pixels: np.ndarray) -> int:
    """Side of the blocks of pixels whose means are few enough."""
    height, width = pixels.shape[1:3]
    channels = math.prod(pixels.shape[3:])
    return next(b for b in count(1) if math.ceil(height / b) * math.ceil(width / b) * channels <= VALUES)


def _means(pixels: np.ndarray, block: int) -> np.ndarray:
    """Means over blocks of pixels, smaller ones at the lower and the right edge, in 0..1."""
    rows, columns = (np.arange(0, side, block) for side in pixels.shape[1:3])
    sums = np.add.reduceat(pixels, rows, axis=1, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns, axis=2)
    height, width = pixels.shape[1:3]
    sizes = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    sizes = sizes.reshape(*sizes.shape, *(1,) * (pixels.ndim - 3))
    return np.asarray(sums / (255 * sizes), dtype=np.float32).reshape(len(pixels), -1)


def frame(numeric: list[str], categorical: list[str]) -> Callable[[Dataset], pd.DataFrame]:
    """Reads rows as float64 with NaN for missing, and text with a level of its own for missing."""
    if not numeric and not categorical:
        raise DataRejected("there are no features left", fix="look at columns.drop")

    def read(data: Dataset) -> pd.DataFrame:
        numbers = {name: numbers_of(data.rows[name]) for name in numeric}
        texts = {name: texts_of(data.rows[name]).fillna("").to_numpy(dtype=object) for name in categorical}
        return pd.DataFrame({**numbers, **texts}, index=data.rows.index)

    return read


def wide(numeric: list[str], categorical: list[str]) -> ColumnTransformer:
    """Standardised numbers with a mark where one was missing, and a column for each known level."""
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    numbers = make_pipeline(imputer, StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer([("numbers", numbers, numeric), ("levels", levels, categorical)])


def codes(numeric: list[str], categorical: list[str]) -> ColumnTransformer:
    """Numbers as they are, and a code for each level; NaN for unknown ones."""
    levels = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=LEVELS)
    return ColumnTransformer([("numbers", "passthrough", numeric), ("levels", levels, categorical)])


def stratified(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """`size` positions, sorted, every class by its share to within one row.

    Every so-many-th of the shuffled rows in order of their class; works with classes of one row, too.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    classes = pd.factorize(labels)[0][shuffled]
    by_class = shuffled[np.argsort(classes, kind="stable")]
    return np.sort(by_class[np.linspace(0, len(labels) - 1, size).round().astype(np.int64)])
