"""`modelyard new`, and what it makes: checked and trained with no edit."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, ring_rows) -> Path:
    """Two rings as a CSV, numbered, and with what is of no use."""
    path = tmp_path_factory.mktemp("data") / "rings.csv"
    frame = ring_rows.assign(place="yard", seen=ring_rows["x"] * 2)
    frame.insert(0, "Id", range(len(frame)))
    frame.to_csv(path, index=False)
    return path


def test_new_says_what_it_decided(yard, data) -> None:
    answer = yard("new", "spoken", data, "--target", "ring", "--dry-run")
    assert answer.code == 0, answer.err
    for line in (
        "Id: key, no feature; counts the rows: 360 values in 360 rows",
        "    else columns.drop=[place]",
        "place: left out; constant: one value in all 360 rows",
        "colour: trimmed",
        "task: classification; text, 2 distinct values in 360 rows",
        "nothing was written",
    ):
        assert line in answer.out
    assert not (yard.root / "data" / "spoken").exists()


def test_new_asks_for_the_one_decision(yard, data) -> None:
    answer = yard("new", "asked", data, "--json")
    assert answer.code == 2
    assert answer.document["error"]["message"] == "which column is to be predicted? Nothing was written"
    assert answer.document["error"]["fix"].startswith("say --target colour | ring")
    assert not (yard.root / "data" / "asked").exists()


def test_new_then_check_then_train(yard, data) -> None:
    made = yard("new", "drafted", data, "--target", "ring", "--json")
    assert made.code == 0, made.err
    decisions = {d["column"]: d for d in made.document["decisions"] if d["column"]}
    assert decisions["Id"]["override"] == "columns.drop=[place]"
    assert set(decisions["Id"]) >= {"what", "column", "guess", "evidence", "override"}
    assert yard("new", "drafted", data, "--target", "ring").code == 2  # the name is taken
    checked = yard("check", "drafted", "--json")
    assert checked.code == 0, checked.err
    source = made.document["config"]["source"] | {"path": "raw/rings.csv"}
    assert source["kind"] == "table"
    assert checked.document["config"] == made.document["config"] | {"source": source}
    trained = yard("train", "drafted", "--set", "fit.epochs=12", "--json")
    assert trained.code == 0, trained.err
    assert trained.document["outcome"] == "registered"
