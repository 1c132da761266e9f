"""Metrics as functions of means over rows, so that a bootstrap resample is a matrix product.

Every metric here is `value(mean of statistics)`: `statistics` makes a small table with one line a
row of the test set, and `value` turns weighted means of its columns into the metric. The point
value weighs all rows alike, a resample weighs each by how often it was drawn: one formula for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tasks.errors import ConfigError, ModelyardError, did_you_mean, quoted
from tasks.own import extension
from tasks.predictions import Predictions

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""A probability of 0 for the truth counts as this, as in scikit-learn's log_loss."""


def compute(metric: str, truth: np.ndarray, predictions: Predictions) -> float:
    """The metric on n rows; NaN where it is undefined or not finite.

    Undefined are: no rows; log_loss without probabilities; balanced_accuracy and f1_macro where the
    truth holds one class only; rmsle where a true value is negative (negative predictions count as
    0); r2 where the truth is constant.

    Args:
        metric: A name of `config.METRICS`.
        truth: (n,) labels, or float64.
        predictions: Answers for the same n rows.

    Raises:
        ConfigError: No such metric.
        ModelyardError: The number of predictions is not n.
    """
    table = statistics(metric, truth, predictions)
    if table is None:
        return float("nan")
    found = float(value(metric, np.ones((1, len(truth))) @ table / len(truth))[0])
    return found if np.isfinite(found) else float("nan")


def statistics(metric: str, truth: np.ndarray, predictions: Predictions) -> Any:
    """What each row contributes to the metric.

    Returns:
        (n, s) float64, dense or a scipy sparse array, for some small s; None where no weighting of
        the rows would define the metric.

    Raises:
        ConfigError: No such metric.
        ModelyardError: The number of predictions is not n.
    """
    found = _find(metric)
    if len(truth) != len(predictions.values):
        raise ModelyardError(f"{len(predictions.values)} predictions for {len(truth)} rows")
    return found.statistics(truth, predictions) if len(truth) else None


def value(metric: str, means: np.ndarray) -> np.ndarray:
    """Weighted means of `statistics`, (resamples, s), to the metric, (resamples,), NaN if undefined."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _find(metric).value(means)


def _find(metric: str) -> _Metric:
    if extension.is_own(metric):
        return _own(metric)
    if metric not in _METRICS:
        raise ConfigError(f"unknown metric {quoted(metric)}", fix=did_you_mean(metric, _METRICS))
    return _METRICS[metric]


def _own(metric: str) -> _Metric:
    """A project's own: an object as those here, or a function of rows whose mean is the metric."""
    made = extension.resolve(metric, "metric")

    def statistics(truth: np.ndarray, predictions: Predictions) -> Any:
        name = f"{metric}.statistics" if hasattr(made, "statistics") else metric
        table = extension.guarded(getattr(made, "statistics", made), name, "metric", truth, predictions)
        if table is None or sparse.issparse(table):
            return table
        rows = np.asarray(table, dtype=np.float64)
        if rows.shape[:1] != (len(truth),) or rows.ndim > 2:
            raise ConfigError(
                f"metric {quoted(metric)} answered shape {rows.shape} for {len(truth)} rows",
                fix="a value for each row, or a line of statistics",
            )
        return rows.reshape(len(truth), -1)

    return _Metric(statistics, getattr(made, "value", _first))


# --- classification ---------------------------------------------------------------------------------


