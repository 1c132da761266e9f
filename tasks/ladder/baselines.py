"""The rungs below the network: dummies and scikit-learn, fitted on what the candidate learned from.

A baseline gets what the candidate gets: the same rows and columns, the same weights of classes, the same
logarithm of the target, the same clip of predictions to the range that training saw. Validation rows choose
nothing for it, so it sees them only where the candidate was refitted on them. A baseline that raises is an
error to be reported, never a rung that lost.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.config import Columns, Encode, Task
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected, ModelyardError, did_you_mean, quoted
from tasks.ladder import texts
from tasks.ladder.features import codes, flat, frame, nothing, stratified, thinned, truth_of, wide
from tasks.learning.features import feature_columns
from tasks.learning.targets import Labels, Scale, unweighted
from tasks.own import extension
from tasks.predictions import Predictions

SAMPLE = 5000
"""Train rows that the support vector machine sees: its time grows with their square."""
STEPS = 1000
"""Most steps of logistic regression's solver; digits need about 100."""
NO_PROBABILITIES = "gives no probabilities, so no log_loss"
MANY_ROWS = 20_000
"""Train rows from which boosting, whose bits do not depend on it, uses all cores."""

_Read = Callable[[Dataset], Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """What every baseline is told.

    Attributes:
        task: Kind of task.
        target: Column to predict.
        columns: Which columns are features, and how they are read.
        encode: Says whether the candidate learns the target's logarithm.
        exclude: Further columns that are no features.
        seed: Of whatever is drawn.
        balanced: Whether the rows of a rare class weigh more, so that every class counts the same.
    """

    task: Task
    target: str
    columns: Columns
    encode: Encode
    exclude: tuple[str, ...]
    seed: int
    balanced: bool = False


@dataclass(frozen=True)
class Answer:
    """How one rung did: predictions for the test rows, or the reason why there are none."""

    predictions: Predictions | None
    seconds: float
    """Fitting and predicting."""
    note: str = ""
    error: str | None = None
    unseen: np.ndarray | None = None
    """(n,) bool: test rows that it did not learn from; None where that is all of them."""


@dataclass(frozen=True)
class Fitted:
    """A fitted baseline; `read` turns a data set into the estimator's input."""

    estimator: Any
    read: _Read
    note: str = ""
    clip: tuple[float, float] | None = None
    """The range of the train target, for a line that would leave it."""
    weights: tuple[float, ...] | None = None
    """Of the classes in the fit, as `Labels.weights`; probabilities are corrected for them."""

    def predict(self, data: Dataset) -> Predictions:
        """Answers for every row of `data`, whose target, if it is there, is not read."""
        inputs = self.read(data)
        if not hasattr(self.estimator, "classes_"):
            values = np.asarray(self.estimator.predict(inputs), dtype=np.float64)
            kept = values if self.clip is None else np.clip(values, *self.clip)
            return Predictions(kept, bounded=int((kept != values).sum()))
        classes = np.asarray(self.estimator.classes_)
        if not hasattr(self.estimator, "predict_proba"):  # the support vector machine
            return Predictions(np.asarray(self.estimator.predict(inputs)), None, classes)
        probabilities = np.asarray(self.estimator.predict_proba(inputs), dtype=np.float64)
        labels = classes[probabilities.argmax(axis=1)]
        if self.weights is not None:
            probabilities = unweighted(probabilities, self.weights)
        return Predictions(labels, probabilities, classes)


def answer(name: str, train: Dataset, test: Dataset, problem: Problem) -> Answer:
    """Fits the rung called `name` on `train`, predicts `test` without its target, and takes the time."""
    unseen = Dataset(test.rows.drop(columns=[problem.target]), test.pixels)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings(), _threads(train):
            warnings.simplefilter("ignore", ConvergenceWarning)  # becomes the note
            fitted = fit(name, train, problem)
            predictions = fitted.predict(unseen)
    except Exception as error:
        # Whatever it was, the ladder goes on and the gate refuses; a library's text may quote cells.
        _log.debug("the baseline %s failed", name, exc_info=True)
        known = isinstance(error, ModelyardError)
        whose = "it" if extension.is_own(name) else "scikit-learn"
        reason = str(error) if known else f"{whose} raised {type(error).__name__}"
        return Answer(None, time.perf_counter() - began, error=reason)
    seen = thinned(train) if fitted.read is flat else ""
    note = "; ".join(filter(None, (fitted.note, seen, predictions.note)))
    return Answer(predictions, time.perf_counter() - began, note=note)


@contextmanager
def _threads(train: Dataset) -> Iterator[None]:
    """One thread for linear algebra, so that no bit hangs on the number of cores, nor time on load.

    Threads that wait for each other on two busy cores: logistic regression on 54,000 images took
    132 s with two threads and 13 s with one, boosting on 2,000 rows 10 s and 1 s.
    """
    with threadpool_limits(1, "blas"), threadpool_limits(1 if len(train) < MANY_ROWS else None, "openmp"):
        yield


def fit(name: str, train: Dataset, problem: Problem) -> Fitted:
    """The baseline called `name` of `config.BASELINES`, fitted on all of `train`.

    Args:
        name: The rung.
        train: Cleaned train rows, with the target, and their pixels (n, h, w) or (n, h, w, 3).
        problem: What to predict, from what.

    Raises:
        ConfigError: No such baseline for this kind of task.
        DataRejected: No features, one class only, or a target that the settings do not fit.
    """
    builders = _CLASSIFIERS if problem.task == "classification" else _REGRESSORS
    if extension.is_own(name):
        builders = {name: lambda seed, _categories: extension.call(name, "evaluate.baselines", seed)}
    if name not in builders:
        raise ConfigError(f"no baseline {quoted(name)} for {problem.task}", fix=did_you_mean(name, builders))
    truth = truth_of(train.rows[problem.target], problem.task)
    if name in _DUMMIES:
        return Fitted(builders[name](0, []).fit(nothing(train), truth), nothing)
    if problem.task == "classification" and (truth == truth[0]).all():
        raise DataRejected("all train rows are of one class, so there is nothing to tell apart")
    read: _Read = flat
    preparation: list[Any] = []
    categories: list[int] = []
    if problem.columns.text is not None:
        return _fit_texts(name, builders, train, truth, problem)
    if train.pixels is None:
        numeric, categorical = feature_columns(
            train.rows, target=problem.target, columns=problem.columns, exclude=problem.exclude
        )
        read = frame(numeric, categorical)
        coded = name == "boosting" or extension.is_own(name)
        preparation = [codes(numeric, categorical) if coded else wide(numeric, categorical)]
        categories = list(range(len(numeric), len(numeric) + len(categorical)))
    # scikit-learn's seeds have 32 bits.
    estimator = make_pipeline(*preparation, builders[name](problem.seed % 2**32, categories))
    balanced = problem.balanced and not extension.is_own(name)
    weights = balance(truth, estimator) if balanced else None
    if name == "ridge":
        scale = Scale.fit(train.rows[problem.target], problem.encode.target)
        return _fit_ridge(estimator, read, train, truth, scale)
    if name == "svm":
        return _fit_on_sample(estimator, read, train, truth, problem.seed)
    estimator.fit(read(train), truth)
    return Fitted(estimator, read, _convergence(estimator), weights=weights)


# --- fitting ----------------------------------------------------------------------------------------


def _fit_texts(
    name: str, builders: dict[str, _Build], train: Dataset, truth: np.ndarray, problem: Problem
) -> Fitted:
    read = texts.read(str(problem.columns.text))
    seed = problem.seed % 2**32
    if extension.is_own(name):
        return Fitted(builders[name](seed, []).fit(read(train), truth), read)
    estimator = texts.estimator(name, problem.task, seed)
    members = [model for _, model in estimator.members] if name == "ngrams" else [estimator]
    weights = balance(truth, *members) if problem.balanced else None
    if name == "ridge":
        return _fit_ridge(
            estimator, read, train, truth, Scale.fit(train.rows[problem.target], problem.encode.target)
        )
    estimator.fit(read(train), truth)
    note = NO_PROBABILITIES if name in ("svm", "ngrams") else _convergence(estimator)
    return Fitted(estimator, read, note, weights=weights)


def _fit_ridge(estimator: Any, read: _Read, train: Dataset, truth: np.ndarray, scale: Scale) -> Fitted:
    if scale.log:
        estimator = TransformedTargetRegressor(estimator, func=np.log, inverse_func=_exp, check_inverse=False)
    note = "learns the logarithm of the target" if scale.log else ""
    return Fitted(estimator.fit(read(train), truth), read, note, (scale.low, scale.high))


def _exp(values: np.ndarray) -> np.ndarray:
    # One odd row can put a line in log space anywhere; beyond 700 float64 has no exponential.
    return np.asarray(np.exp(np.minimum(values, 700.0)))


def _fit_on_sample(estimator: Any, read: _Read, train: Dataset, truth: np.ndarray, seed: int) -> Fitted:
    note = NO_PROBABILITIES
    if len(train) > SAMPLE:
        note = f"fitted on a sample of {SAMPLE:,} of the {len(train):,} train rows; {note}"
        rows = stratified(truth, SAMPLE, seed)
        train, truth = train.take(rows), truth[rows]
    return Fitted(estimator.fit(read(train), truth), read, note)


def _convergence(estimator: Any) -> str:
    last = estimator[-1]
    if isinstance(last, LogisticRegression) and max(last.n_iter_) >= STEPS:
        return f"stopped after {STEPS} steps, before it converged"
    return ""


def balance(truth: np.ndarray, *estimators: Any) -> tuple[float, ...] | None:
    """Make every class count the same: by weights of its rows, for naive Bayes by equal priors.

    Returns:
        The weights of the classes, which their probabilities have to be corrected for.
    """
    for estimator in estimators:
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        known = last.get_params()
        if "class_weight" in known:
            last.set_params(class_weight="balanced")
        elif "fit_prior" in known:
            last.set_params(fit_prior=False)
    classes, counts = np.unique(truth, return_counts=True)
    return Labels(tuple(classes.tolist()), tuple(counts.tolist()), balanced=True).weights


# --- estimators -------------------------------------------------------------------------------------

_Build = Callable[[int, list[int]], Any]
_DUMMIES = ("majority", "median")


def _needs_texts(name: str) -> Any:
    raise DataRejected(
        f"the baseline {quoted(name)} reads texts only",
        fix="take it out of evaluate.baselines, or name the column of texts in columns.text",
    )


_CLASSIFIERS: dict[str, _Build] = {
    "majority": lambda _seed, _categories: DummyClassifier(strategy="prior"),
    "logistic": lambda _seed, _categories: LogisticRegression(tol=1e-3, max_iter=STEPS),
    "bayes": lambda _seed, _categories: _needs_texts("bayes"),
    "boosting": lambda seed, categories: HistGradientBoostingClassifier(
        categorical_features=categories, random_state=seed
    ),
    "svm": lambda seed, _categories: SVC(C=10.0, gamma="scale", random_state=seed),
    "ngrams": lambda _seed, _categories: _needs_texts("ngrams"),
}
_REGRESSORS: dict[str, _Build] = {
    "median": lambda _seed, _categories: DummyRegressor(strategy="median"),
    "ridge": lambda _seed, _categories: Ridge(alpha=1.0),
    "boosting": lambda seed, categories: HistGradientBoostingRegressor(
        categorical_features=categories, random_state=seed
    ),
}
