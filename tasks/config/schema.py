"""The whole of a project's settings, and the names in it that must exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import Field, model_validator

from tasks.config.base import BASELINES, METRICS, STANDARD, Strict, Task, higher_is_better, with_dummy
from tasks.config.cleaning import Operation
from tasks.config.data import Columns, Source, Split, Validate
from tasks.config.judging import BetterThan, Criterion, Evaluate, Extra, NotWorseThan, Register
from tasks.config.learning import Encode, Fit, Network
from tasks.config.retraining import Retrain
from tasks.config.sweeping import Sweep
from tasks.config.sweeping import problems as unsearchable
from tasks.errors import did_you_mean, quoted
from tasks.own import extension


class Config(Strict):
    """A whole project."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    task: Task
    source: Source
    target: str
    seed: int = Field(0, ge=0, lt=2**63)
    preset: str = STANDARD
    columns: Columns = Columns()
    validation: Validate = Field(default=Validate(), alias="validate")
    clean: tuple[Operation, ...] = ()
    split: Split = Split()
    encode: Encode = Encode()
    network: Network
    fit: Fit = Fit()
    evaluate: Evaluate
    gate: tuple[Criterion, ...] = ()
    register_as: Register = Field(alias="register")
    retrain: Retrain = Retrain()
    sweep: Sweep = Sweep()
    steps: tuple[Extra, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        if self.source.kind == "texts" and self.columns.text is None:
            raise ValueError("columns.text: required for texts: the name of their column, text in a folder")
        metrics = METRICS[self.task]
        rungs = (*with_dummy(self.task, self.evaluate.baselines), "champion")
        problems = [
            _unmade(f"evaluate.baselines.{i}", name, BASELINES[self.task])
            for i, name in enumerate(self.evaluate.baselines)
        ]
        problems.append(_unmade("evaluate.metric", self.evaluate.metric, metrics))
        problems.append(_unmade("fit.metric", self.fit.metric, metrics))
        for i, criterion in enumerate(self.gate):
            if isinstance(criterion, BetterThan):
                problems.append(_unknown(f"gate.{i}.better_than", criterion.better_than, rungs))
            elif isinstance(criterion, NotWorseThan):
                problems.append(_unknown(f"gate.{i}.not_worse_than", criterion.not_worse_than, rungs))
            else:
                problems.append(_unmade(f"gate.{i}.metric", criterion.metric, metrics))
                problems.append(_unknown(f"gate.{i}.slice", criterion.slice, self.evaluate.slices))
        problems.append(_ambiguous("evaluate.baselines", [*rungs, "candidate"]))
        problems.append(_ambiguous("evaluate.metric", {*metrics, *self.own_metrics}))
        problems.append(_ambiguous("steps", [extra.name for extra in self.steps]))
        problems += unsearchable(self.sweep.space, self.searched)
        if found := [problem for problem in problems if problem]:
            raise ValueError("\n".join(found))
        return self

    @property
    def searched(self) -> dict[str, Strict]:
        """The sections that a sweep may change; all else stays, so that its trials can be compared."""
        return {"fit": self.fit, "network": self.network, "encode": self.encode}

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Import paths of the metrics that are the project's own."""
        asked = (self.evaluate.metric, self.fit.metric, *(getattr(c, "metric", None) for c in self.gate))
        return tuple(dict.fromkeys(name for name in asked if name and extension.is_own(name)))

    @property
    def higher_is_better(self) -> bool:
        """Direction of the project's metric."""
        return higher_is_better(self.task, self.evaluate.metric)


def _unknown(key: str, name: str | None, known: Any) -> str | None:
    if name is None or name in known:
        return None
    return f"{key}: unknown name {quoted(name)}; {did_you_mean(name, known)}"


def _unmade(key: str, name: str | None, known: Any) -> str | None:
    """The same for what may be the project's own."""
    return None if extension.is_own(name) else _unknown(key, name, known)


def _ambiguous(key: str, names: Iterable[str]) -> str | None:
    """What is shown by its short name must be the only one that has it."""
    counted = Counter(extension.short(name) for name in names)
    twice = [name for name, count in counted.items() if count > 1]
    return f"{key}: two would be called {quoted(twice[0])}; give yours another name" if twice else None