def _correct(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return np.asarray(truth == predictions.values, dtype=np.float64).reshape(-1, 1)


def _surprise(truth: np.ndarray, predictions: Predictions) -> np.ndarray | None:
    losses = losses_of(truth, predictions)
    return None if losses is None else losses.reshape(-1, 1)


def losses_of(truth: np.ndarray, predictions: Predictions) -> np.ndarray | None:
    """-log of the probability given to the truth, (n,) in nats; None without probabilities.

    A label that the model does not know had probability 0.
    """
    if predictions.probabilities is None or predictions.classes is None:
        return None
    columns = pd.Index(predictions.classes).get_indexer(pd.Index(truth))
    given = predictions.probabilities[np.arange(len(truth)), columns]
    given = np.where(columns >= 0, given, 0.0)
    return np.asarray(-np.log(np.clip(given, SMALLEST_PROBABILITY, 1.0)))


def _by_class(truth: np.ndarray, predictions: Predictions) -> Any:
    """Sparse (n, 3 k): row is right, has that truth, has that prediction, for each of k classes."""
    # As objects, so that numbers and text never turn into each other.
    both = np.concatenate([truth.astype(object), predictions.values.astype(object)])
    codes, classes = pd.factorize(both)
    true, predicted = np.split(codes, 2)
    n, k, right = len(truth), len(classes), true == predicted
    rows = np.arange(n)
    at = np.concatenate([true[right], k + true, 2 * k + predicted])
    lines = np.concatenate([rows[right], rows, rows])
    return sparse.csr_array((np.ones(len(at)), (lines, at)), shape=(n, 3 * k))


def _mean_over_classes(over: np.ndarray, under: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean of over / under over classes that occur; NaN where the truth has fewer than two classes."""
    occurs = under > 0
    shares = np.divide(over, under, out=np.zeros_like(over), where=occurs)
    means = shares.sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
    return np.where((support > 0).sum(axis=-1) > 1, means, np.nan)


def _balanced_accuracy(means: np.ndarray) -> np.ndarray:
    correct, support, _ = np.split(means, 3, axis=-1)
    return _mean_over_classes(correct, support, support)


def _f1_macro(means: np.ndarray) -> np.ndarray:
    correct, support, predicted = np.split(means, 3, axis=-1)
    return _mean_over_classes(2 * correct, support + predicted, support)


# --- regression -------------------------------------------------------------------------------------


def _errors(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    return np.asarray(predictions.values - truth, dtype=np.float64).reshape(-1, 1)


def _log_errors(truth: np.ndarray, predictions: Predictions) -> np.ndarray | None:
    if (truth < 0).any():
        return None
    return np.asarray(np.log1p(np.maximum(predictions.values, 0.0)) - np.log1p(truth)).reshape(-1, 1)


def _errors_and_truth(truth: np.ndarray, predictions: Predictions) -> np.ndarray:
    # Around the median: a constant truth gives exact zeros, and squares of prices lose no digits.
    centered = np.asarray(truth - np.median(truth), dtype=np.float64).reshape(-1, 1)
    return np.hstack([_errors(truth, predictions) ** 2, centered, centered**2])


def _r2(means: np.ndarray) -> np.ndarray:
    error, center, square = means[..., 0], means[..., 1], means[..., 2]
    variance = square - center**2
    # What rounding leaves of a constant is no variance.
    return np.where(variance > 1e-12 * square, 1.0 - error / variance, np.nan)


# --- the table --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Metric:
    statistics: Callable[[np.ndarray, Predictions], Any]
    value: Callable[[np.ndarray], np.ndarray]


def _first(means: np.ndarray) -> np.ndarray:
    return means[..., 0]


_METRICS = {
    "accuracy": _Metric(_correct, _first),
    "balanced_accuracy": _Metric(_by_class, _balanced_accuracy),
    "f1_macro": _Metric(_by_class, _f1_macro),
    "log_loss": _Metric(_surprise, _first),
    "rmse": _Metric(lambda t, p: _errors(t, p) ** 2, lambda means: np.sqrt(means[..., 0])),
    "mae": _Metric(lambda t, p: np.abs(_errors(t, p)), _first),
    "rmsle": _Metric(
        lambda t, p: None if (e := _log_errors(t, p)) is None else e**2, lambda means: np.sqrt(means[..., 0])
    ),
    "r2": _Metric(_errors_and_truth, _r2),
}
