"""What is written: it loads, says what was decided, judges its own data, and is whole or absent."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks import config, sources
from tasks.checks import suite
from tasks.config import Columns
from tasks.config.strict_yaml import parse
from tasks.drafting import folder, looking
from tasks.drafting.guesses import Asked, flow
from tasks.errors import ConfigError


@pytest.fixture
def made(tmp_path, drafted, table) -> tuple[Path, object]:
    """A written project of trees, and its draft."""
    draft = drafted(table, target="kind")
    (tmp_path / "root").mkdir()
    return folder.write(tmp_path / "root", "trees", draft, tmp_path / "table.csv"), draft


def test_it_loads_as_what_was_decided(made, tmp_path) -> None:
    home, draft = made
    project = config.load(tmp_path / "root", "trees")
    assert project.config == folder.config("trees", draft, "raw/table.csv")
    assert {p.name for p in home.iterdir()} == {
        ".gitignore", "README.md", "expectations.json", "project.yaml", "raw",
    }  # fmt: skip
    assert (home / "raw" / "table.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_every_setting_is_written_with_its_default(made) -> None:
    home, _ = made
    tree = config.load(home.parents[1], "trees").config.model_dump(mode="json", by_alias=True)
    text = (home / "project.yaml").read_text(encoding="utf-8")
    for section, value in tree.items():
        assert re.search(rf"^{section}:", text, re.MULTILINE)
        for key in value if isinstance(value, dict) else ():
            assert re.search(rf"^  {key}:", text, re.MULTILINE), key
    assert "# Largest share of rows that may be set aside as bad." in text
    assert "# Guess: target" not in text
    assert "# Guess: kind: the target; you named it." in text


def test_presets_are_written_and_change_what_they_say(made) -> None:
    home, draft = made
    loaded = {name: config.load(home.parents[1], "trees", settings=(f"preset={name}",)).config
              for name in ("quick", "standard", "best")}  # fmt: skip
    assert [c.network.members for c in loaded.values()] == [1, 5, 10]
    assert set(draft.tree["presets"]) == {"quick", "best"}


def test_each_override_is_a_setting_that_is_accepted(made) -> None:
    home, draft = made
    overrides = [g.override for g in draft.guesses if "=" in g.override]
    assert len(overrides) > 8
    for setting in overrides:
        other = config.load(home.parents[1], "trees", settings=(setting,)).config
        assert other != config.load(home.parents[1], "trees").config, setting


def test_its_suite_accepts_its_own_data(made, tmp_path) -> None:
    home, _ = made
    c = config.load(home.parents[1], "trees").config
    judged = suite.load(home / c.validation.suite)
    rows = sources.read(c.source, home, c.target, c.columns).dataset.rows
    outcomes = suite.run(judged, rows, tmp_path / "docs", show_values=False)
    assert [o.title for o in outcomes if o.word != "pass"] == []
    assert any(entry.severity == "error" for entry in judged.entries)
    wrong = rows.assign(height=rows["height"] * 100, soil="rock")
    failed = {
        o.column for o in suite.run(judged, wrong, tmp_path / "docs2", show_values=False) if not o.success
    }
    assert failed == {"height", "soil"}


def test_the_card_marks_what_is_open(made) -> None:
    home, draft = made
    text = (home / "README.md").read_text(encoding="utf-8")
    for word in ("Origin and licence", "## Target", "Known faults", "`kind`", "240", "raw/table.csv"):
        assert word in text
    assert text.count("**Open:**") >= 4 + len(draft.open)
    assert re.search(r"sha256 `[0-9a-f]{64}`", text)


def test_a_name_that_is_taken_or_not_allowed(made, tmp_path, drafted, table) -> None:
    home, draft = made
    before = (home / "project.yaml").read_bytes()
    with pytest.raises(ConfigError, match="there is a project 'trees' already"):
        folder.write(tmp_path / "root", "trees", draft, tmp_path / "table.csv")
    assert (home / "project.yaml").read_bytes() == before
    with pytest.raises(ConfigError, match="say 'my-trees'"):
        folder.check_name(tmp_path, "My Trees")


def test_nothing_is_left_when_writing_fails(tmp_path, drafted, table, monkeypatch) -> None:
    draft = drafted(table, target="kind")
    monkeypatch.setattr(folder.card, "written", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folder.write(tmp_path / "root", "trees", draft, tmp_path / "table.csv")
    assert list((tmp_path / "root" / "data").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["no", "1e3", "a: b", "#x", "x#y", "é", "it's", '"q"', "010", "12:30", "-", "a, b", "null", "{x}"]
)
def test_names_survive_the_page(name) -> None:
    assert parse(flow({"k": [name], name: 1.5e-7, "n": None, "b": True}), "here") == {
        "k": [name], name: 1.5e-7, "n": None, "b": True,
    }  # fmt: skip


def test_odd_column_names(tmp_path, drafted, table) -> None:
    names = {"height": "1e3", "soil": "a: b, #c", "felled": "no", "plot_id": 'plot "x" id', "kind": "größe"}
    draft = drafted(table.rename(columns=names), target="größe")
    home = folder.write(tmp_path / "root", "odd", draft, tmp_path / "table.csv")
    c = config.load(tmp_path / "root", "odd").config
    rows = sources.read(c.source, home, c.target, Columns()).dataset.rows
    assert {*c.columns.drop} <= {*rows.columns}
    for guess in draft.guesses:
        if "=" in guess.override:
            config.load(tmp_path / "root", "odd", settings=(guess.override,))


def test_parquet_and_tabs_say_the_same(tmp_path, table) -> None:
    table.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    (tmp_path / "parts").mkdir()
    table.iloc[:120].to_parquet(tmp_path / "parts" / "a.parquet")
    table.iloc[120:].to_parquet(tmp_path / "parts" / "b.parquet")
    asked = Asked(target="kind")
    texts, stored = (looking.draft(tmp_path / p, asked).tree["columns"] for p in ("t.tsv", "parts"))
    assert texts["drop"] == stored["drop"]
    assert {**texts["types"], "empty": "number"} == stored["types"]  # nothing tells of a gap what it lacks
    folder.write(tmp_path / "root", "parts", looking.draft(tmp_path / "parts", asked), tmp_path / "parts")
    assert len(list((tmp_path / "root" / "data" / "parts" / "raw").iterdir())) == 2
    assert json.loads((tmp_path / "root/data/parts/expectations.json").read_text())["name"] == "parts"


def test_numbers_declared_as_codes_are_still_accepted(made, tmp_path) -> None:
    home, draft = made
    (guess,) = [g for g in draft.guesses if g.column == "rings"]
    c = config.load(home.parents[1], "trees", settings=(guess.override,)).config
    rows = sources.read(c.source, home, c.target, c.columns).dataset.rows
    assert rows["rings"].dtype == "str"
    judged = suite.load(home / c.validation.suite)
    words = {o.word for o in suite.run(judged, rows, tmp_path / "docs", show_values=False)}
    assert words <= {"pass", "warn"}
