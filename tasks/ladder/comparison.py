"""Who is better, and how sure that is: intervals of paired differences on the same test rows.

Accuracy and balanced accuracy are shares of rows, or their mean over classes, and have score intervals
(`proportions`). All else has a percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapters 13 and 16): the test rows are drawn with replacement 2,000 times; every model is scored on the
same draws, so a difference between two models compares them on identical rows, and its middle 95 % is its
interval. Where all draws agree there is no interval. An interval covers the choice of test rows; another seed
of training is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.config import METRICS, Task, higher_is_better
from tasks.ladder import metrics, proportions
from tasks.own.extension import short
from tasks.predictions import Predictions
from tasks.records import Verdict, Word

CANDIDATE = "candidate"
RESAMPLES = 2000
TAILS = (0.025, 0.975)
"""Quantiles that bound the 95 % interval."""
CELLS = 2_000_000
"""Weights held at once, as float64: 16 MB, and about three times that while they are drawn."""
UNDEFINED_SHARE = 0.01
"""Resamples in which a metric may be undefined (a class was never drawn) before its interval is."""
FEW_ROWS = 100
"""Below this the percentile interval is too narrow: it covers less often than it says."""
FEW_DECIDING = 10
"""Rows that one of two classifiers gets right and the other wrong, below which a verdict is shaky."""

_STREAM = 0xB007
"""Keeps these draws apart from others of the same seed."""


BOOTSTRAP = "percentile bootstrap of the test rows, 2,000 resamples, paired"
METHODS = {
    "accuracy": "Clopper-Pearson (exact); of paired differences Tango's score interval",
    "balanced_accuracy": "Wilson's of each class, combined (MOVER); of paired differences Tango's, combined",
}
"""How intervals are made, by metric; of all others by `BOOTSTRAP`."""
WIDTH = 1e-12
"""Share of its ends that an interval is wide at least; what is narrower is rounding."""


@dataclass(frozen=True)
class Comparison:
    """All rungs on the same rows and the same resamples.

    Attributes:
        values: Metric by rung and (short) name, on all rows.
        intervals: The same, as (low, high).
        verdicts: The candidate against every other rung, on the project's metric.
    """

    values: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    verdicts: tuple[Verdict, ...]


def compare(
    task: Task,
    metric: str,
    truth: np.ndarray,
    rungs: Mapping[str, Predictions],
    seed: int,
    also: Sequence[str] = (),
) -> Comparison:
    """Scores every rung in every metric of the task, and the candidate against the others.

    Args:
        task: Kind of task; names the metrics.
        metric: The project's metric, which verdicts go by.
        truth: (n,) labels, or float64.
        rungs: Predictions for the same n rows, by name; "candidate" is one of them.
        seed: Of the resamples.
        also: Further metrics, which the gate asks for.
    """
    names = tuple(dict.fromkeys([*METRICS[task], metric, *also]))
    drawn = resample(tuple(name for name in names if name not in METHODS), truth, rungs, seed)
    values = {
        rung: {short(name): metrics.compute(name, truth, p) for name in names} for rung, p in rungs.items()
    }
    sign = 1.0 if higher_is_better(task, metric) else -1.0
    verdicts = []
    for rung in rungs:
        if rung == CANDIDATE:
            continue
        difference = sign * (values[CANDIDATE][short(metric)] - values[rung][short(metric)]) + 0.0  # no -0.0
        if metric in METHODS:
            found = difference_of_shares(metric, truth, rungs[CANDIDATE], rungs[rung])
            verdicts.append(judged(rung, difference, *found))
        else:
            differences = sign * (drawn[CANDIDATE][metric] - drawn[rung][metric]) + 0.0
            verdicts.append(verdict(rung, difference, differences))
    intervals = {
        rung: {short(name): interval_of(name, truth, p, drawn[rung].get(name)) for name in names}
        for rung, p in rungs.items()
    }
    return Comparison(values=values, intervals=intervals, verdicts=tuple(verdicts))


def method(metric: str) -> str:
    """How the intervals of a metric are made, in words."""
    return METHODS.get(metric, BOOTSTRAP)


def interval_of(
    metric: str, truth: np.ndarray, predictions: Predictions, drawn: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a metric on n rows; NaN where there is none.

    Args:
        metric: A name of `config.METRICS`, or a project's own.
        truth: (n,) labels, or float64.
        predictions: Answers for the same n rows.
        drawn: (resamples,) values of the metric, where they are known.
        seed: Of the resamples, where they are not.
    """
    if metric not in METHODS:
        values = resample((metric,), truth, {"": predictions}, seed)[""][metric] if drawn is None else drawn
        return interval(values)
    right, rows = _hits(metric, truth, predictions)
    if not _defined(metric, rows):
        return float("nan"), float("nan")
    if metric == "accuracy":
        low, high = proportions.exact(right, rows)
        return float(low[0]), float(high[0])
    return _mean(right / rows, proportions.wilson(right, rows))


def difference_of_shares(
    metric: str, truth: np.ndarray, one: Predictions, other: Predictions
) -> tuple[float, float]:
    """The 95 % interval of the difference of two models in a metric of `METHODS`; NaN where undefined."""
    only_one, rows = _hits(metric, truth, one, other)
    only_other, _ = _hits(metric, truth, other, one)
    if not _defined(metric, rows):
        return float("nan"), float("nan")
    return _mean((only_one - only_other) / rows, proportions.paired(only_one, only_other, rows))


