"""Slices of the test rows: how the candidate does where a column has one value, or one range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tasks.errors import ConfigError, did_you_mean, quoted
from tasks.ladder import comparison, metrics
from tasks.predictions import Predictions
from tasks.records import SliceScore

MOST_VALUES = 12
"""A number with more distinct train values than this is cut at the train quartiles."""
MOST_SLICES = 50
"""Values of one column that are shown; rarer ones are put together."""
MISSING, OTHERS = "(missing)", "(others)"


def check(names: tuple[str, ...], rows: pd.DataFrame) -> None:
    """Raises ConfigError when `evaluate.slices` names a column that the rows lack."""
    for i, name in enumerate(names):
        if name not in rows.columns:
            fix = did_you_mean(name, map(str, rows.columns))
            raise ConfigError(f"evaluate.slices.{i}: no column {quoted(name)} in the cleaned data", fix=fix)


def scores(
    metric: str,
    column: str,
    train: pd.Series,
    test: pd.Series,
    truth: np.ndarray,
    predictions: Predictions,
    seed: int,
) -> tuple[SliceScore, ...]:
    """The metric, with its 95 % interval, on the test rows of every value of one column.

    A slice by the target of a classification gives, for accuracy, the recall of each class.

    Args:
        metric: A name of `config.METRICS`.
        column: Name of the column.
        train: Its values in the train rows, which cut numbers into ranges.
        test: Its values in the n test rows.
        truth: (n,) labels, or float64.
        predictions: The candidate's, for the same n rows.
        seed: Of the resamples.
    """
    found = []
    for name, inside in _masks(train, test):
        part = _take(predictions, inside)
        low, high = comparison.interval_of(metric, truth[inside], part, seed=seed)
        score = metrics.compute(metric, truth[inside], part)
        rows = int(inside.sum())
        found.append(SliceScore(column=column, value=name, rows=rows, score=score, low=low, high=high))
    return tuple(found)


def _take(predictions: Predictions, inside: np.ndarray) -> Predictions:
    probabilities = None if predictions.probabilities is None else predictions.probabilities[inside]
    return Predictions(predictions.values[inside], probabilities, predictions.classes)


def _masks(train: pd.Series, test: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Names of the slices that hold rows, and which (n,) rows are in each."""
    missing = test.isna().to_numpy(dtype=bool)
    numeric = pd.api.types.is_numeric_dtype(train.dtype) and not pd.api.types.is_bool_dtype(train.dtype)
    cut = numeric and train.nunique() > MOST_VALUES
    for name, inside in _ranges(train, test) if cut else _values(test):
        if (inside := inside & ~missing).any():
            yield name, inside
    if missing.any():
        yield MISSING, missing


def _ranges(train: pd.Series, test: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Four ranges between the train quartiles; fewer where quartiles coincide."""
    edges = np.unique(np.quantile(train.dropna().to_numpy(dtype=np.float64), (0.25, 0.5, 0.75)))
    at = np.searchsorted(edges, test.to_numpy(dtype=np.float64, na_value=np.nan), side="left")
    yield f"<= {edges[0]:.6g}", at == 0
    for i in range(1, len(edges)):
        yield f"> {edges[i - 1]:.6g} and <= {edges[i]:.6g}", at == i
    yield f"> {edges[-1]:.6g}", at == len(edges)


def _values(test: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Every value by itself, sorted; the rarest together where there are too many."""
    shown = test.value_counts().index[:MOST_SLICES]
    for value in sorted(shown, key=lambda value: (isinstance(value, str), value)):
        yield str(value), (test == value).to_numpy(dtype=bool, na_value=False)
    yield OTHERS, ~test.isin(shown).to_numpy(dtype=bool)
