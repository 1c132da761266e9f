from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tasks import config, sources
from tasks.checks import suite
from tasks.drafting import folder, looking
from tasks.drafting.guesses import Asked
from tasks.errors import ConfigError
from tasks.split import planned
from tasks.splitting.assign import assign_splits
from tasks.tables.opening import of_frame

WORDS = {
    "up": ["good", "fine", "bright", "happy", "warm", "хороший", "теплый"],
    "down": ["bad", "dull", "dark", "sad", "cold", "плохой", "темный"],
}


def sentences(count: int = 120) -> pd.DataFrame:
    """Sentences in two scripts, and the film that each is about."""
    rng = np.random.default_rng(4)
    labels = rng.choice(["up", "down"], count)
    texts = [" ".join(rng.choice(WORDS[label], 6)) + f" {i}" for i, label in enumerate(labels)]
    return pd.DataFrame({"id": range(count), "film": [f"f{i % 30}" for i in range(count)], "said": texts,
                         "mood": labels})  # fmt: skip


@pytest.fixture
def lines(tmp_path):
    """The sentences as JSON lines."""
    path = tmp_path / "said.jsonl"
    rows = sentences().to_dict("records")
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def test_a_table_with_little_but_a_text(drafted) -> None:
    draft = drafted(sentences(), target="mood")
    assert (draft.tree["columns"]["text"], draft.tree["network"]) == ("said", {"kind": "wide"})
    types = {"id": "integer", "film": "category", "said": "text", "mood": "category"}
    assert draft.tree["columns"]["types"] == types
    assert draft.tree["presets"]["best"] == {"network": {"kind": "wide_deep"}}
    assert draft.tree["gate"][0] == {"not_worse_than": "logistic"}
    (asked,) = [g for g in draft.open if g.column == "film"]
    assert asked.override == "split={strategy: group, column: film}"


def test_a_text_beside_much_else_is_left_out_unless_named(drafted) -> None:
    rng = np.random.default_rng(0)
    wide = sentences().assign(**{f"x{i}": rng.normal(size=120) for i in range(4)})
    assert "said" in drafted(wide, target="mood").tree["columns"]["drop"]
    assert drafted(wide, target="mood", text="said").tree["columns"]["text"] == "said"


def test_json_lines_load_and_their_suite_accepts_them(lines, tmp_path) -> None:
    draft = looking.draft(lines, Asked(target="mood"))
    assert draft.tree["source"]["kind"] == "texts"
    home = folder.write(tmp_path / "root", "moods", draft, lines)
    c = config.load(tmp_path / "root", "moods").config
    rows = sources.read(c.source, home, c.target, c.columns).dataset.rows
    outcomes = suite.run(suite.load(home / "expectations.json"), rows, tmp_path / "docs", show_values=False)
    assert [o.title for o in outcomes if o.word != "pass"] == []
    assert {"text_tokens", "text_script", "text_empty"} <= {o.column for o in outcomes}


def test_a_folder_for_each_class(tmp_path) -> None:
    for i, row in sentences().iterrows():
        (tmp_path / "in" / row["mood"]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / row["mood"] / f"{i}.txt").write_text(row["said"], encoding="utf-8")
    draft = looking.draft(tmp_path / "in", Asked())
    assert (draft.tree["target"], draft.tree["columns"]["text"]) == ("label", "text")
    home = folder.write(tmp_path / "root", "moods", draft, tmp_path / "in")
    assert config.load(tmp_path / "root", "moods").config.source.path == "raw"
    assert len(list((home / "raw").glob("*/*.txt"))) == 120


def test_numbers_from_texts(drafted) -> None:
    draft = drafted(sentences().assign(mood=np.arange(120) * 1.7), target="mood")
    assert draft.tree["evaluate"]["baselines"] == ("median", "ridge")
    assert "metric" not in draft.tree["fit"]


def test_the_column_of_texts_is_asked_for(tmp_path) -> None:
    path = tmp_path / "short.jsonl"
    path.write_text("\n".join(json.dumps({"a": f"x{i % 3}", "b": i % 2}) for i in range(60)) + "\n")
    with pytest.raises(ConfigError, match=r"which column holds the texts\? .*--text a \| b"):
        looking.draft(path, Asked())


def test_blank_texts_fit_the_budget(drafted) -> None:
    frame = sentences()
    frame.loc[:5, "said"] = " "
    assert drafted(frame, target="mood").tree["validate"]["quarantine"] == 0.06


def test_folders_for_train_and_test_stay_what_they_are(tmp_path) -> None:
    for at, row in enumerate(sentences().itertuples()):
        place = tmp_path / "reviews" / ("test" if at % 4 == 0 else "train") / row.mood
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{at:03}.txt").write_text(row.said, encoding="utf-8")
    draft = looking.draft(tmp_path / "reviews", Asked())
    types = {"text": "text", "label": "category", "part": "category"}
    assert draft.tree["columns"] == {"types": types, "text": "text"}
    assert draft.tree["split"]["column"] == "part"
    assert ("Unused", "0 other columns") in draft.facts
    home = folder.write(tmp_path / "root", "moods", draft, tmp_path / "reviews")
    c = config.load(tmp_path / "root", "moods").config
    rows = sources.read(c.source, home, c.target, c.columns).dataset.rows
    parts = assign_splits(of_frame(rows), planned(rows, c.split, target=c.target, kind=c.task, seed=0)).parts
    assert ((parts == "test") == (rows["part"] == "test")).all()