def _hits(
    metric: str, truth: np.ndarray, right: Predictions, wrong: Predictions | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that `right` gets right (and `wrong` wrong), and all rows: (k,), k classes of the truth or one."""
    hit = right.values == truth
    if wrong is not None:
        hit = hit & (wrong.values != truth)
    if metric == "accuracy":
        return np.array([float(hit.sum())]), np.array([float(len(truth))])
    codes, classes = pd.factorize(truth.astype(object))
    count = len(classes)
    hits, rows = np.bincount(codes, hit, minlength=count), np.bincount(codes, minlength=count)
    return hits.astype(np.float64), rows.astype(np.float64)


def _defined(metric: str, rows: np.ndarray) -> bool:
    return bool(rows.sum()) and (metric == "accuracy" or len(rows) > 1)


def _mean(values: np.ndarray, bounds: proportions.Bounds) -> tuple[float, float]:
    return proportions.combined(values, bounds, np.full(len(values), 1 / len(values)))


def resample(
    names: tuple[str, ...], truth: np.ndarray, rungs: Mapping[str, Predictions], seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Metrics on every resample: for each rung and metric an array (RESAMPLES,), NaN if undefined."""
    tables = {
        (rung, name): table
        for rung, predictions in rungs.items()
        for name in names
        if (table := metrics.statistics(name, truth, predictions)) is not None
    }
    means: dict[tuple[str, str], list[np.ndarray]] = {key: [] for key in tables}
    with threadpool_limits(1, "blas"):  # the same bits on any number of cores
        for chunk in weights(len(truth), seed) if tables else ():
            for key, table in tables.items():  # one product a rung: equal rungs get equal bits
                means[key].append(chunk @ table / len(truth))
    found: dict[str, dict[str, np.ndarray]] = {rung: {} for rung in rungs}
    for rung in rungs:
        for name in names:
            parts = means.get((rung, name))
            undefined = np.full(RESAMPLES, np.nan)
            found[rung][name] = metrics.value(name, np.concatenate(parts)) if parts else undefined
    return found


def weights(rows: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row was drawn, in chunks (some, rows) float64 of RESAMPLES lines in all.

    Each line is multinomial: `rows` draws with replacement. The draws depend on `rows` and `seed`.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM,)))
    most = max(1, CELLS // rows)
    for start in range(0, RESAMPLES, most):
        lines = min(most, RESAMPLES - start)
        drawn = generator.integers(0, rows, size=(lines, rows))
        drawn += np.arange(lines)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=lines * rows)
        yield counts.reshape(lines, rows).astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of (resamples,) values; NaN where too many are undefined, or all are the same."""
    defined = values[np.isfinite(values)]
    if len(defined) < (1 - UNDEFINED_SHARE) * len(values) or not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, TAILS)
    if high - low <= WIDTH * max(abs(low), abs(high)):
        return float("nan"), float("nan")
    return float(low), float(high)


def verdict(against: str, difference: float, differences: np.ndarray) -> Verdict:
    """The word for a difference, > 0 where the candidate is better, and its (resamples,) resamples.

    Models that answer every row alike are indistinguishable, though no interval says how far.
    """
    if not differences.any():
        return alike(against)
    return judged(against, difference, *interval(differences))


def alike(against: str) -> Verdict:
    """The verdict against a model that answers every row as the candidate does."""
    nan = float("nan")
    return Verdict(against=against, verdict="indistinguishable", difference=0.0, low=nan, high=nan)


def judged(against: str, difference: float, low: float, high: float) -> Verdict:
    """The verdict that follows from a difference and its interval."""
    return Verdict(
        against=against, verdict=_word(difference, low, high), difference=difference, low=low, high=high
    )


def undefined(against: str) -> Verdict:
    """The verdict against a rung that could not be scored."""
    nan = float("nan")
    return Verdict(against=against, verdict="undefined", difference=nan, low=nan, high=nan)


def _word(difference: float, low: float, high: float) -> Word:
    if not np.isfinite([difference, low, high]).all():
        return "undefined"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "indistinguishable"


def warnings(
    task: Task,
    truth: np.ndarray,
    rungs: Mapping[str, Predictions],
    verdicts: tuple[Verdict, ...],
) -> tuple[str, ...]:
    """What a reader of the verdicts has to be told: a small sample, few deciding rows, no gain."""
    lines = []
    if len(truth) < FEW_ROWS:
        lines.append(
            f"the test set has {len(truth)} rows: the sample is too small for the verdict "
            f"(intervals are trusted from {FEW_ROWS} rows on)"
        )
    for verdict in verdicts:
        if task == "classification" and verdict.verdict in ("better", "worse"):
            deciding = _deciding(truth, rungs[CANDIDATE], rungs[verdict.against])
            if deciding < FEW_DECIDING:
                lines.append(
                    f"{verdict.verdict} than {verdict.against}, but decided by {deciding} test rows only"
                )
        if verdict.verdict in ("indistinguishable", "worse") and verdict.against != "champion":
            relation = "from" if verdict.verdict == "indistinguishable" else "than"
            lines.append(f"the candidate is {verdict.verdict} {relation} {verdict.against}, which is simpler")
    return tuple(lines)


def _deciding(truth: np.ndarray, one: Predictions, other: Predictions) -> int:
    """Rows that exactly one of the two gets right."""
    return int(((one.values == truth) != (other.values == truth)).sum())
