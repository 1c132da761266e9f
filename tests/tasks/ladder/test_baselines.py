from __future__ import annotations

import logging
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tasks.config import BASELINES, Columns, Encode
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected
from tasks.ladder import baselines
from tasks.ladder.baselines import Problem, answer, fit


def problem(kind: str, target: str, **changes) -> Problem:
    given = {"columns": Columns(), "encode": Encode(), "exclude": (), "seed": 0, **changes}
    return Problem(task=kind, target=target, **given)


@pytest.fixture
def split_houses(houses) -> tuple[Dataset, Dataset]:
    return Dataset(houses.iloc[:220]), Dataset(houses.iloc[220:])


@pytest.fixture
def pictures() -> tuple[Dataset, Dataset]:
    """240 images, 6 x 5: a bright left or right half, or neither."""
    rng = np.random.default_rng(3)
    labels = rng.choice(3, 240, p=[0.5, 0.3, 0.2])
    pixels = rng.integers(0, 90, (240, 6, 5))
    pixels[labels == 1, :, :2] += 60
    pixels[labels == 2, :, 3:] += 60
    rows = pd.DataFrame({"label": labels, "luminance": pixels.mean(axis=(1, 2)), "part": ""})
    data = Dataset(rows, pixels.astype(np.uint8))
    return data.take(np.arange(180)), data.take(np.arange(180, 240))


ANY = tuple(name for name in BASELINES["classification"] if name not in ("bayes", "ngrams"))
"""Rungs that read tables and images."""
HOUSES = problem("regression", "price")
SEASONS = problem("classification", "town")
PICTURES = problem("classification", "label")


@pytest.mark.parametrize("task", BASELINES)
def test_every_rung_of_the_configuration_has_a_builder(task):
    built = baselines._CLASSIFIERS if task == "classification" else baselines._REGRESSORS
    assert tuple(built) == BASELINES[task]


@pytest.mark.parametrize("name", BASELINES["regression"])
def test_regressors_answer_every_row(name, split_houses):
    train, test = split_houses
    found = answer(name, train, test, HOUSES)
    assert found.error is None
    assert found.predictions.values.shape == (80,)
    assert found.predictions.values.dtype == np.float64
    assert np.isfinite(found.predictions.values).all()
    assert found.seconds > 0


def test_regressors_climb(split_houses):
    train, test = split_houses
    truth = test.rows["price"].to_numpy()
    median, ridge, boosting = (
        np.abs(answer(name, train, test, HOUSES).predictions.values - truth).mean()
        for name in BASELINES["regression"]
    )
    assert median == pytest.approx(np.abs(truth - train.rows["price"].median()).mean())
    assert max(ridge, boosting) < 0.3 * median


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("of", ["table", "images"])
def test_classifiers_answer_every_row(name, of, split_houses, pictures):
    train, test = pictures if of == "images" else split_houses
    asked = PICTURES if of == "images" else SEASONS
    found = answer(name, train, test, asked)
    assert found.error is None
    predictions = found.predictions
    assert set(predictions.values) <= set(predictions.classes)
    assert set(predictions.classes) == set(train.rows[asked.target])
    if name == "svm":
        assert predictions.probabilities is None
        assert "no probabilities" in found.note
    else:
        assert predictions.probabilities.shape == (len(test), 3)
        assert predictions.probabilities.sum(axis=1) == pytest.approx(1.0)
    if of == "images" and name != "majority":
        assert (predictions.values == test.rows["label"]).mean() > 0.9


def test_majority_gives_the_shares_of_the_train_classes(pictures):
    train, test = pictures
    predictions = answer("majority", train, test, PICTURES).predictions
    shares = train.rows["label"].value_counts(normalize=True).sort_index()
    assert predictions.probabilities[0] == pytest.approx(shares.to_numpy())
    assert set(predictions.values) == {shares.idxmax()}


def poisoned(test: Dataset) -> Dataset:
    rows = test.rows.copy()
    for name in rows.columns:
        rows[name] = rows[name].iloc[0]
    return Dataset(rows, None if test.pixels is None else np.full_like(test.pixels, 255))


