"""Sound parts pass the contract tests; each way to break a contract is found and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

from tasks import testkit
from tasks.cleaning import content
from tasks.dataset import Dataset
from tasks.networks import build
from tasks.predictions import Predictions

pytest_plugins = ["tasks.testkit.plugin"]


class Net(nn.Module):
    """A sound network for tables."""

    def __init__(self, spec: Any, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(spec.numbers, width)
        self.last = nn.Linear(width, spec.outputs)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(numbers)))


# --- networks ---------------------------------------------------------------------------------------------


def test_a_sound_network_passes() -> None:
    testkit.check_network(Net, width=16)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [("mlp", testkit.TABLE), ("neuron", testkit.TABLE), ("cnn", testkit.IMAGES), ("rnn", testkit.TEXTS)],
)
def test_what_ships_keeps_the_contract(kind: str, spec: Any) -> None:
    testkit.check_network(lambda spec: build({"kind": kind}, spec), spec)


class Normed(Net):
    """Answers depend on the others beside them."""

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return super().forward(numbers - numbers.mean(0), codes)


class Idle(Net):
    """A weight takes no part."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.idle = nn.Parameter(torch.zeros(1))


class Narrow(Net):
    """One answer too few."""

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return super().forward(numbers, codes)[:, 1:]


class Forgetful(Net):
    """Something drawn is not stored."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.drawn = torch.randn(spec.numbers)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return super().forward(numbers * self.drawn, codes)


class Restless(Net):
    """Draws in eval mode."""

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        return super().forward(numbers + 0.1 * torch.randn(numbers.shape), codes)


class Frozen(Net):
    """Can't be moved: its loss stays."""

    def optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([nn.Parameter(torch.zeros(1))], learning_rate)


@pytest.mark.parametrize(
    ("factory", "told"),
    {
        Normed: "does not depend on the others beside it",
        Idle: "every weight has a gradient, but idle",
        Narrow: r"answers \(12, 3\)",
        Forgetful: "its state dict is all that it knows",
        Restless: "the same question has the same answer",
        Frozen: "steps on one batch lower its loss",
        (lambda spec: "net"): "answers a Module, not str",
        (lambda spec: Net(spec, np.random.default_rng().integers(4, 9_999))): "the same seed gives the same",
    }.items(),
)
def test_a_network_that_breaks_its_contract_is_told(factory: Any, told: str) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=told):
        testkit.check_network(factory)


# --- operations -------------------------------------------------------------------------------------------


