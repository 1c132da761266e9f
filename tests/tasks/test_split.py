"""split: the step writes parts and what it found, is reused, and refuses what leaks."""

import json

import numpy as np
import pandas as pd
import pytest

from tasks import store
from tasks.config import Split
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected
from tasks.features.schema import types_of
from tasks.records import CleanRecord, Step
from tasks.split import planned, seen_rows, split
from tasks.splitting import parts as parts_file
from tasks.splitting.assign import assign_splits
from tasks.tables import table as table_in_files
from tasks.tables import table as table_of
from tasks.tables.opening import of_frame


def table(count=100, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"x": rng.normal(size=count), "y": rng.integers(0, classes, count).astype(str)})
    rows.index = pd.Index(np.arange(count) * 2, name="row")
    return rows


def stored(tmp_path, rows, pixels=None):
    folder = tmp_path / "cleaned"
    folder.mkdir(exist_ok=True)
    types = types_of(rows)
    table_of.save(folder, Dataset(rows, pixels), types, len(rows))
    return CleanRecord(
        step=Step(name="clean"),
        folder=folder,
        digest="d",
        read=len(rows),
        kept=len(rows),
        dropped=0,
        quarantined=0,
        operations=(),
    )


def test_the_task_saves_and_hashes_the_parts_and_is_reused(tmp_path):
    cleaned = stored(tmp_path, table(60))
    first = split.fn(cleaned, Split(), "y", "classification", 0, tmp_path / "work")
    again = split.fn(cleaned, Split(), "y", "classification", 0, tmp_path / "work")
    other = split.fn(cleaned, Split(), "y", "classification", 1, tmp_path / "work")
    assert (first.train, first.validation, first.test) == (39, 9, 12)
    parts = parts_file.load(first.folder)
    assert (parts.index.name, parts.name) == ("row", "part")
    plan = planned(table(60), Split(), target="y", kind="classification", seed=0)
    assert parts.tolist() == assign_splits(of_frame(table(60)), plan).parts.tolist()
    assert first.hash == parts_file.parts_hash(parts)
    assert (again.step.status, again.hash) == ("reused", first.hash)
    assert (other.step.status, other.step.why) == ("ran", "changed: seed")
    assert other.hash != first.hash


def test_the_task_refuses_an_example_in_two_parts_and_leaves_nothing(tmp_path):
    rows = table(20).assign(p=["train"] * 15 + ["test"] * 5)
    rows.iloc[17, :2] = rows.iloc[3, :2]
    cleaned = stored(tmp_path, rows)
    with pytest.raises(DataRejected) as caught:
        split.fn(
            cleaned,
            Split(strategy="column", column="p", validation=0.2),
            "y",
            "regression",
            0,
            tmp_path / "w",
        )
    assert "1 examples stand in more than one part" in str(caught.value)
    assert "row 35 (test)" in str(caught.value)
    assert list((tmp_path / "w" / "split").iterdir()) == []
    assert json.loads((tmp_path / "w" / "refused" / "leaks.json").read_text())["pairs"][0]["other"] == 35


def test_the_task_refuses_an_image_in_two_parts(tmp_path):
    rows = table(40).rename(columns={"y": "label"}).assign(part=["train"] * 30 + ["test"] * 10)
    rows["digest"] = [f"d{i}" for i in range(39)] + ["d0"]
    rows["label"] = 1
    cleaned = stored(tmp_path, rows, np.zeros((40, 2, 2), dtype=np.uint8))
    with pytest.raises(DataRejected, match="1 examples stand in more than one part"):
        split.fn(cleaned, Split(), "label", "classification", 0, tmp_path / "work")
    rows.iloc[39, rows.columns.get_loc("label")] = 2
    warned = split.fn(
        stored(tmp_path, rows, np.zeros((40, 2, 2), dtype=np.uint8)),
        Split(),
        "label",
        "classification",
        0,
        tmp_path / "work",
    )
    assert len(warned.warnings) == 1
    assert warned.warnings[0].startswith("2 rows have the same features as a row of another part")


def test_the_task_refuses_a_column_that_tells_the_answer_unless_it_is_dropped_or_allowed(tmp_path):
    rows = table(200).assign(copy=lambda rows: rows["y"])
    cleaned, work = stored(tmp_path, rows), tmp_path / "work"
    with pytest.raises(DataRejected, match=r"the column 'copy' alone predicts .* split\.allow_leaky"):
        split.fn(cleaned, Split(), "y", "classification", 0, work)
    warned = split.fn(cleaned, Split(leaks="warn"), "y", "classification", 0, work)
    assert [text.split(" alone")[0] for text in warned.warnings] == ["the column 'copy'"]
    for quiet in (
        split.fn(cleaned, Split(), "y", "classification", 0, work, drop=("copy",)),
        split.fn(cleaned, Split(allow_leaky=("copy",)), "y", "classification", 0, work),
    ):
        assert quiet.warnings == ()
    with pytest.raises(ConfigError, match=r"split\.allow_leaky: no column 'copi' .* did you mean 'copy'"):
        split.fn(cleaned, Split(allow_leaky=("copi",)), "y", "classification", 0, work)


def test_the_task_refuses_a_group_in_two_parts_under_any_strategy(tmp_path):
    rows = table(200).assign(film=lambda rows: [f"film {i // 5}" for i in range(len(rows))])
    cleaned, work = stored(tmp_path, rows), tmp_path / "work"
    with pytest.raises(DataRejected, match=r"values of 'film', .* row \d+ \(train\) ~ row \d+ \(test\)"):
        split.fn(cleaned, Split(disjoint_by="film"), "y", "classification", 0, work)
    by_film = Split(strategy="group", column="film", disjoint_by="film")
    assert split.fn(cleaned, by_film, "y", "classification", 0, work).warnings == ()
    with pytest.raises(ConfigError, match=r"split\.disjoint_by: no column 'movie'"):
        split.fn(cleaned, Split(disjoint_by="movie"), "y", "classification", 0, work)


def test_a_table_in_pieces_can_not_be_looked_up_in_a_model(tmp_path):
    in_pieces = table_in_files.Table(parts=(), kinds={}, source=0, sample=0, memory_mb=4096)
    store.write_json(tmp_path / table_in_files.FILE, in_pieces)
    with pytest.raises(ConfigError, match=r"split\.exclude_seen: a table that is read in pieces"):
        seen_rows(tmp_path, tmp_path)
