"""Labels that look wrong: flipped ones are found and warned of, hard problems are not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from tasks.config import Columns, Encode
from tasks.dataset import Dataset
from tasks.ladder import labels
from tasks.ladder.baselines import Problem


def problem(text=None, kind="classification"):
    return Problem(kind, "y", Columns(text=text), Encode(), (), 0)


def bundled(load):
    x, y = load(return_X_y=True)
    return Dataset(pd.DataFrame(x).rename(columns="c{}".format).assign(y=y))


def made(strength, count=1500):
    """Two classes by a line, told the more surely the greater the `strength`."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(count, 5))
    chance = 1 / (1 + np.exp(-strength * (x[:, 0] + x[:, 1])))
    rows = pd.DataFrame(x).rename(columns="c{}".format)
    return Dataset(rows.assign(y=np.where(rng.random(count) < chance, "yes", "no")))


def digits():
    found = load_digits()
    pixels = (found.images * 15).astype(np.uint8)
    return Dataset(pd.DataFrame({"y": found.target}), pixels)


def flipped(data, share=0.05, seed=2):
    """The same data with wrong labels, and the ids of the rows that have one."""
    rng = np.random.default_rng(seed)
    rows = data.rows.copy()
    classes = rows["y"].unique()
    chosen = rng.choice(len(rows), round(share * len(rows)), replace=False)
    for at in chosen:
        others = classes[classes != rows["y"].iloc[at]]
        rows.iloc[at, rows.columns.get_loc("y")] = rng.choice(others)
    return Dataset(rows, data.pixels), set(rows.index[chosen])


@pytest.mark.parametrize(
    "data",
    [bundled(load_iris), bundled(load_wine), bundled(load_breast_cancer), made(1.2), made(8.0), digits()],
    ids=["iris", "wine", "cancer", "hard", "easy", "digits"],
)
def test_clean_labels_raise_no_alarm_however_hard_the_problem(tmp_path, data):
    assert labels.look(data, problem(), tmp_path, 0.02) == []
    assert (tmp_path / "labels.parquet").exists()


@pytest.mark.parametrize(
    "data",
    [bundled(load_wine), bundled(load_breast_cancer), made(8.0), digits()],
    ids=["wine", "cancer", "easy", "digits"],
)
def test_five_percent_of_flipped_labels_are_found_and_warned_of(tmp_path, data):
    data, wrong = flipped(data)
    (warning,) = labels.look(data, problem(), tmp_path, 0.02)
    assert "have a label that looks wrong" in warning
    ranked = pd.read_parquet(tmp_path / "labels.parquet")
    assert len(wrong & set(ranked.index)) >= 0.6 * len(wrong)
    top = ranked.head(len(wrong) // 2)
    assert top.index.isin(wrong).mean() > 0.8
    assert ranked["score"].is_monotonic_decreasing
    assert (ranked["given"] == data.rows.loc[ranked.index, "y"]).all()
    assert labels.look(data, problem(), tmp_path, 0.2) == []


@pytest.mark.parametrize("factor", [0.25, 3.0], ids=["too timid", "too sure"])
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_probabilities_become_as_sure_as_they_should_be_whether_labels_are_flipped_or_not(factor, share):
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 3, (4000, 1)) * [-1, 1]
    told = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = (rng.random(4000) < told[:, 1]) ^ (rng.random(4000) < share)
    warped = told**factor / (told**factor).sum(axis=1, keepdims=True)
    sober = labels._sober(warped, given.astype(int))
    assert np.abs(warped - told).mean() > 0.05
    assert np.abs(sober - told).mean() < 0.02


def test_the_right_label_is_suggested():
    data = bundled(load_wine)
    spoilt, wrong = flipped(data)
    found = labels.find(spoilt, problem()).suspects
    told = found[found.index.isin(wrong)]
    assert (told["suggested"] == data.rows.loc[told.index, "y"]).all()


def test_texts_are_judged_by_their_words(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.choice(["good", "poor"], 400)
    words = {"good": ["great", "lovely", "warm"], "poor": ["dull", "awful", "cold"]}
    texts = [" ".join([*rng.choice(["film", "story", "scene"], 3), *rng.choice(words[y], 2)]) for y in label]
    data, wrong = flipped(Dataset(pd.DataFrame({"text": texts, "y": label})))
    assert len(labels.look(data, problem("text"), tmp_path, 0.02)) == 1
    assert set(pd.read_parquet(tmp_path / "labels.parquet").head(10).index) <= wrong


def test_suspects_by_hand():
    told = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9], [0.45, 0.55], [0.05, 0.95]])
    given = np.array([0, 0, 1, 1, 0, 0])
    # Class 1 has 0.85 on average of its rows: the last row reaches it, the last but one does not.
    assert labels.suspects(told, given).tolist() == [0, 0, 1, 1, 0, 1]


def test_rare_classes_are_left_alone_and_a_sample_bounds_the_time(monkeypatch):
    data, _ = flipped(made(8.0))
    rows = data.rows.copy()
    rows.iloc[:5, rows.columns.get_loc("y")] = "rare"
    monkeypatch.setattr(labels, "ROWS", 600)
    found = labels.find(Dataset(rows), problem())
    assert found.rows == 600
    assert set(found.suspects["given"]) <= {"yes", "no"}


def test_it_never_raises_and_says_why(tmp_path):
    few = Dataset(made(8.0).rows.head(12))
    assert labels.look(few, problem(), tmp_path, 0.02)[0].startswith("labels were not judged: fewer than two")
    empty = Dataset(pd.DataFrame({"y": ["a", "b"] * 30}))
    (reason,) = labels.look(empty, problem(), tmp_path, 0.02)
    assert reason.startswith("labels were not judged: there are no features left")
    assert labels.look(made(8.0), problem(kind="regression"), tmp_path, 0.02) == []


def test_the_same_seed_gives_the_same_ranks():
    data, _ = flipped(bundled(load_wine))
    first, second = (labels.find(data, problem()) for _ in range(2))
    pd.testing.assert_frame_equal(first.suspects, second.suspects)
    assert first.expected == second.expected
