"""Winners are written into a project's YAML by the smallest edit, and comments stay."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError
from tasks.tuning import rewriting

TEXT = """\
# Prices of houses.
name: prices
network: {kind: mlp, hidden: [256, 256], dropout: 0.2}   # wide enough
fit:
  epochs: 30                 # enough
  learning_rate: 0.002       # found by hand
  augment:
    shift: 1
  # the last word

encode: {}
split: {test: 0.2,
        validation: 0.1}
widths:
  - 8   # small
  - 16
# the end
"""


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"fit.learning_rate": 0.0031}, {6: "  learning_rate: 0.0031       # found by hand"}),
        (
            {"network.hidden": [128], "network.dropout": 0.05},
            {3: "network: {kind: mlp, hidden: [128], dropout: 0.05}   # wide enough"},
        ),
        (
            {"network.bins": 16},
            {3: "network: {kind: mlp, hidden: [256, 256], dropout: 0.2, bins: 16}   # wide enough"},
        ),
        ({"encode.numeric": "quantile"}, {11: "encode: {numeric: quantile}"}),
        ({"encode.words.length": 64}, {11: "encode: {words: {length: 64}}"}),
        ({"fit.augment.shift": 2}, {8: "    shift: 2"}),
        ({"split.seed": 1}, {13: "        validation: 0.1, seed: 1}"}),
        ({"widths": [1, 2]}, {15: "  [1, 2]", 16: None}),
    ],
)
def test_an_edit_touches_its_line_alone(changes: dict, lines: dict) -> None:
    expected = [lines.get(i, line) for i, line in enumerate(TEXT.splitlines(), start=1)]
    made = rewriting.rewritten(TEXT, changes, "project.yaml")
    assert made.splitlines() == [line for line in expected if line is not None]


def test_a_new_key_comes_last_in_its_section() -> None:
    made = rewriting.rewritten(TEXT, {"fit.batch_size": 32, "evaluate.metric": "mae"}, "project.yaml")
    assert made == TEXT.replace("    shift: 1\n", "    shift: 1\n  batch_size: 32\n").replace(
        "  - 16\n", "  - 16\nevaluate: {metric: mae}\n"
    )


@pytest.mark.parametrize(
    ("preset", "key", "line"),
    [
        ("best", "network.members", 5),
        ("best", "fit.epochs", 3),  # the preset does not say it
        ("quick", "network.members", 6),  # a section of another kind replaces the project's
        ("", "network.members", 2),
    ],
)
def test_what_the_preset_in_force_says_is_changed_there(preset: str, key: str, line: int) -> None:
    text = (
        "name: x\nnetwork: {kind: mlp, members: 5}\nfit: {epochs: 3}\npresets:\n"
        "  best: {network: {kind: mlp, members: 9}}\n  quick: {network: {kind: wide}}\n"
    )
    made = rewriting.rewritten(text, {key: 7}, "x", preset).splitlines()
    assert [i for i, (a, b) in enumerate(zip(text.splitlines(), made, strict=True), 1) if a != b] == [line]
    assert f"{key.partition('.')[2]}: 7" in made[line - 1]


@pytest.mark.parametrize(
    "text",
    [
        "fit:\n",
        "fit:",
        "fit: {epochs: 1}",
        "fit: null\n",
        "name: x",
        "fit: {epochs: 1,}",
        "fit: {a: 1 # x\n  }",
        "fit:\n  h: |\n    t\nk: 1\n",
    ],
)
def test_odd_endings(text: str) -> None:
    made = rewriting.rewritten(text, {"fit.learning_rate": 1e-05}, "project.yaml")
    assert parse(made, "made")["fit"]["learning_rate"] == 1e-05


def test_what_can_not_be_edited_is_refused_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "_end", lambda node: node.end_mark.index + 1)
    with pytest.raises(ConfigError, match=r"project.yaml: can't be edited.*set by hand: fit.epochs: 3"):
        rewriting.rewritten(TEXT, {"fit.epochs": 3, "encode.x": 1}, "project.yaml")


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b.c", "b.d", "e.f.g", "new.x", "h"]),
        st.one_of(
            st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(),
            st.text(st.characters(max_codepoint=0xD7FF), max_size=8), st.lists(st.integers(0, 9), max_size=3),
        ),
        min_size=1,
    )
)  # fmt: skip
def test_whatever_is_written_is_read_back(changes: dict) -> None:
    text = "a: 1 # one\nb: {c: 2}\ne:\n  f:\n    g: [1,\n        2]\nh: |\n  some\n  text\n"
    try:
        made = parse(rewriting.rewritten(text, changes, "x"), "x")
    except ConfigError as error:
        assert "set by hand" in str(error)  # whole numbers beyond 64 bits are texts to us
        assert any(type(value) is int and abs(value) >= 10**19 for value in changes.values())
        return
    for key, value in changes.items():
        held = made
        for part in key.split("."):
            held = held[part]
        assert held == value


def test_the_difference_is_a_patch(tmp_path: Path) -> None:
    after = rewriting.rewritten(TEXT, {"fit.learning_rate": 0.5, "evaluate.metric": "mae"}, "project.yaml")
    (tmp_path / "project.yaml").write_text(TEXT)
    patch = rewriting.difference(TEXT, after, "project.yaml")
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    assert (tmp_path / "project.yaml").read_text() == after
    assert rewriting.difference(TEXT, TEXT, "project.yaml") == ""
