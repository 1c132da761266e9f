"""What is kept of the train rows for drift to be measured against."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flows.books import entries
from tasks.config import Config
from tasks.dataset import TEXTUAL, Dataset
from tasks.drift import distance
from tasks.drift.profile import Profile
from tasks.records import from_json, to_json


def settings(**changes):
    return Config.model_validate(
        {
            "name": "demo",
            "task": "classification",
            "source": {"kind": "table", "path": "x.csv"},
            "target": "label",
            "network": {"kind": "mlp"},
            "evaluate": {"metric": "accuracy", "baselines": ["majority"]},
            "register": {"name": "demo"},
            **changes,
        }
    )


def reviews(n, length, script="Latin"):
    """Rows of texts as their source gives them, `length` characters long on average."""
    rng = np.random.default_rng(n)
    rows = pd.DataFrame(
        {"review": [f"text {i} of {n}" for i in range(n)], "film": [f"f{i}" for i in range(n)]}
    )
    rows["label"] = np.where(np.arange(n) % 2, "good", "poor")
    size = rng.normal(length, 10, n).round()
    rows = rows.assign(text_characters=size, text_tokens=size // 5, text_script=script, text_empty=False)
    return rows.set_index(pd.RangeIndex(n, name="row"))


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """The profile that a run of some rows logs."""

    def profiled(config, data):
        found = {}
        monkeypatch.setattr(entries.tracking, "log_data", lambda *_: None)
        monkeypatch.setattr(
            entries, "log_json", lambda run, name, value, folder="": found.update({name: value})
        )
        data.save(tmp_path)
        part = pd.Series("train", index=data.rows.index, name="part")
        part.to_frame().to_parquet(tmp_path / "parts.parquet")
        record = SimpleNamespace(folder=tmp_path)
        entries.log_rows(None, config, record, record)
        return from_json(Profile, to_json(found[entries.PROFILE]))

    return profiled


def names(profile):
    return {column.name for column in profile.columns}


def test_texts_are_compared_by_what_describes_them(logged):
    config = settings(columns={"text": "review"}, split={"strategy": "group", "column": "film"})
    known = logged(config, Dataset(reviews(400, 100)))
    assert names(known) == {*TEXTUAL, "label"}
    same, longer, other = reviews(300, 100), reviews(300, 130), reviews(300, 100, "Cyrillic")
    moved = {
        name: distance.compare(known, rows.drop(columns=["label", "film"]), threshold=0.1, optional="label")
        for name, rows in (("same", same), ("longer", longer), ("other", other))
    }
    assert moved["same"].moved == 0
    assert moved["longer"].columns[0].column in ("text_characters", "text_tokens")
    assert moved["longer"].moved == 2
    assert moved["other"].columns[0].column == "text_script"
    assert moved["other"].moved == 1


def test_what_tells_pictures_apart_is_left_out(logged):
    rows = pd.DataFrame({"label": ["a", "b"] * 30, "digest": range(60), "path": "p", "luminance": 0.5})
    rows = rows.set_index(pd.RangeIndex(60, name="row"))
    config = settings(source={"kind": "images", "path": "raw"}, network={"kind": "cnn"})
    known = logged(config, Dataset(rows, np.zeros((60, 4, 4), dtype=np.uint8)))
    assert names(known) == {"label", "luminance"}


def test_of_a_table_what_is_dropped_is_left_out(logged):
    config = settings(columns={"drop": ["film"]}, split={"strategy": "key", "column": "review"})
    assert names(logged(config, Dataset(reviews(60, 100)))) == {"label", *TEXTUAL}
