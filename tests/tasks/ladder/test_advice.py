from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.config import Config, Project, load
from tasks.ladder.advice import advise
from tasks.ladder.rungs import OTHER_SPLIT
from tasks.records import EvaluateRecord, GateResult, Score, Step, Suggestion, Verdict

MLP = {"kind": "mlp", "members": 5}
TABLE = {"source": {"kind": "table", "path": "raw/rows.csv"}, "network": MLP, "fit": {"bagging": True}}
PICTURES = {"source": {"kind": "images", "path": "raw", "size": [8, 8]}, "network": {"kind": "cnn"}}
TEXTS = {
    "source": {"kind": "table", "path": "raw/rows.csv"},
    "columns": {"text": "review"},
    "network": {"kind": "rnn"},
}


def tree(task: str = "classification", **changes: Any) -> dict[str, Any]:
    metric = "accuracy" if task == "classification" else "mae"
    return {
        "name": "made",
        "task": task,
        "target": "label",
        "evaluate": {"metric": metric, "baselines": ["majority" if metric == "accuracy" else "median"]},
        "register": {"name": "made"},
        **changes,
    }


def score(name: str, value: float, error: str | None = None, half: float = 0.02) -> Score:
    ends = {"low": value - half, "high": value + half}
    return Score(name=name, value=value, **ends, metrics={}, rows=100, error=error)


def record(
    scores: dict[str, float], words: dict[str, str], *refused: str, lower: bool = False, errors: Any = ()
) -> EvaluateRecord:
    verdicts = tuple(
        Verdict(against=name, verdict=word, difference=0.0, low=-0.1, high=0.1)  # type: ignore[arg-type]
        for name, word in words.items()
    )
    return EvaluateRecord(
        step=Step(name="evaluate"),
        folder=Path(),
        metric="mae" if lower else "accuracy",
        higher_is_better=not lower,
        rows=100,
        scores=tuple(score(name, value, dict(errors).get(name)) for name, value in scores.items()),
        verdicts=verdicts,
        slices=(),
        gate=tuple(GateResult(criterion=text, passed=False, reason="") for text in refused),
    )


def of(settings: dict[str, Any], presets: Any = None, given: tuple[str, ...] = (), **more: Any) -> Project:
    config = Config.model_validate(tree(**settings, **more))
    return Project(config, Path(), presets or {}, given)


def commands(found: tuple[Suggestion, ...]) -> list[str | None]:
    return [each.command for each in found]


WORSE = {"majority": "better", "logistic": "worse"}
LOST = {"candidate": 0.7, "majority": 0.5, "logistic": 0.9}
RUN = "modelyard train made --set "
SWEEP = "modelyard sweep made"


@pytest.mark.parametrize(
    ("settings", "best", "expected"),
    [
        (TABLE, "logistic", f"{RUN}'network={{kind: neuron}}' --set fit.bagging=false"),
        (TABLE, "boosting", f"{RUN}network.trees=1000"),
        ({**TABLE, "network": {"kind": "neuron"}, "fit": {}}, "boosting",
         f"{RUN}'network={{kind: mlp, members: 5, trees: 1000}}'"),
        (PICTURES, "logistic", f"{RUN}'network={{kind: neuron}}'"),
        (TEXTS, "ngrams", f"{RUN}'network={{kind: wide}}'"),
    ],
)  # fmt: skip
def test_the_network_that_equals_the_best_baseline_comes_first(settings, best, expected):
    scores = {"candidate": 0.7, "majority": 0.5, "champion": 0.6, best: 0.9}
    judged = record(scores, {"majority": "better", best: "worse"}, f"not_worse_than: {best}")
    found = advise(of(settings), judged)
    assert commands(found) == [expected, SWEEP]
    assert f"{best} is the best baseline of this run (accuracy 0.9)" in found[0].why


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (PICTURES, "svm"),
        ({**TABLE, "network": {"kind": "neuron"}, "fit": {}}, "logistic"),
        ({**TABLE, "network": {**MLP, "trees": 50}}, "boosting"),
        ({**TEXTS, "network": {"kind": "wide"}}, "ngrams"),
    ],
)
def test_where_no_simpler_network_is_left_settings_are_searched(settings, best):
    scores = {"candidate": 0.7, "majority": 0.5, best: 0.9}
    judged = record(scores, {"majority": "better", best: "worse"}, f"not_worse_than: {best}")
    assert commands(advise(of(settings), judged)) == [SWEEP]


