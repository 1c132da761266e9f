"""The contracts of a metric and of a baseline, as tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from sklearn.pipeline import make_pipeline

from tasks.config import Columns, Task
from tasks.dataset import Dataset
from tasks.ladder import texts
from tasks.ladder.features import codes, flat, frame, truth_of
from tasks.learning.features import feature_columns
from tasks.predictions import Predictions
from tasks.testkit.data import tiny_images, tiny_table, tiny_texts

CLASSES = np.array(["no", "perhaps", "yes"], dtype=object)
ROWS = 24


def check_metric(
    metric: Any,
    task: Task = "classification",
    truth: np.ndarray | None = None,
    wrong: Predictions | None = None,
) -> None:
    """Asks a metric about right and wrong answers to made rows.

    Args:
        metric: A function of (truth, predictions), or an object with `statistics` and `value`.
        task: Which kind of answers it is for.
        truth: (n,) labels or numbers that it knows; by default made ones.
        wrong: Answers to them of which some are wrong; needed where `truth` is given.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
    """
    higher = getattr(metric, "higher_is_better", None)
    assert isinstance(higher, bool), "a metric says its direction: higher_is_better = True or False"
    if truth is None or wrong is None:
        truth, wrong = _answers(task)
    kept = truth.copy()
    table = _lines(metric, truth, wrong)
    assert np.array_equal(kept, truth), "a metric changes nothing, but the truth changed"
    assert np.array_equal(table, _lines(metric, truth, wrong)), "the same rows give the same values"
    order = np.random.default_rng(1).permutation(len(truth))
    turned = _lines(metric, truth[order], wrong.take(order))
    if not hasattr(metric, "statistics"):
        assert np.allclose(turned, table[order]), (
            "a row's value depends on that row alone, but in another order it differs: what depends on "
            "all rows is an object with statistics and value"
        )
    value, mixed = _value(metric, table), _value(metric, turned)
    assert np.isclose(value, mixed), "the order of rows does not matter"
    best = _value(metric, _lines(metric, truth, _right(truth, wrong)))
    assert best >= value if higher else best <= value, (
        f"right answers are no worse than wrong ones, but {best:.4g} against {value:.4g} says so, "
        f"with higher_is_better = {higher}"
    )


def _answers(task: Task) -> tuple[np.ndarray, Predictions]:
    rng = np.random.default_rng(0)
    if task == "regression":
        truth = rng.gamma(4.0, 5.0, ROWS)
        return truth, Predictions(truth + rng.normal(0, 2.0, ROWS))
    truth = CLASSES[np.arange(ROWS) % 3]
    likely = rng.dirichlet(np.ones(3), ROWS)
    return truth, Predictions(CLASSES[likely.argmax(axis=1)], likely, CLASSES)


def _right(truth: np.ndarray, like: Predictions) -> Predictions:
    if like.classes is None:
        return Predictions(truth.astype(np.float64))
    sure = (truth[:, None] == like.classes[None, :]).astype(np.float64)
    return Predictions(truth, None if like.probabilities is None else sure, like.classes)


def _lines(metric: Any, truth: np.ndarray, answers: Predictions) -> np.ndarray:
    rows = getattr(metric, "statistics", metric)(truth, answers)
    assert rows is not None, "it is defined for these rows; give check_metric rows that it knows"
    rows = np.asarray(rows, dtype=np.float64)
    lines = rows.shape[:1] == (len(truth),) and rows.ndim <= (2 if hasattr(metric, "statistics") else 1)
    assert lines, f"a value for each of the {len(truth)} rows, not an array of shape {rows.shape}"
    assert np.isfinite(rows).all(), "each row's value is a finite number"
    return rows.reshape(len(truth), -1)


def _value(metric: Any, table: np.ndarray) -> float:
    means = table.mean(axis=0, keepdims=True)
    if not hasattr(metric, "statistics"):
        return float(means[0, 0])
    two = np.asarray(metric.value(np.vstack([means, means])))
    assert two.shape == (2,), f"value turns means (resamples, s) into (resamples,), not {two.shape}"
    return float(two[0])


# --- baselines ------------------------------------------------------------------------------------------


def check_baseline(
    factory: Callable[[int], Any],
    task: Task = "classification",
    data: Literal["table", "images", "texts"] = "table",
) -> None:
    """Fits a baseline on made rows and looks at its answers.

    Args:
        factory: Takes a seed and answers an estimator.
        task: What it predicts.
        data: What it reads; images and texts are classified.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
    """
    given, target, prepared = _given(task, data)
    truth = truth_of(given.rows[target], task)
    held = np.arange(len(given)) % 4 == 0
    known, asked = given.take(~held), given.take(held)
    made = [prepared(factory(7)).fit(known, truth[~held]) for _ in range(2)]
    first = made[0].predict(asked)
    assert first.shape == (int(held.sum()),), f"predict answers a value for each row, not {first.shape}"
    assert np.array_equal(first, made[1].predict(asked)), "the same seed gives the same answers"
    alone = np.concatenate([made[0].predict(asked.take(np.array([i]))) for i in range(5)])
    near = np.allclose(alone, first[:5]) if task == "regression" else np.array_equal(alone, first[:5])
    assert near, "a row's answer does not depend on the others beside it"
    if task == "regression":
        assert np.isfinite(np.asarray(first, dtype=np.float64)).all(), "it answers finite numbers"
        return
    assert set(first) <= set(truth), "it answers labels that it was fitted on"
    if hasattr(made[0].estimator, "predict_proba"):
        likely = np.asarray(made[0].likely(asked))
        assert likely.shape == (len(asked), len(made[0].estimator.classes_)), "a column for each of classes_"
        assert np.allclose(likely.sum(axis=1), 1.0), "probabilities of a row sum to 1"


class _Prepared:
    """An estimator behind what prepares its input, as the ladder does it."""

    def __init__(self, estimator: Any, read: Callable[[Dataset], Any], before: list[Any]) -> None:
        self.read = read
        self.estimator = make_pipeline(*before, estimator)

    def fit(self, data: Dataset, truth: np.ndarray) -> _Prepared:
        self.estimator.fit(self.read(data), truth)
        return self

    def predict(self, data: Dataset) -> np.ndarray:
        return np.asarray(self.estimator.predict(self.read(data)))

    def likely(self, data: Dataset) -> Any:
        return self.estimator.predict_proba(self.read(data))


def _given(task: Task, data: str) -> tuple[Dataset, str, Callable[[Any], _Prepared]]:
    if data == "images":
        return tiny_images(), "label", lambda estimator: _Prepared(estimator, flat, [])
    if data == "texts":
        return Dataset(tiny_texts()), "label", lambda estimator: _Prepared(estimator, texts.read("text"), [])
    rows = tiny_table()
    target, other = ("price", "dear") if task == "regression" else ("dear", "price")
    numeric, categorical = feature_columns(rows, target=target, columns=Columns(), exclude=(other,))
    read = frame(numeric, categorical)
    return Dataset(rows), target, lambda made: _Prepared(made, read, [codes(numeric, categorical)])
