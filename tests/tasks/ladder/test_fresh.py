"""New labelled rows: what is scored, what is left out and counted, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.features.schema import types_of
from tasks.ladder import fresh, metrics
from tasks.learning import scoring
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.targets import Labels, Scale

CLEAN = [{"trim": ["town"]}, {"scale": {"price": 0.001}}, {"keep": {"area": [60, None]}}]


def write_bundle(
    folder: Path, rows: pd.DataFrame, target: str, clean: list, learned: pd.DataFrame, kind: str
) -> Path:
    folder.mkdir()
    numeric = [c for c in ("area", "rooms", "garden") if c != target]
    inputs = TableInputs.fit(rows, numeric, ["town"] if target != "town" else [], "standard")
    scale = Scale.fit(rows["price"] * 0.001, "log") if kind == "regression" else Labels.fit(rows[target])
    encoder, network = Encoder(inputs, scale), {"kind": "neuron"}
    named = [{"name": name, "type": kind} for name, kind in types_of(rows).items()]
    columns = [c for c in named if c["name"] != target]
    what = scoring.Bundle(kind, target, network, columns, None, clean, [target], named)
    weights = scoring.make_network(network, encoder).state_dict()
    scoring.save(folder, what, encoder, weights, learned)
    return folder


@pytest.fixture
def priced(tmp_path: Path, houses: pd.DataFrame) -> Path:
    return write_bundle(tmp_path / "price", houses, "price", CLEAN, houses.iloc[:100], "regression")


@pytest.fixture
def placed(tmp_path: Path, houses: pd.DataFrame) -> Path:
    return write_bundle(tmp_path / "town", houses, "town", [], houses.iloc[:100], "classification")


def test_every_row_is_accounted_for(priced: Path, houses: pd.DataFrame) -> None:
    rows = houses.astype({"price": "object", "area": "object"})
    rows.loc[150, "price"] = None
    rows.loc[151, "price"] = "dear"
    rows.loc[152, "area"] = "large"
    found = fresh.score_fresh(priced, Dataset(rows), seed=0)
    assert found.read == 300
    assert found.bad == 3
    large = houses.drop(index=[150, 151, 152])["area"] >= 60
    assert found.seen == 100  # whether cleaning keeps them or not
    assert found.dropped == int((~large[large.index >= 100]).sum()) > 0
    assert found.rows == 300 - 3 - 100 - found.dropped
    words = " ".join(found.notes)
    assert "learned from 100 of the 300 rows" in words
    assert "column 'price' holds no number: 1 rows" in words
    assert "area" in words


def test_metrics_are_those_of_the_ladder_on_the_cleaned_target(priced: Path, houses: pd.DataFrame) -> None:
    new = houses[(houses.index >= 100) & (houses["area"] >= 60)]
    found = fresh.score_fresh(priced, Dataset(houses), seed=0)
    answers = scoring.load(priced).predict(new.drop(columns="price"))
    for name, measure in found.metrics.items():
        expected = metrics.compute(name, (new["price"] * 0.001).to_numpy(), answers)
        assert measure.value == pytest.approx(expected, rel=1e-6)
        assert measure.low <= measure.value <= measure.high
    assert set(found.metrics) == {"rmse", "mae", "rmsle", "r2"}


def test_twice_the_same(priced: Path, houses: pd.DataFrame) -> None:
    assert fresh.score_fresh(priced, Dataset(houses), 3) == fresh.score_fresh(priced, Dataset(houses), 3)


def test_labels_that_are_unknown_count_as_wrong_and_are_named(placed: Path, houses: pd.DataFrame) -> None:
    new = houses.iloc[100:].copy()
    found = fresh.score_fresh(placed, Dataset(new), seed=0)
    answers = scoring.load(placed).predict(new.drop(columns="town"))
    right = answers.values == new["town"].to_numpy(dtype=object)
    assert found.metrics["accuracy"].value == pytest.approx(right.mean())
    new.iloc[np.flatnonzero(right)[:2], new.columns.get_loc("town")] = "east"
    worse = fresh.score_fresh(placed, Dataset(new), seed=0)
    assert worse.unknown == 2
    assert worse.metrics["accuracy"].value == pytest.approx(right.mean() - 2 / 200)
    assert "'east'" in worse.notes[-1]


def test_all_seen_leaves_nothing_to_score(placed: Path, houses: pd.DataFrame) -> None:
    found = fresh.score_fresh(placed, Dataset(houses.iloc[:50]), seed=0)
    assert (found.rows, found.seen) == (0, 50)
    assert all(math.isnan(m.value) for m in found.metrics.values())
    assert "every metric is undefined" in found.notes[-1]


def test_few_rows_are_said_to_be_few(placed: Path, houses: pd.DataFrame) -> None:
    found = fresh.score_fresh(placed, Dataset(houses.iloc[290:]), seed=0)
    assert found.rows == 10
    assert any("10 rows are too few" in note for note in found.notes)


def test_refuses(placed: Path, houses: pd.DataFrame) -> None:
    new = houses.iloc[100:]
    for rows, text in (
        (new.rename(columns={"town": "twon"}), "did you mean 'twon'"),
        (new.drop(columns="area"), "column 'area' is missing"),
        (new.assign(town="nowhere"), "knows none of the labels"),
        (new.assign(town=None), "has no value"),
        (new.astype("str").assign(area="wide"), "none of the 200 rows can be scored"),
    ):
        with pytest.raises(DataRejected, match=text):
            fresh.score_fresh(placed, Dataset(rows), seed=0)


def test_whole_numbers_as_labels_stay_whole_beside_text(tmp_path: Path, houses: pd.DataFrame) -> None:
    folder = write_bundle(tmp_path / "rooms", houses, "rooms", [], houses.iloc[:0], "classification")
    plain = fresh.score_fresh(folder, Dataset(houses), seed=0)
    as_text = houses.astype({"rooms": "str"})
    as_text.loc[0, "rooms"] = "many"
    again = fresh.score_fresh(folder, Dataset(as_text), seed=0)
    without = fresh.score_fresh(folder, Dataset(houses.iloc[1:]), seed=0)
    assert again.metrics == without.metrics
    assert (plain.rows, again.rows, again.bad, again.unknown) == (300, 299, 1, 0)


def test_images(tmp_path: Path) -> None:
    encoder = Encoder(ImageInputs((4, 4), (10.0,), (5.0,)), Labels((0, 1), (3, 3)))
    identity = [{"name": "digest", "type": "text"}, {"name": "label", "type": "integer"}]
    what = scoring.Bundle(
        "classification", "label", {"kind": "neuron"}, None, [4, 4], [], ["label"], identity
    )
    weights = scoring.make_network(what.network, encoder).state_dict()
    rows = pd.DataFrame({"label": np.arange(40) % 2, "digest": [f"d{i}" for i in range(40)]})
    scoring.save(tmp_path, what, encoder, weights, rows.iloc[:10])
    pixels = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    found = fresh.score_fresh(tmp_path, Dataset(rows, pixels), seed=0)
    assert (found.read, found.seen, found.rows) == (40, 10, 30)
    expected = (scoring.load(tmp_path).predict(pixels).values == rows["label"])[10:].mean()
    assert found.metrics["accuracy"].value == pytest.approx(expected)
    unread = {11: "can't be decoded: cut short"}
    found = fresh.score_fresh(tmp_path, Dataset(rows.assign(dose=np.inf), pixels), seed=0, unread=unread)
    assert (found.seen, found.bad, found.rows) == (10, 1, 29)
    assert "1 rows can't be scored: can't be decoded: cut short: 1 rows" in found.notes


def test_a_source_is_read_for_a_model_by_the_types_that_it_was_trained_with(priced: Path) -> None:
    types = {"area": "number", "rooms": "integer", "garden": "number", "town": "category", "price": "number"}
    assert fresh.columns_of(scoring.load(priced).manifest).types == types
