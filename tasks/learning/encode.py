"""Everything that is learned from data besides the weights: fitted on train rows, kept with the model.

An `Encoder` turns cleaned rows (or pixels) into the arrays that a network reads and a target into
what the loss compares, and back. Its state is plain JSON; `state_hash` names it, and no test or
validation row can change that name. numpy and pandas only: the module travels inside the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
import pandas as pd

from tasks.errors import DataRejected, quoted

KNOTS = 1000
"""Most points that a number's quantile curve is kept at."""
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


# --- one column -------------------------------------------------------------------------------------


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
    """A categorical feature and the levels that train rows showed, by falling frequency."""

    name: str
    levels: tuple[str, ...]

    def encode(self, texts: pd.Series) -> np.ndarray:
        """Text (n,) to int64 codes (n,): 0 unknown, 1 missing, 2.. levels."""
        found = pd.Index(self.levels, dtype="str").get_indexer(pd.Index(texts))
        codes = np.where(found < 0, UNKNOWN, found + FIRST_LEVEL).astype(np.int64)
        codes[texts.isna().to_numpy()] = MISSING
        return codes


def numbers_of(column: pd.Series) -> np.ndarray:
    """Any numeric or date column as float64 with NaN; dates count days."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        days = (column - pd.Timestamp(0, tz=column.dt.tz)) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=np.float64)
    return np.asarray(pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan))


def texts_of(column: pd.Series) -> pd.Series:
    """Any column as text with missing values kept; 1.0 reads as '1', as it would without gaps."""
    missing = column.isna()
    if pd.api.types.is_float_dtype(column.dtype):
        # Cell by cell: how one number reads must not depend on the numbers around it.
        texts = column.map(lambda number: repr(float(number)).removesuffix(".0")).astype("str")
    else:
        texts = column.astype("str")
    return texts.mask(missing)


def _fit_number(name: str, values: np.ndarray, how: str) -> Number:
    """A number's map, from train values (n,) float64 with NaN for missing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Number(name, 0.0, False, (0.0, 1.0), (0.0, 0.0))
    median, gaps = float(np.median(present)), len(present) < len(values)
    if how == "quantile":
        knots, scores = _normal_scores(present)
    else:
        spread = float(present.std()) or 1.0
        center = float(present.mean())
        knots, scores = (
            ((center, center + spread), (0.0, 1.0)) if how == "standard" else ((0.0, 1.0), (0.0, 1.0))
        )
    return Number(name, median, gaps, knots, scores)


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
        return (float(knots[0]), float(knots[0]) + 1.0), (0.0, 0.0)
    if len(knots) == 2:  # three knots keep the map flat outside
        middle = float(knots.mean())
        return (float(knots[0]), middle, float(knots[1])), (scores[0], sum(scores) / 2, scores[1])
    return tuple(map(float, knots)), scores


def _fit_category(name: str, texts: pd.Series) -> Category:
    counts = texts.dropna().value_counts()
    levels = sorted(counts.index, key=lambda level: (-counts[level], level))
    return Category(name, tuple(map(str, levels)))


# --- inputs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableInputs:
    """Numbers (n, p) float32, with one column more for each number that had gaps, and codes (n, q)."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]

    @staticmethod
    def fit(rows: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str], how: str) -> TableInputs:
        """Learns from train rows."""
        return TableInputs(
            tuple(_fit_number(name, numbers_of(rows[name]), how) for name in numeric),
            tuple(_fit_category(name, texts_of(rows[name])) for name in categorical),
        )

    @property
    def width(self) -> int:
        """p, the number of numeric inputs."""
        return sum(1 + number.indicator for number in self.numbers)

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of codes of each category, unknown and missing included."""
        return tuple(FIRST_LEVEL + len(category.levels) for category in self.categories)

    def encode(self, rows: pd.DataFrame) -> tuple[np.ndarray, ...]:
        """Rows to (numbers (n, p) float32, codes (n, q) int64)."""
        numbers = np.empty((len(rows), self.width), dtype=np.float32)
        at = 0
        for number in self.numbers:
            values = numbers_of(rows[number.name])
            numbers[:, at] = number.encode(values)
            if number.indicator:
                numbers[:, at + 1] = np.isnan(values)
            at += 1 + number.indicator
        codes = np.empty((len(rows), len(self.categories)), dtype=np.int64)
        for j, category in enumerate(self.categories):
            codes[:, j] = category.encode(texts_of(rows[category.name]))
        return numbers, codes


