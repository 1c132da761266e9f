"""Presets: what is laid over what, every mistake with its place, equal settings that are one to the cache."""

# ruff: noqa: E501 - a mistake and the line that it earns stand side by side

from __future__ import annotations

from pathlib import Path

import pytest

from flows.books import provenance
from tasks import config
from tasks.config.presets import over
from tasks.errors import ConfigError

ROOT = Path(__file__).parents[3]

BASE = """name: toy
task: regression
source: {kind: table, path: raw/toy.csv}
target: y
network: {kind: mlp, hidden: [8], members: 3}
fit: {epochs: 9, augment: {shift: 1}}
evaluate: {metric: rmse, baselines: [median, ridge]}
gate: [{better_than: ridge}]
register: {name: toy}
"""
PRESETS = """presets:
  quick: {fit: {epochs: 2}, network: {members: 1}}
  best: {network: {kind: neuron}, gate: [{better_than: median}]}
"""


@pytest.fixture
def load(tmp_path):
    def write_and_load(*settings, text=BASE + PRESETS):
        folder = tmp_path / "data" / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "project.yaml").write_text(text)
        return config.load(tmp_path, "toy", settings=settings).config

    return write_and_load


def lines(caught):
    first, *others = str(caught.value).splitlines()
    found = others or [first.partition("project.yaml: ")[2] or first]
    return [line.strip().removeprefix("--set ") for line in found]


def test_a_preset_is_laid_over_the_file_key_by_key(load):
    standard, quick, best = load(), load("preset=quick"), load("preset=best")
    assert [c.preset for c in (standard, quick, best)] == ["standard", "quick", "best"]
    assert (standard.fit.epochs, standard.network.members) == (9, 3)
    assert (quick.fit.epochs, quick.fit.augment.shift) == (2, 1)
    assert quick.network == config.Mlp(hidden=(8,), members=1)
    assert best.network == config.Neuron(), "another kind is another section"
    assert best.gate == (config.BetterThan(better_than="median"),)


def test_the_command_line_beats_the_preset_beats_the_file(load):
    for order in (("preset=quick", "network.members=2"), ("network.members=2", "preset=quick")):
        c = load(*order)
        assert (c.network.members, c.fit.epochs, c.seed) == (2, 2, 0)
    assert load("preset=quick", "presets.quick.fit.epochs=5").fit.epochs == 5
    assert load(text=BASE + PRESETS + "preset: quick\n").fit.epochs == 2
    assert load("preset=standard", text=BASE + PRESETS + "preset: quick\n").fit.epochs == 9


def test_a_setting_for_one_kind_is_no_mistake_of_presets_that_are_not_chosen(load):
    assert load("network.hidden=[4]").network.hidden == (4,)
    with pytest.raises(ConfigError, match=r"network\.hidden: unknown key"):
        load("preset=best", "network.hidden=[4]")


def test_laying_over_leaves_both_as_they_are():
    below, above = {"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": None}
    assert over(below, above) == {"a": {"b": 1, "c": [3]}, "d": None}
    assert (below, above) == ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": None})


WRONG = {
    "presets: {quick: {fit: {epochz: 1}}}": "presets.quick.fit.epochz: unknown key; did you mean 'epochs'?",
    "presets: {quick: {fit: {epochs: 0}}}": "presets.quick.fit.epochs: got 0; input should be greater than or equal to 1",
    "presets: {quick: {ftt: {}}}": "presets.quick.ftt: not for a preset, which sets encode, network, fit, evaluate, gate",
    "presets: {quick: {split: {test: 0.5}}}": "presets.quick.split: not for a preset, which sets encode, network, fit, evaluate, gate",
    "presets: {quick: {gate: [{better_than: rigde}]}}": "presets.quick.gate.0.better_than: unknown name 'rigde'; did you mean 'ridge'?",
    "presets: {quick: {network: {kind: mpl}}}": "presets.quick.network.kind: got 'mpl'; expected kind: neuron, mlp, cnn, rnn, wide, wide_deep, encoder or package.module:factory",
    "presets: {quick: 3}": "presets.quick: got 3; expected sections",
    "presets: {1: {}}\npreset: qwertz": "preset: unknown name 'qwertz'; known: standard, 1",
    "presets: [quick]": "presets: got ['quick']; expected names, each with sections",
    "preset: quick": "preset: unknown name 'quick'; known: standard",
    "preset: 3": "preset: got 3; input should be a valid string",
    "preset: [a]": "preset: got ['a']; input should be a valid string",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_each_mistake_has_its_line(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text=f"{BASE}{text}\n")
    assert lines(caught) == [WRONG[text]]


def test_all_mistakes_are_told_at_once_each_where_it_stands(load):
    text = (
        BASE
        + "seed: -1\npreset: quick\npresets: {quick: {fit: {epochz: 1}}, best: {encode: {numeric: no}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load("split.test=2", text=text)
    assert [line.split(":")[0] for line in lines(caught)] == [
        "seed", "split.test", "presets.quick.fit.epochz", "presets.best.encode.numeric",
    ]  # fmt: skip


def test_equal_settings_are_one_to_the_cache_whatever_the_preset_is_called(load, monkeypatch):
    same = load("preset=quick"), load("fit.epochs=2", "network.members=1")
    assert same[0].preset != same[1].preset
    digests = [provenance.inputs_digest(c, "content") for c in (*same, load())]
    assert digests[0] == digests[1] != digests[2]


def test_a_former_runs_settings_say_their_preset_and_hold_no_other(load, tmp_path):
    text = config.as_yaml(load("preset=quick"))
    assert config.restored(tmp_path, text, "the run").config == load("preset=quick")
    with pytest.raises(ConfigError, match="a run's settings are whole and hold no presets"):
        config.restored(tmp_path, text, "the run", ("preset=best",))


@pytest.mark.parametrize("name", config.names(ROOT))
def test_shipped_projects_have_the_three(name):
    known = {preset: config.load(ROOT, name, settings=(f"preset={preset}",)).config
             for preset in ("quick", "standard", "best")}  # fmt: skip
    assert known["standard"] == config.load(ROOT, name).config
    changed = [c.model_dump(include={"network", "fit"}) for c in known.values()]
    assert changed[0] != changed[1] != changed[2]
