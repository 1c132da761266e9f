from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tasks import config
from tasks.errors import ConfigError, ModelyardError
from tasks.ladder import metrics
from tasks.predictions import Predictions

SKLEARN = {
    "accuracy": lambda t, p: sk.accuracy_score(t, p.values),
    "balanced_accuracy": lambda t, p: sk.balanced_accuracy_score(t, p.values),
    "f1_macro": lambda t, p: sk.f1_score(t, p.values, average="macro"),
    "log_loss": lambda t, p: sk.log_loss(t, p.probabilities, labels=p.classes),
    "rmse": lambda t, p: sk.root_mean_squared_error(t, p.values),
    "mae": lambda t, p: sk.mean_absolute_error(t, p.values),
    "rmsle": lambda t, p: sk.root_mean_squared_log_error(t, np.maximum(p.values, 0)),
    "r2": lambda t, p: sk.r2_score(t, p.values),
}


def labels(seed: int, kind: str) -> tuple[np.ndarray, Predictions]:
    generator = np.random.default_rng(seed)
    classes = np.array(["ant", "bee", "cow", "dog"]) if kind == "text" else np.arange(4)
    truth = generator.choice(classes[:3], size=80)  # the last class is never true
    probabilities = generator.dirichlet(np.ones(4), size=80)
    values = classes[probabilities.argmax(axis=1)]
    return truth.astype(object) if kind == "text" else truth, Predictions(values, probabilities, classes)


def numbers(seed: int) -> tuple[np.ndarray, Predictions]:
    generator = np.random.default_rng(seed)
    truth = generator.lognormal(12, 1, size=60)
    return truth, Predictions(truth + generator.normal(0, 200_000, size=60))  # some below 0


def test_names_are_those_of_the_configuration():
    known = {name for by_task in config.METRICS.values() for name in by_task}
    assert set(metrics._METRICS) == known == set(SKLEARN)


@pytest.mark.parametrize("kind", ["text", "integer"])
@pytest.mark.parametrize("metric", config.METRICS["classification"])
def test_agrees_with_scikit_learn_on_labels(metric, kind):
    for seed in range(5):
        truth, predictions = labels(seed, kind)
        expected = SKLEARN[metric](truth.astype(str) if kind == "text" else truth, predictions)
        assert metrics.compute(metric, truth, predictions) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", config.METRICS["regression"])
def test_agrees_with_scikit_learn_on_numbers(metric):
    for seed in range(5):
        truth, predictions = numbers(seed)
        expected = SKLEARN[metric](truth, predictions)
        assert metrics.compute(metric, truth, predictions) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", [*config.METRICS["classification"], *config.METRICS["regression"]])
def test_no_rows_is_undefined(metric):
    predictions = Predictions(np.empty(0), np.empty((0, 2)), np.arange(2))
    assert math.isnan(metrics.compute(metric, np.empty(0), predictions))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1_macro"])
def test_one_true_class_is_undefined_however_good_the_answers(metric):
    truth = np.zeros(10, dtype=np.int64)
    assert math.isnan(metrics.compute(metric, truth, Predictions(truth)))


def test_rmsle_takes_negative_predictions_as_zero_and_refuses_negative_truth():
    ours = metrics.compute("rmsle", np.array([1.0, 3.0]), Predictions(np.array([-5.0, 3.0])))
    assert ours == pytest.approx(math.log(2) / math.sqrt(2))
    assert math.isnan(metrics.compute("rmsle", np.array([-1.0, 3.0]), Predictions(np.array([1.0, 3.0]))))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.3])
def test_r2_of_a_constant_truth_is_undefined(constant):
    truth = np.full(7, constant)
    assert math.isnan(metrics.compute("r2", truth, Predictions(truth + np.arange(7.0))))


def test_what_rounding_leaves_of_a_constant_is_no_variance():
    means = np.array([[1.0, 0.1, 0.1**2 * (1 + 4e-16)], [1.0, 0.0, 1.0]])
    assert metrics.value("r2", means).tolist() == pytest.approx([math.nan, 0.0], nan_ok=True)


def test_log_loss_needs_probabilities_and_gives_an_unknown_label_none():
    truth = np.array(["a", "z"], dtype=object)
    assert math.isnan(metrics.compute("log_loss", truth, Predictions(truth)))
    known = Predictions(np.array(["a", "a"]), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array(["a", "b"]))
    expected = -math.log(metrics.SMALLEST_PROBABILITY) / 2
    assert metrics.compute("log_loss", truth, known) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("metric", config.METRICS["regression"])
def test_a_prediction_that_is_not_finite_makes_it_undefined(metric, wrong):
    truth = np.array([1.0, 2.0, 3.0])
    assert math.isnan(metrics.compute(metric, truth, Predictions(np.array([1.0, 2.0, wrong]))))


def test_numbers_and_text_are_different_labels():
    text = Predictions(np.array(["0", "1"]))
    assert metrics.compute("accuracy", np.array([0, 1]), text) == 0.0
    assert metrics.compute("f1_macro", np.array([0, 1]), text) == 0.0


def test_unknown_names_and_missing_answers_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'rmse'"):
        metrics.compute("rsme", np.zeros(2), Predictions(np.zeros(2)))
    with pytest.raises(ModelyardError, match="3 predictions for 2 rows"):
        metrics.compute("mae", np.zeros(2), Predictions(np.zeros(3)))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30),
    st.sampled_from(["accuracy", "balanced_accuracy", "f1_macro"]),
)
def test_shares_lie_between_zero_and_one(pairs, metric):
    truth, values = (np.array(side) for side in zip(*pairs, strict=True))
    found = metrics.compute(metric, truth, Predictions(values))
    assert math.isnan(found) or 0.0 <= found <= 1.0


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=20),
    st.sampled_from(list(config.METRICS["regression"])),
)
def test_nothing_beats_the_truth(truth, metric):
    exact = metrics.compute(metric, np.array(truth), Predictions(np.array(truth)))
    best = 1.0 if metric == "r2" else 0.0
    assert math.isnan(exact) or exact == pytest.approx(best, abs=1e-12)