def test_commands_keep_what_the_run_was_told_of_data_and_bar_and_drop_what_it_learned_with():
    given = ("seed=3", "fit.epochs=1", "gate=[]", "network.hidden=[4]")
    judged = record(LOST, {"majority": "better", "logistic": "worse"}, "not_worse_than: logistic")
    project = replace(of(TABLE, given=given), source=Path("other rows.csv"))
    kept = "made --source 'other rows.csv' --set seed=3 --set 'gate=[]'"
    assert commands(advise(project, judged)) == [
        f"modelyard train {kept} --set 'network={{kind: neuron}}' --set fit.bagging=false",
        f"modelyard sweep {kept}",
    ]
    boosting = record({**LOST, "boosting": 0.95}, {"boosting": "worse"}, "not_worse_than: boosting")
    (first, _) = commands(advise(project, boosting))
    assert first.endswith("--set 'network={kind: mlp, members: 5, trees: 1000}'")


def test_what_is_to_be_beaten_is_not_equalled():
    config = of(TABLE)
    judged = record(LOST, {"logistic": "indistinguishable"}, "better_than: logistic")
    assert commands(advise(config, judged)) == [SWEEP]


def test_presets_above_the_present_one_are_offered_in_their_order():
    judged = record(LOST, {"majority": "better", "logistic": "better"}, "accuracy at_least 0.95")
    presets = {"best": {"network": {"members": 10}}, "quick": {}, "odd": {}}
    assert commands(advise(of(TABLE, presets, preset="quick"), judged)) == [
        f"{RUN}preset=standard",
        f"{RUN}preset=best",
        SWEEP,
    ]
    assert commands(advise(of(TABLE, presets, preset="best"), judged)) == [SWEEP]


def test_a_preset_that_needs_what_is_not_installed_is_not_offered(monkeypatch):
    judged = record(LOST, WORSE, "accuracy at_least 0.95")
    presets = {"best": {"network": {"kind": "encoder"}}}
    config = of({**TEXTS, "network": {"kind": "wide"}}, presets)
    monkeypatch.setattr("tasks.ladder.advice.find_spec", lambda name: None)
    assert commands(advise(config, judged)) == [SWEEP]
    monkeypatch.setattr("tasks.ladder.advice.find_spec", lambda name: object())
    assert commands(advise(config, judged)) == [f"{RUN}preset=best", SWEEP]


@pytest.mark.parametrize("lower", [False, True])
def test_where_nothing_beats_the_dummy_no_command_is_promised(lower):
    task, floor = ("regression", "median") if lower else ("classification", "majority")
    config = of(TABLE, task=task)
    near = {"candidate": 0.55, floor: 0.56, "boosting": 0.54 if lower else 0.58}
    found = advise(config, record(near, {}, f"better_than: {floor}", lower=lower))
    assert commands(found) == [None]
    assert f"no model of this run is better than {floor}" in found[0].why
    assert "100 test rows: give more rows, or columns that say more about label" in found[0].why


def test_a_dummy_whose_score_is_undefined_promises_nothing():
    config = of(TABLE)
    found = advise(config, record({"candidate": 0.9, "majority": math.nan}, {}, "better_than: majority"))
    assert commands(found) == [None]


def test_a_champion_of_another_split_is_led_out_of():
    config = of(TABLE)
    judged = record(
        {"candidate": 0.9, "majority": 0.5, "champion": math.nan}, {"majority": "better"},
        "not_worse_than: champion", errors={"champion": f"{OTHER_SPLIT}, on 90 of 100 test rows"},
    )  # fmt: skip
    assert commands(advise(config, judged))[0] == "modelyard retrain made --set split.exclude_seen=true"


def test_a_candidate_that_passed_needs_no_advice():
    passed = record({"candidate": 0.9, "majority": 0.5}, {"majority": "better"})
    assert advise(of(TABLE), passed) == ()


@pytest.mark.parametrize("settings", [TABLE, PICTURES, TEXTS])
@pytest.mark.parametrize("best", ["logistic", "boosting", "ngrams"])
@pytest.mark.parametrize("given", [(), ("network={kind: neuron}", "fit.bagging=false"), ("gate=[]",)])
def test_every_command_is_one_that_a_project_takes(tmp_path, settings, best, given):
    presets = {"best": {"fit": {"epochs": 90}}}
    folder = tmp_path / "data" / "made"
    folder.mkdir(parents=True)
    (folder / "project.yaml").write_text(yaml.safe_dump({**tree(**settings), "presets": presets}))
    project = load(tmp_path, "made", settings=given)
    scores = {"candidate": 0.7, "majority": 0.5, best: 0.9}
    judged = record(scores, {"majority": "better", best: "worse"}, f"not_worse_than: {best}")
    found = [command for command in commands(advise(project, judged)) if command]
    assert len(found) >= 2
    for command in found:
        program, verb, name, *rest = shlex.split(command)
        assert (program, name) == ("modelyard", "made") and verb in ("train", "sweep")
        config = load(tmp_path, "made", settings=tuple(rest[1::2])).config
        assert not config.fit.bagging or getattr(config.network, "members", 1) > 1
