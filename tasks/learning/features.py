"""Which columns are features, and how one column of them becomes numbers or codes.

Fitted on train rows; the state is plain JSON. numpy, pandas and pyarrow only: the module travels inside the
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.features import TYPES, read
from tasks.features.schema import series

KNOTS = 1000
"""Most points that a number's quantile curve is kept at."""
MICROSECONDS = 86_400_000_000
"""Of a day."""
UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
"""Codes of a category: never seen in training, absent, and the first known level."""


class ColumnRules(Protocol):
    """The part of the configuration that says how columns are read."""

    @property
    def drop(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def numeric(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def categorical(self) -> tuple[str, ...]: ...  # noqa: D102


def feature_columns(
    rows: pd.DataFrame, *, target: str, columns: ColumnRules, exclude: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Names of the numeric and the categorical features, in the frame's order.

    Numbers and dates are numeric, text and booleans categorical, unless `columns` says otherwise.

    Args:
        rows: Cleaned rows.
        target: Never a feature.
        columns: Columns to drop, or to read as the other kind.
        exclude: Further columns that are no features, such as the one that a split goes by.
    """
    out = {target, *columns.drop, *exclude}
    numeric, categorical = [], []
    for name in rows.columns:
        if name in out:
            continue
        kind = rows[name].dtype
        counts = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
        is_number = counts or pd.api.types.is_datetime64_any_dtype(kind)
        if name in columns.numeric or (is_number and name not in columns.categorical):
            numeric.append(name)
        else:
            categorical.append(name)
    return numeric, categorical


@dataclass(frozen=True)
class Number:
    """A numeric feature: missing values get the train median, then x is mapped by `knots` to `scores`.

    Attributes:
        knots: Increasing values of x.
        scores: Value of each knot; between knots the map is linear, outside it is flat (quantile)
            or goes on as a line (standard, where there are two knots).
    """

    name: str
    median: float
    indicator: bool
    knots: tuple[float, ...]
    scores: tuple[float, ...]

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Float64 (n,) with NaN for missing to float32 (n,)."""
        filled = np.where(np.isnan(values), self.median, values)
        if len(self.knots) == 2:
            (a, b), (s, t) = self.knots, self.scores
            return (s + (filled - a) * ((t - s) / (b - a))).astype(np.float32)
        return np.interp(filled, self.knots, self.scores).astype(np.float32)


@dataclass(frozen=True)
class Category:
    """A categorical feature and the levels that train rows showed, by falling frequency.

    Attributes:
        gaps: Whether a train row had none.
    """

    name: str
    levels: tuple[str, ...]
    gaps: bool = False

    def encode(self, column: pd.Series) -> np.ndarray:
        """Encode canonical values (n,) as int64 codes (n,): 0 unknown, 1 missing, 2.. levels."""
        # Each value is looked up once, however many rows hold it; a missing one has position -1, the last.
        if isinstance(column.dtype, pd.CategoricalDtype):
            positions, different = column.cat.codes.to_numpy(), column.cat.categories
        else:
            positions, different = pd.factorize(column)
        found = _index(self.levels).get_indexer(pd.Index(texts_of(pd.Series(different))))
        codes = np.append(np.where(found < 0, UNKNOWN, found + FIRST_LEVEL), MISSING)
        return codes[positions].astype(np.int64, copy=False)


@lru_cache(maxsize=1024)
def _index(levels: tuple[str, ...]) -> pd.Index:
    """Where each level stands; made once, since a single row is encoded sooner than it is made."""
    return pd.Index(levels, dtype="str")


def numbers_of(column: pd.Series) -> np.ndarray:
    """Return any column as float64 (n,) with NaN for what is missing or no number; dates count days."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments = read(column, TYPES["date"]).values
        micros = moments.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.asarray(micros / MICROSECONDS, dtype=np.float64)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(read(column, TYPES["number"]).values.to_numpy(zero_copy_only=False), dtype=np.float64)


def texts_of(column: pd.Series) -> pd.Series:
    """Return any column as the texts of its categories, missing values kept."""
    if isinstance(column.dtype, pd.StringDtype):
        return column  # canonical as it is
    return series(read(column, TYPES["category"]).values).set_axis(column.index)


def fit_number(name: str, values: np.ndarray, how: str) -> Number:
    """A number's map, from train values (n,) float64 with NaN for missing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Number(name, 0.0, False, (0.0, 1.0), (0.0, 0.0))
    median, gaps = float(np.median(present)), len(present) < len(values)
    if how == "quantile":
        knots, scores = _normal_scores(present)
    else:
        is_standard = how == "standard"
        knots = standard_knots(float(present.mean()), float(present.std())) if is_standard else (0.0, 1.0)
        scores = (0.0, 1.0)
    return Number(name, median, gaps, knots, scores)


def standard_knots(mean: float, spread: float) -> tuple[float, float]:
    """Return the values that become 0 and 1: the mean, and what lies one deviation above it.

    A constant has no deviation, and beside a large mean a small one is lost to rounding.
    """
    return mean, next(mean + step for step in (spread, 1.0, abs(mean)) if mean + step > mean)


def _normal_scores(present: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of the map from x to the normal score of its mid-rank among train values.

    The rank-based inverse normal transform (Van der Waerden, 1952), with ties at their mid-rank.
    """
    ordered = np.sort(present)
    knots = np.unique(ordered)
    if len(knots) > KNOTS:
        knots = np.unique(ordered[np.linspace(0, len(ordered) - 1, KNOTS).round().astype(int)])
    # Neighbours that differ by less than rounding noise would make the slope between them overflow.
    apart = np.diff(knots, prepend=-np.inf) > 1e-12 * max(abs(knots[0]), abs(knots[-1]), 1e-300)
    knots = knots[apart]
    below, upto = np.searchsorted(ordered, knots, "left"), np.searchsorted(ordered, knots, "right")
    normal = NormalDist()
    scores = tuple(normal.inv_cdf(rank) for rank in (below + upto) / (2 * len(ordered)))
    if len(knots) == 1:  # a constant says nothing: flat
        return (0.0, 1.0), (0.0, 0.0)
    if len(knots) == 2:  # three knots keep the map flat outside
        middle = float(knots.mean())
        return (float(knots[0]), middle, float(knots[1])), (scores[0], sum(scores) / 2, scores[1])
    return tuple(map(float, knots)), scores


def fit_category(name: str, texts: pd.Series) -> Category:
    """A category's levels, from train texts (n,) with missing values kept."""
    counts = texts.dropna().value_counts()
    levels = sorted(counts.index, key=lambda level: (-counts[level], level))
    return Category(name, tuple(map(str, levels)), bool(texts.isna().any()))