@pytest.mark.parametrize(
    ("name", "of"),
    [(n, "houses") for n in BASELINES["regression"]] + [(n, "pictures") for n in ANY],
)
def test_no_test_row_changes_a_fit(name, of, split_houses, pictures, monkeypatch):
    train, test = split_houses if of == "houses" else pictures
    asked = HOUSES if of == "houses" else PICTURES
    fits = []
    original = baselines.fit
    monkeypatch.setattr(baselines, "fit", lambda *args: fits.append(original(*args)) or fits[-1])
    before = answer(name, train, test, asked).predictions
    answer(name, train, poisoned(test), asked)
    again = fits[1].predict(test)  # fitted beside the poison, asked about the real rows
    assert np.array_equal(before.values, again.values)
    if before.probabilities is not None:
        assert np.array_equal(before.probabilities, again.probabilities)


@pytest.mark.parametrize("name", BASELINES["regression"])
def test_the_target_of_the_test_rows_is_not_even_there(name, split_houses, monkeypatch):
    train, test = split_houses
    seen = []
    predict = baselines.Fitted.predict
    monkeypatch.setattr(
        baselines.Fitted, "predict", lambda self, data: seen.append(data) or predict(self, data)
    )
    answer(name, train, test, HOUSES)
    assert [("price" in data.rows.columns, len(data)) for data in seen] == [(False, 80)]


def test_a_gap_an_unknown_level_and_dropped_columns_are_no_trouble(split_houses):
    train, test = split_houses
    rows = test.rows.copy()
    rows.loc[rows.index[0], "town"] = "atlantis"
    rows.loc[rows.index[1], "town"] = None
    rows.loc[rows.index[2], "rooms"] = 3
    rows["area"] = rows["area"].mask(rows["area"] > 150)
    asked = problem("regression", "price", columns=Columns(drop=("garden",)), exclude=("rooms",))
    for name in ("ridge", "boosting"):
        found = answer(name, train, Dataset(rows), asked)
        assert found.error is None
        other = Dataset(rows.assign(garden=1e9, rooms=-5))
        assert np.array_equal(answer(name, train, other, asked).predictions.values, found.predictions.values)


def test_columns_can_be_read_as_categories(split_houses):
    train, _ = split_houses
    plain = fit("ridge", train, HOUSES).read(train)
    told = fit("ridge", train, problem("regression", "price", columns=Columns(categorical=("rooms",)))).read(
        train
    )
    assert plain["rooms"].dtype == np.float64
    assert told["rooms"].iloc[0] == str(train.rows["rooms"].iloc[0])


def test_more_levels_than_boosting_takes_keep_the_frequent_ones():
    rng = np.random.default_rng(0)
    code = np.where(rng.random(3000) < 0.6, rng.integers(0, 7, 3000), rng.integers(7, 500, 3000))
    rows = pd.DataFrame({"code": [f"c{c}" for c in code], "y": (code * 3) % 7 + rng.normal(0, 0.1, 3000)})
    data, asked = Dataset(rows), problem("regression", "y")
    found = answer("boosting", data.take(np.arange(2500)), data.take(np.arange(2500, 3000)), asked)
    assert found.error is None
    frequent = code[2500:] < 7
    assert np.abs(found.predictions.values - rows["y"][2500:])[frequent].mean() < 0.5


@pytest.mark.parametrize(("how", "logged"), [("log", True), ("auto", True), ("none", False)])
def test_ridge_learns_the_logarithm_where_the_candidate_does(how, logged, split_houses):
    train, test = split_houses
    rows = train.rows.assign(price=train.rows["price"] ** 2)  # skewed
    found = answer("ridge", Dataset(rows), test, problem("regression", "price", encode=Encode(target=how)))
    assert ("logarithm" in found.note) == logged


def test_ridge_stays_within_the_range_that_training_saw(split_houses):
    train, test = split_houses
    far = Dataset(test.rows.assign(area=1e6))
    asked = problem("regression", "price", encode=Encode(target="log"))
    found = answer("ridge", train, far, asked)
    assert (found.predictions.values == train.rows["price"].max()).all()
    assert f"{len(far):,} of {len(far):,} answers lay beyond the range" in found.note