@dataclass(frozen=True)
class ImageInputs:
    """Pixels stay uint8; the mean and spread of train pixels, by channel, are applied batch by batch."""

    shape: tuple[int, ...]
    """(height, width) or (height, width, 3)."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """In units of 0..255, one a channel."""

    @staticmethod
    def fit(pixels: np.ndarray) -> ImageInputs:
        """Learns from train images, uint8 (n, h, w) or (n, h, w, c)."""
        axes = (0, 1, 2)
        wide = pixels if pixels.ndim == 4 else pixels[..., None]
        # Sums of integers are exact, so the order of rows can't change a bit of the result.
        count = wide.shape[0] * wide.shape[1] * wide.shape[2]
        total = wide.sum(axis=axes, dtype=np.int64)
        squares = np.zeros_like(total)
        for start in range(0, len(wide), 4096):
            squares += (wide[start : start + 4096].astype(np.int64) ** 2).sum(axis=axes)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return ImageInputs(
            tuple(int(side) for side in pixels.shape[1:]),
            tuple(float(m) for m in mean),
            tuple(float(s) or 1.0 for s in spread),
        )

    def encode(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images as they are, after a check of their shape."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.shape:
            raise DataRejected(
                f"images are {pixels.dtype} of shape {pixels.shape[1:]}; "
                f"the model was trained on uint8 of shape {self.shape}"
            )
        return (np.ascontiguousarray(pixels),)


# --- targets ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labels:
    """Classes, sorted, and how many train rows each had."""

    classes: tuple[Any, ...]
    counts: tuple[int, ...]

    @staticmethod
    def fit(target: pd.Series) -> Labels:
        """Learns from train targets."""
        counts = target.value_counts()
        classes = sorted(counts.index)
        return Labels(
            tuple(_plain(label) for label in classes), tuple(int(counts[label]) for label in classes)
        )

    def encode(self, target: pd.Series) -> np.ndarray:
        """Labels to int64 class numbers (n,). Raises DataRejected for a label that training never saw."""
        codes = pd.Index(self.classes).get_indexer(pd.Index(target))
        if (codes < 0).any():
            label = target.iloc[int(np.argmax(codes < 0))]
            raise DataRejected(
                f"class {quoted(label)} has no train rows",
                fix="give it more rows, or drop it with a clean operation",
            )
        return np.asarray(codes, dtype=np.int64)


@dataclass(frozen=True)
class Scale:
    """A regression target: its logarithm if `log`, standardised; predictions stay in [low, high]."""

    log: bool
    mean: float
    std: float
    low: float
    high: float

    @staticmethod
    def fit(target: pd.Series, how: str) -> Scale:
        """Learns from train targets; `how` is auto, log or none."""
        values = target.to_numpy(dtype=np.float64)
        if how == "log" and values.min() <= 0:
            raise DataRejected(
                f"encode.target is 'log', but the smallest train target is {values.min():g}",
                fix="use encode.target: none",
            )
        log = how == "log" or (how == "auto" and values.min() > 0 and skewness(values) > 1)
        seen = np.log(values) if log else values
        return Scale(
            log, float(seen.mean()), float(seen.std()) or 1.0, float(values.min()), float(values.max())
        )

    def encode(self, target: pd.Series) -> np.ndarray:
        """Targets (n,) to float32 (n,)."""
        values = target.to_numpy(dtype=np.float64)
        seen = np.log(np.maximum(values, 1e-12)) if self.log else values
        return ((seen - self.mean) / self.std).astype(np.float32)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Network outputs (n,) to targets, kept within the range that training saw.

        A linear extrapolation in log space can be off by factors of thousands; the clip bounds it.
        """
        values = outputs.astype(np.float64) * self.std + self.mean
        return np.clip(np.exp(np.minimum(values, 700.0)) if self.log else values, self.low, self.high)


def skewness(values: np.ndarray) -> float:
    """Third standardised moment; 0 for a constant."""
    centered = values - values.mean()
    spread = centered.std()
    return float((centered**3).mean() / spread**3) if spread > 0 else 0.0


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


# --- the whole --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoder:
    """Inputs and target of one model."""

    inputs: TableInputs | ImageInputs
    target: Labels | Scale

    def state(self) -> dict[str, Any]:
        """Everything that was learned, as plain JSON data; floats survive exactly."""
        if isinstance(self.inputs, TableInputs):
            numbers = [vars(n) for n in self.inputs.numbers]
            inputs = {"numbers": numbers, "categories": [vars(c) for c in self.inputs.categories]}
        else:
            inputs = dict(vars(self.inputs))
        plain = {"inputs": inputs, "target": vars(self.target)}
        return dict(json.loads(json.dumps(plain)))

    @property
    def state_hash(self) -> str:
        """sha256 of the state."""
        text = json.dumps(self.state(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @staticmethod
    def restore(state: dict[str, Any]) -> Encoder:
        """The encoder whose `state` this is."""
        inputs, target = state["inputs"], state["target"]
        if "numbers" in inputs:
            read: TableInputs | ImageInputs = TableInputs(
                tuple(
                    Number(n["name"], n["median"], n["indicator"], tuple(n["knots"]), tuple(n["scores"]))
                    for n in inputs["numbers"]
                ),
                tuple(Category(c["name"], tuple(c["levels"])) for c in inputs["categories"]),
            )
        else:
            read = ImageInputs(*(tuple(inputs[key]) for key in ("shape", "mean", "std")))
        is_labels = "classes" in target
        labels = Labels(tuple(target["classes"]), tuple(target["counts"])) if is_labels else Scale(**target)
        return Encoder(read, labels)