def halved(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    rows[column] = rows[column] / 2
    return rows.assign(big=rows[column] > 20)


def test_a_sound_operation_passes(tiny_table: pd.DataFrame) -> None:
    testkit.check_operation(halved, tiny_table.drop(columns="price"), column="size")


@pytest.mark.parametrize(
    ("operation", "told"),
    {
        (lambda rows: rows.assign(size=rows["size"] - rows["size"].mean())): "becomes alone what it becomes",
        (lambda rows: rows.dropna()): "rows, not the 120 that it was given",
        (lambda rows: rows.reset_index(drop=True).set_axis(rows.index[::-1])): "rows, not the",
        (lambda rows: rows["size"]): "not a DataFrame",
        (lambda rows: rows.assign(size=np.random.default_rng().random(len(rows)))): "same rows give the same",
        (lambda rows: rows.assign(x=1) if len(rows) else rows): "of no row at all it makes the same columns",
    }.items(),
)
def test_an_operation_that_breaks_its_contract_is_told(operation: Any, told: str, tiny_table) -> None:
    with pytest.raises(AssertionError, match=told):
        testkit.check_operation(operation, tiny_table)


# --- metrics ----------------------------------------------------------------------------------------------


def directed(function: Any, higher: bool) -> Any:
    function.higher_is_better = higher
    return function


class Ratio:
    """A share of means."""

    higher_is_better = True

    def statistics(self, truth: np.ndarray, predictions: Predictions) -> np.ndarray:
        right = truth == predictions.values
        return np.stack([right & (truth == "yes"), truth == "yes"], axis=1).astype(float)

    def value(self, means: np.ndarray) -> np.ndarray:
        return means[..., 0] / means[..., 1]


def test_sound_metrics_pass() -> None:
    testkit.check_metric(Ratio())
    testkit.check_metric(directed(lambda t, p: (t != p.values).astype(float), False))
    testkit.check_metric(directed(lambda t, p: np.abs(t - p.values), False), "regression")


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (lambda t, p: (t == p.values).astype(float), "says its direction"),
        (directed(lambda t, p: (t == p.values).astype(float), False), "right answers are no worse"),
        (directed(lambda t, p: float((t == p.values).mean()), True), "a value for each of the 24 rows"),
        (directed(lambda t, p: np.cumsum(t == p.values).astype(float), True), "depends on that row alone"),
        (directed(lambda t, p: np.where(t == p.values, 1.0, np.nan), True), "a finite number"),
        (
            directed(lambda t, p: np.random.default_rng().random(len(t)), True),
            "same rows give the same values",
        ),
    ],
)
def test_a_metric_that_breaks_its_contract_is_told(metric: Any, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        testkit.check_metric(metric)


# --- baselines --------------------------------------------------------------------------------------------


def told_rows(context: Any) -> dict[str, np.int64]:
    return {"rows": np.int64(context.records["split"].train)}


def test_sound_baselines_pass() -> None:
    boosted = HistGradientBoostingRegressor
    testkit.check_baseline(lambda seed: HistGradientBoostingClassifier(random_state=seed, max_iter=5))
    testkit.check_baseline(lambda seed: boosted(random_state=seed, max_iter=5), "regression")
    testkit.check_baseline(lambda seed: LogisticRegression(), data="images")
    testkit.check_baseline(lambda seed: make_pipeline(CountVectorizer(), LogisticRegression()), data="texts")


class Constant(DummyClassifier):
    """Answers what nobody taught it."""

    def predict(self, X: Any) -> np.ndarray:
        return np.array(["never"] * len(X))


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        (lambda seed: DummyClassifier(strategy="uniform"), "the same seed gives the same answers"),
        (lambda seed: Constant(), "labels that it was fitted on"),
    ],
)
def test_a_baseline_that_breaks_its_contract_is_told(factory: Any, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        testkit.check_baseline(factory)


# --- loaders and steps ------------------------------------------------------------------------------------


def test_loaders(tmp_path: Path, tiny_table: pd.DataFrame, tiny_images: Dataset) -> None:
    tiny_table.to_csv(tmp_path / "rows.csv", index=False)
    testkit.check_loader(lambda project: pd.read_csv(project / "rows.csv"), tmp_path, "price")
    testkit.check_loader(lambda project: (tiny_images.rows, tiny_images.pixels), tmp_path, "label")
    drawn = np.random.default_rng()
    for loader, told in {
        (lambda project: tiny_table.assign(size=drawn.random(len(tiny_table)))): "two calls differ",
        (lambda project: tiny_table.to_dict()): "answers a DataFrame",
        (lambda project: tiny_table.iloc[:0]): "0 rows",
        (lambda project: (tiny_images.rows, tiny_images.pixels / 255)): "no uint8 array",
    }.items():
        with pytest.raises(AssertionError, match=told):
            testkit.check_loader(loader, tmp_path)
    with pytest.raises(AssertionError, match="'cost' is among its columns"):
        testkit.check_loader(lambda project: tiny_table, tmp_path, "cost")


def test_steps(tiny_context: Any) -> None:
    told = testkit.check_step(
        lambda context: {"rows": np.int64(context.records["split"].train)}, tiny_context
    )
    assert told == {"rows": tiny_context.records["split"].train}
    with pytest.raises(AssertionError, match="a fact is a text, a number or a truth"):
        testkit.check_step(lambda context: {"rows": [1, 2]}, tiny_context)

    def meddles(context: Any) -> dict[str, int]:
        tiny = Dataset.load(context.records["clean"].folder)
        Dataset(tiny.rows.head(3)).save(context.records["clean"].folder)
        return {}

    with pytest.raises(AssertionError, match="what clean had left is not the same"):
        testkit.check_step(meddles, tiny_context)


# --- data and faults --------------------------------------------------------------------------------------


def test_made_data_is_the_same_every_time(tiny_table: pd.DataFrame, tiny_texts: pd.DataFrame) -> None:
    assert content.digest(Dataset(tiny_table)) == content.digest(Dataset(testkit.tiny_table()))
    assert content.digest(Dataset(tiny_texts)) == content.digest(Dataset(testkit.tiny_texts()))
    colour = testkit.tiny_images(colour=True)
    assert colour.pixels is not None and colour.pixels.shape == (60, 8, 8, 3)
    assert tiny_table["age"].isna().sum() == 15


def test_faults_do_what_they_say(tiny_table: pd.DataFrame) -> None:
    kept = tiny_table.copy()
    assert testkit.null(tiny_table, "rooms", 0.2)["rooms"].isna().sum() == 24
    assert (testkit.corrupt(tiny_table, "size")["size"].str.startswith("#REF!")).sum() == 12
    moved = testkit.drift(tiny_table, "size", 3.0)["size"] - tiny_table["size"]
    assert np.allclose(moved, 3.0 * tiny_table["size"].std())
    assert (testkit.drift(tiny_table, "town")["town"] == "north").mean() > 0.6
    leaked = testkit.leak(tiny_table, "dear")
    assert (leaked.groupby("leaked")["dear"].nunique() == 1).all()
    assert testkit.leak(tiny_table, "price")["leaked"].corr(tiny_table["price"]) > 0.99
    broken = testkit.nan(tiny_table, "size", 0.1)["size"]
    assert (np.isinf(broken).sum(), broken.isna().sum()) == (8, 4)
    pd.testing.assert_frame_equal(tiny_table, kept)