def test_ridge_equals_the_formula():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"a": rng.normal(5, 2, 50), "b": rng.normal(0, 9, 50)})
    rows["y"] = rows["a"] - 2 * rows["b"] + rng.normal(0, 1, 50)
    data = Dataset(rows)
    found = fit("ridge", data, problem("regression", "y", encode=Encode(target="none"))).predict(data)
    x = ((rows[["a", "b"]] - rows[["a", "b"]].mean()) / rows[["a", "b"]].std(ddof=0)).to_numpy()
    weights = np.linalg.solve(x.T @ x + np.eye(2), x.T @ (rows["y"] - rows["y"].mean()))
    expected = np.clip(x @ weights + rows["y"].mean(), rows["y"].min(), rows["y"].max())
    assert found.values == pytest.approx(expected.to_numpy() if hasattr(expected, "to_numpy") else expected)


def test_the_support_vector_machine_says_that_it_saw_a_sample(pictures, monkeypatch):
    train, test = pictures
    monkeypatch.setattr(baselines, "SAMPLE", 60)
    found = answer("svm", train, test, PICTURES)
    assert found.note.startswith("fitted on a sample of 60 of the 180 train rows")
    again = answer("svm", train, test, PICTURES)
    assert np.array_equal(found.predictions.values, again.predictions.values)


def test_logistic_says_when_it_did_not_converge(pictures, monkeypatch):
    train, test = pictures
    assert answer("logistic", train, test, PICTURES).note == ""
    monkeypatch.setattr(baselines, "STEPS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the note says it; the terminal stays clean
        assert answer("logistic", train, test, PICTURES).note == "stopped after 1 steps, before it converged"


def test_a_baseline_that_raises_is_an_error_without_cell_values(pictures, monkeypatch, caplog):
    def burst(*_):
        raise ValueError("could not convert string to float: 'secret'")

    monkeypatch.setattr(LogisticRegression, "fit", burst)
    with caplog.at_level(logging.DEBUG, logger="tasks.ladder.baselines"):
        found = answer("logistic", *pictures, PICTURES)
    assert found.predictions is None
    assert found.error == "scikit-learn raised ValueError"
    assert "the baseline logistic failed" in caplog.text


def test_our_own_errors_say_what_was_wrong(split_houses):
    train, test = split_houses
    assert "no baseline 'svn' for classification" in answer("svn", train, test, SEASONS).error
    bare = problem("regression", "price", columns=Columns(drop=("area", "rooms", "garden", "town")))
    assert "no features left" in answer("ridge", train, test, bare).error
    alone = Dataset(train.rows.assign(town="north"))
    assert "one class" in answer("logistic", alone, test, SEASONS).error
    assert answer("majority", alone, test, SEASONS).error is None
    with pytest.raises(ConfigError, match="did you mean 'ridge'"):
        fit("rigde", train, HOUSES)
    with pytest.raises(DataRejected, match="smallest train target"):
        minus = Dataset(train.rows.assign(price=-1.0))
        fit("ridge", minus, problem("regression", "price", encode=Encode(target="log")))


def test_seeds_beyond_32_bits_are_taken(split_houses):
    train, test = split_houses
    assert answer("boosting", train, test, problem("regression", "price", seed=2**62 + 5)).error is None


@pytest.mark.parametrize("name", ["logistic", "svm", "boosting"])
def test_rare_classes_weigh_more_where_they_did_for_the_candidate(name):
    """One rare class, hidden behind the other: with equal weights hardly ever the answer."""
    rng = np.random.default_rng(5)
    rare = np.arange(1000) % 12 == 0
    table = Dataset(
        pd.DataFrame({"x": rng.normal(size=1000) + 1.2 * rare, "y": np.where(rare, "rare", "often")})
    )
    columns = Columns(numeric=("x",))
    train, test = table.take(np.arange(700)), table.take(np.arange(700, 1000))
    found = {}
    for balanced in (False, True):
        asked = problem("classification", "y", columns=columns, balanced=balanced)
        predictions = answer(name, train, test, asked).predictions
        found[balanced] = (predictions.values == "rare").mean()
        if predictions.probabilities is not None:  # of a share of 0.083, whatever the rows weighed
            assert 0.06 < predictions.probabilities[:, 1].mean() < 0.12
    assert found[False] < 0.1
    assert found[True] > 0.2
