"""What to do after a rejection: the nearest commands that could pass, chosen from the models of this run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from math import isfinite
from typing import Any

from tasks.config import STANDARD, Config, IdxSource, ImagesSource, Project, dummy
from tasks.ladder.gate import CHAMPION
from tasks.ladder.rungs import OTHER_SPLIT
from tasks.records import EvaluateRecord, Score, Suggestion
from tasks.wording import number

PRESETS = ("quick", STANDARD, "best")
"""Presets from the cheapest to the best; a project need not have all of them."""
LEARNING = ("network", "fit", "encode")
"""Sections that say how is learned; what a run was told of them is what did not pass."""
LINEAR = ("logistic", "ridge")
TREES = 1000
"""Boosted trees that are blended with a network where boosting alone is better."""
MOST = 3
"""Suggestions of one run."""


def advise(project: Project, record: EvaluateRecord) -> tuple[Suggestion, ...]:
    """What could pass after the gate refused the candidate, the nearest first; empty if it did not.

    Args:
        project: The project as this run was told to train it.
        record: The models of the run and the gate.
    """
    if record.passed:
        return ()
    found = [*_other_split(project, record), *_better_presets(project)]
    if not any(_is_better_than_dummy(score, project.config, record) for score in record.scores):
        found = [_nothing_to_learn(project.config, record), *found]
    else:
        found = [*_like_the_best(project, record), *found, _sweep(project)]
    return tuple(dict.fromkeys(found))[:MOST]


def _is_better_than_dummy(score: Score, config: Config, record: EvaluateRecord) -> bool:
    """Whether a model, champion included, lies beyond the dummy by both intervals."""
    sign = 1 if record.higher_is_better else -1
    floor = next((other for other in record.scores if other.name == dummy(config.task)), None)
    if floor is None or not (isfinite(floor.value) and isfinite(score.value)):
        return False
    one, other = (
        [sign * end for end in (each.value, each.low, each.high) if isfinite(end)] for each in (score, floor)
    )
    return min(one) > max(other)


def _nothing_to_learn(config: Config, record: EvaluateRecord) -> Suggestion:
    name = dummy(config.task)
    floor = record.score(name)
    why = (
        f"no model of this run is better than {name} ({record.metric} {number(floor.value)}) beyond chance "
        f"on {record.rows:,} test rows: give more rows, or columns that say more about {config.target}, or "
        f"expect no more than {name}"
    )
    return Suggestion(command=None, why=why)


def _other_split(project: Project, record: EvaluateRecord) -> Iterator[Suggestion]:
    """Test rows that the champion can be judged on."""
    errors = [score.error for score in record.scores if score.name == CHAMPION and score.error]
    if any(OTHER_SPLIT in error for error in errors):
        why = "tests on rows that the champion did not learn from"
        yield Suggestion(command=_command("retrain", project, "split.exclude_seen=true"), why=why)


def _like_the_best(project: Project, record: EvaluateRecord) -> Iterator[Suggestion]:
    """A network that equals the best baseline, where that equals or beats the candidate."""
    sign = 1 if record.higher_is_better else -1
    words = {verdict.against: verdict.verdict for verdict in record.verdicts}
    able = [
        score
        for score in record.scores
        if words.get(score.name) in ("worse", "indistinguishable")
        and score.name != CHAMPION
        and _is_better_than_dummy(score, project.config, record)
    ]
    best = max(able, key=lambda score: sign * score.value, default=None)
    refused = [result.criterion for result in record.gate if not result.passed]
    if best is None or any(criterion.startswith(f"better_than: {best.name}") for criterion in refused):
        return  # what has to be beaten is not equalled
    what, settings = _network_like(best.name, project)
    if settings:
        value = f"{record.metric} {number(best.value)}"
        why = f"{best.name} is the best baseline of this run ({value}); {what} comes near it"
        yield Suggestion(command=_command("train", project, *settings), why=why)


def _network_like(name: str, project: Project) -> tuple[str, tuple[str, ...]]:
    """The network that does what a baseline does, in words and settings; none where there is none left."""
    config = project.config
    kind, table = config.network.kind, not isinstance(config.source, (IdxSource, ImagesSource))
    if config.columns.text is not None:
        return "a network of n-grams", () if kind == "wide" else ("network={kind: wide}",)
    if name in LINEAR and kind != "neuron":
        one_by_one = ("fit.bagging=false",) if table and _may_bag(project) else ()
        return "a linear network", ("network={kind: neuron}", *one_by_one)
    if name != "boosting" or getattr(config.network, "trees", None):
        return "", ()
    as_filed = kind == "mlp" and not _changed(project)
    whole = f"network={{kind: mlp, members: 5, trees: {TREES}}}"
    return "a blend with boosted trees", (f"network.trees={TREES}" if as_filed else whole,)


def _may_bag(project: Project) -> bool:
    """Whether the file may ask for bagging, which needs members; what this run was told is not carried on."""
    return project.config.fit.bagging or _changed(project)


def _changed(project: Project) -> bool:
    """Whether this run's network or training were other ones than the file's."""
    return project.config.preset != STANDARD or any(_section(each) in LEARNING for each in project.settings)


def _better_presets(project: Project) -> Iterator[Suggestion]:
    """Presets above the one that was used, the next one first."""
    if project.config.preset not in PRESETS:
        return
    for name in PRESETS[PRESETS.index(project.config.preset) + 1 :]:
        if name == STANDARD or (name in project.presets and _installed(project.presets[name])):
            why = f"the preset {name}, which costs more and learns better as a rule"
            yield Suggestion(command=_command("train", project, f"preset={name}"), why=why)


def _installed(preset: Any) -> bool:
    """Whether a pretrained encoder, if the preset names one, could be loaded."""
    network = preset.get("network") if isinstance(preset, dict) else None
    kind = network.get("kind") if isinstance(network, dict) else None
    return kind != "encoder" or find_spec("transformers") is not None


def _sweep(project: Project) -> Suggestion:
    why = "searches for better settings on validation rows, and shows the winner as an edit of project.yaml"
    return Suggestion(command=_command("sweep", project), why=why)


def _command(verb: str, project: Project, *settings: str) -> str:
    """A command line with what this run was told about its data and its bar, and with `settings`."""
    kept = [each for each in project.settings if _section(each) not in (*LEARNING, "preset")]
    source = ["--source", str(project.source)] if project.source is not None else []
    words = ["modelyard", verb, project.config.name, *source]
    return shlex.join([*words, *(word for each in (*kept, *settings) for word in ("--set", each))])


def _section(setting: str) -> str:
    return setting.partition("=")[0].partition(".")[0]
