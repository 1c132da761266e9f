"""Labels that look wrong: confident learning on what the simplest rung says about rows that it has not seen.

Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels": a row is
suspect where its probability for another class is as high as that class's own rows have it on average. The
probabilities are of five logistic regressions, each asked about the fifth of the train rows that it was not
fitted on. Hard problems have such rows without a single wrong label, so only what exceeds chance is warned
of: as many as there would be, were the labels drawn from those very probabilities.

Of 5 % flipped labels it finds half in film sentences, eight of ten in wine, cancer and MNIST, nine in iris
and digits. From some five hundred rows on it warns of them (of one collection of sentences with one seed of
three, and always at 10 %); of a hundred rows every other time. Left clean, none of these warns. What a linear
model can't tell looks like a wrong label, too: it doubts 4 % of the Titanic's, whose survivors followed no
straight line.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.ladder import baselines
from tasks.ladder.baselines import Problem
from tasks.ladder.features import stratified, truth_of

FILE = "labels.parquet"
RUNG = "logistic"
FOLDS = 5

ROWS = 10_000
"""Most train rows that are looked at: 3 s for sentences, 12 s for pages, 1 s for a table."""

PICTURES = 3_000
"""Most of them where they are pictures: 6 s for MNIST's 784 pixels."""

DRAWS = 100
"""Of labels, to tell what chance gives; the 95 % quantile of their counts is held against ours."""

_TEMPERATURES = np.geomspace(0.1, 8.0, 37)
_NOISE = np.concatenate([[0.0], np.geomspace(0.003, 0.4, 24)])

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """What was found.

    Attributes:
        suspects: Columns `given`, `suggested` and `score` (0..1, most suspect first) by row id.
        rows: How many train rows were looked at.
        expected: How many suspects chance gives at most, in 95 of 100 draws.
    """

    suspects: pd.DataFrame
    rows: int
    expected: float

    @property
    def excess(self) -> float:
        """Share of rows that are suspect beyond chance."""
        return max(0.0, len(self.suspects) - self.expected) / self.rows


def look(train: Dataset, problem: Problem, folder: Path, most: float) -> list[str]:
    """Writes `labels.parquet` into `folder`; a warning where more labels look wrong than `most` allows.

    Args:
        train: Cleaned train rows with their target.
        problem: What the rungs are told.
        folder: Of the step's files.
        most: Share of suspect rows beyond chance from which on there is a warning.

    Returns:
        The warning, or the reason why there is no answer; it never raises.
    """
    if problem.task != "classification":
        return []
    try:
        found = find(train, problem)
    except Exception as error:
        # Not worth a run: the labels go unjudged, and the page says so. A library's text may quote cells.
        _log.debug("labels could not be judged", exc_info=True)
        reason = str(error) if isinstance(error, DataRejected) else type(error).__name__
        return [f"labels were not judged: {reason}"]
    found.suspects.to_parquet(folder / FILE)
    if found.excess <= most:
        return []
    return [
        f"{len(found.suspects)} of {found.rows} train rows that were looked at have a label that looks "
        f"wrong, and chance gives {found.expected:.0f}: about {100 * found.excess:.1f} % of the labels "
        f"are wrong, or can't be told by a linear model; {FILE} ranks the rows"
    ]


def find(train: Dataset, problem: Problem) -> Labels:
    """The suspect labels among train rows, at most 10,000 of which are looked at.

    Raises:
        DataRejected: Fewer than two classes have rows enough, or the rung failed.
    """
    labels = truth_of(train.rows[problem.target], problem.task)
    counts = pd.Series(labels).map(pd.Series(labels).value_counts()).to_numpy()
    usable = np.flatnonzero(counts >= 2 * FOLDS)
    limit = ROWS if train.pixels is None else PICTURES
    if len(usable) > limit:
        usable = usable[stratified(labels[usable], limit, problem.seed)]
    classes, codes = np.unique(labels[usable], return_inverse=True)
    if len(classes) < 2:
        raise DataRejected(f"fewer than two classes have {2 * FOLDS} train rows")
    probabilities = _sober(_left_out(train.take(usable), codes, classes, problem), codes)
    suggested = suspects(probabilities, codes)
    odd = np.flatnonzero(suggested != codes)
    score = probabilities[odd, suggested[odd]] - probabilities[odd, codes[odd]]
    odd, score = odd[np.argsort(-score, kind="stable")], np.sort(score)[::-1]
    index = pd.Index(train.rows.index[usable[odd]], name="row")
    frame = pd.DataFrame(
        {"given": classes[codes[odd]], "suggested": classes[suggested[odd]], "score": score}, index=index
    )
    return Labels(frame, len(usable), _chance(probabilities, problem.seed))


def suspects(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The class that each row seems to be of, (n,): its own, where no other is confidently told.

    Args:
        probabilities: (n, classes) of rows that they were not learned from.
        labels: (n,) codes of the given classes.
    """
    given = probabilities[np.arange(len(labels)), labels]
    sizes = np.bincount(labels, minlength=probabilities.shape[1])
    usual = np.bincount(labels, given, minlength=len(sizes)) / np.maximum(sizes, 1)
    sure = np.where((probabilities >= usual) & (sizes > 0), probabilities, -1.0)
    best = sure.argmax(axis=1)
    told = sure[np.arange(len(labels)), best] > given
    return np.where(told, best, labels)


def _left_out(data: Dataset, codes: np.ndarray, classes: np.ndarray, problem: Problem) -> np.ndarray:
    """Probabilities (n, classes) by fits on the other folds; every class is spread over all of them."""
    shuffled = np.random.default_rng(problem.seed).permutation(len(codes))
    folds = np.empty(len(codes), dtype=np.int64)
    folds[shuffled[np.argsort(codes[shuffled], kind="stable")]] = np.arange(len(codes)) % FOLDS
    probabilities = np.zeros((len(codes), len(classes)))
    for fold in range(FOLDS):
        asked = folds == fold
        answer = baselines.answer(RUNG, data.take(~asked), data.take(asked), problem)
        told = answer.predictions
        if told is None or told.classes is None or told.probabilities is None:
            raise DataRejected(answer.error or "the rung gives no probabilities")
        probabilities[np.ix_(asked, np.searchsorted(classes, told.classes))] = told.probabilities
    return probabilities


def _sober(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probabilities at the temperature that fits the labels best, were some of them flipped by chance.

    A model of many weights is surer than it is right, and chance would seem to give fewer suspects than it
    does. Without the flips the fit would take wrong labels for doubt, and find none.
    """
    logits = np.log(np.maximum(probabilities, 1e-12))
    others = probabilities.shape[1] - 1
    best, chosen = -np.inf, probabilities
    for temperature in _TEMPERATURES:
        scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
        scaled /= scaled.sum(axis=1, keepdims=True)
        given = scaled[np.arange(len(labels)), labels][:, None]
        fits = np.log((1 - _NOISE) * given + _NOISE * (1 - given) / others + 1e-300).sum(axis=0).max()
        if fits > best:
            best, chosen = fits, scaled
    return chosen


def _chance(probabilities: np.ndarray, seed: int) -> float:
    """The 95 % quantile of the number of suspects, were the labels drawn from the probabilities."""
    rng = np.random.default_rng(seed)
    steps = probabilities.cumsum(axis=1)
    steps[:, -1] = np.inf
    counts = []
    for _ in range(DRAWS):
        drawn = (rng.random(len(steps))[:, None] >= steps).sum(axis=1)
        counts.append(int((suspects(probabilities, drawn) != drawn).sum()))
    return float(np.quantile(counts, 0.95))
