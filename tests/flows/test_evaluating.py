"""`modelyard evaluate`: a version on new labelled rows, with nothing altered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

KEYS = {"project", "model", "target", "data", "metrics", "metric", "higher_is_better", "notes"}


def state(yard: Any) -> Any:
    """Everything in the registry and the runs that a command could have changed."""
    from tasks.registry import backend, tracking

    uri = tracking.connect(yard.root)
    client = backend.client(uri)
    models = [(m.name, dict(m.tags), dict(m.aliases)) for m in client.search_registered_models()]
    versions = [(v.name, v.version, dict(v.tags), v.description) for v in client.search_model_versions("")]
    runs = [(r["run_id"], r["tags"], r["metrics"]) for r in tracking.recent_runs(uri, "rings", 1000)]
    ledgers = [path.read_bytes() for path in sorted((yard.root / "mlflow").rglob("*.jsonl"))]
    return models, sorted(versions, key=str), runs, ledgers


@pytest.fixture
def unchanged(yard: Any, trained: Any) -> Any:
    before = state(yard)
    yield
    assert state(yard) == before


@pytest.fixture
def new_rows(ring_rows: pd.DataFrame) -> pd.DataFrame:
    """360 rows that nobody learned from, of the same two rings."""
    return ring_rows.assign(x=-ring_rows["x"], y=ring_rows["y"] + 0.01)


def test_pictures_are_read_as_the_model_takes_them() -> None:
    from flows.scoring.evaluating import _as_taken
    from tasks.config import ImagesSource, TableSource

    source = ImagesSource(kind="images", path="p", size=(32, 32), mode="colour", file="image")
    grey = _as_taken(source, [28, 20])
    assert grey == source.model_copy(update={"size": (28, 20), "mode": "grey"})
    assert _as_taken(grey, [32, 32, 3]) == source
    table = TableSource(kind="table", path="p")
    assert _as_taken(table, None) == table


def test_new_rows(yard, unchanged, new_rows: pd.DataFrame, tmp_path: Path) -> None:
    given = tmp_path / "new.csv"
    new_rows.to_csv(given, index=False)
    answer = yard("evaluate", "rings", "--data", given, "--version", "1", "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    assert set(document) == KEYS
    assert document["model"] == {"name": "rings", "version": 1}
    counts = {k: v for k, v in document["data"].items() if k not in ("file", "fingerprint")}
    assert counts == {"rows": 360, "scored": 360, "seen": 0, "bad": 0, "dropped": 0, "unknown": 0}
    assert document["data"]["file"] == str(given)
    assert len(document["data"]["fingerprint"]) == 64
    accuracy = document["metrics"]["accuracy"]
    assert accuracy["value"] > 0.9
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert (document["metric"], document["higher_is_better"]) == ("accuracy", True)


def test_rows_of_the_training_are_left_out_and_the_rest_scores_as_then(
    yard, unchanged, trained, ring_rows: pd.DataFrame, tmp_path: Path
) -> None:
    ring_rows.to_csv(tmp_path / "all.csv", index=False)
    document = yard("evaluate", "rings", "--data", tmp_path / "all.csv", "--version", "1", "--json").document
    split = trained["split"]
    assert document["data"]["seen"] == split["train"] + split["validation"]
    assert document["data"]["scored"] == split["test"]
    candidate = next(s for s in trained["scores"] if s["name"] == "candidate")
    for name, measure in document["metrics"].items():
        assert measure["value"] == pytest.approx(candidate["metrics"][name], rel=1e-6)
    lines = yard("evaluate", "rings", "--data", tmp_path / "all.csv").out
    assert "rings version" in lines
    assert "accuracy" in lines
    assert "they were left out" in lines


def test_what_is_bad_unknown_or_too_little_is_said(
    yard, unchanged, new_rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows = new_rows.head(20).astype({"x": "object"})
    rows.loc[0, "x"] = "wide"
    rows.loc[1, "ring"] = None
    rows.loc[2, "ring"] = "middle"
    rows.to_csv(tmp_path / "few.csv", index=False)
    answer = yard("evaluate", "rings", "--data", tmp_path / "few.csv", "--json")
    assert answer.code == 0, answer.err
    counts = {k: v for k, v in answer.document["data"].items() if k not in ("file", "fingerprint")}
    assert counts == {"rows": 20, "scored": 18, "seen": 0, "bad": 2, "dropped": 0, "unknown": 1}
    notes = " ".join(answer.document["notes"])
    for words in ("2 rows can't be scored", "'middle' (1)", "18 rows are too few"):
        assert words in notes


def test_nothing_left_is_undefined_and_null(yard, unchanged, new_rows: pd.DataFrame, tmp_path: Path) -> None:
    one = new_rows[new_rows["ring"] == "outer"]
    one.to_csv(tmp_path / "one.csv", index=False)
    answer = yard("evaluate", "rings", "--data", tmp_path / "one.csv", "--json")
    assert answer.code == 0
    assert answer.document["metrics"]["balanced_accuracy"] == {"value": None, "low": None, "high": None}
    assert "undefined on these rows: balanced_accuracy and f1_macro" in answer.document["notes"]
    assert "undefined" in yard("evaluate", "rings", "--data", tmp_path / "one.csv").out


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (lambda rows: rows.rename(columns={"ring": "rinng"}), 3, "did you mean 'rinng'"),
        (lambda rows: rows.drop(columns="y"), 3, "column 'y' is missing"),
        (lambda rows: rows.assign(ring="square"), 3, "knows none of the labels"),
        (lambda rows: rows.assign(x="wide"), 3, "none of the 360 rows can be scored"),
        (lambda rows: rows.head(0), 3, "0 rows"),
    ],
)
def test_data_that_is_refused(
    change: Any, code: int, text: str, yard, unchanged, new_rows: pd.DataFrame, tmp_path: Path
) -> None:
    change(new_rows).to_csv(tmp_path / "new.csv", index=False)
    answer = yard("evaluate", "rings", "--data", tmp_path / "new.csv", "--json")
    assert answer.code == code
    assert text in answer.document["error"]["message"] + answer.document["error"]["fix"]


def test_what_is_not_there(yard, trained, fresh, new_rows: pd.DataFrame, tmp_path: Path) -> None:
    new_rows.to_csv(tmp_path / "new.csv", index=False)
    nothing = yard("evaluate", "rings", "--data", tmp_path / "none.csv")
    assert (nothing.code, "--data" in nothing.err) == (2, True)
    assert yard("evaluate", "rings", "--data", tmp_path / "new.csv", "--version", "77").code == 5
    assert "no champion yet" in fresh("evaluate", "rings", "--data", tmp_path / "new.csv").err
