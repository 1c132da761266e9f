"""The whole of a project's settings, and the names in it that must exist."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from tasks.config.base import BASELINES, METRICS, Strict, Task
from tasks.config.cleaning import Operation
from tasks.config.data import Columns, Source, Split, Validate
from tasks.config.judging import BetterThan, Criterion, Evaluate, NotWorseThan, Register
from tasks.config.learning import Encode, Fit, Network
from tasks.config.retraining import Retrain
from tasks.errors import did_you_mean, quoted


class Config(Strict):
    """A whole project."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    task: Task
    source: Source
    target: str
    seed: int = Field(0, ge=0, lt=2**63)
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

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        metrics, rungs = METRICS[self.task], (*self.evaluate.baselines, "champion")
        problems = [
            _unknown(f"evaluate.baselines.{i}", name, BASELINES[self.task])
            for i, name in enumerate(self.evaluate.baselines)
        ]
        problems.append(_unknown("evaluate.metric", self.evaluate.metric, metrics))
        problems.append(_unknown("fit.metric", self.fit.metric, metrics))
        for i, criterion in enumerate(self.gate):
            if isinstance(criterion, BetterThan):
                problems.append(_unknown(f"gate.{i}.better_than", criterion.better_than, rungs))
            elif isinstance(criterion, NotWorseThan):
                problems.append(_unknown(f"gate.{i}.not_worse_than", criterion.not_worse_than, rungs))
            else:
                problems.append(_unknown(f"gate.{i}.metric", criterion.metric, metrics))
                problems.append(_unknown(f"gate.{i}.slice", criterion.slice, self.evaluate.slices))
        if found := [problem for problem in problems if problem]:
            raise ValueError("\n".join(found))
        return self

    @property
    def higher_is_better(self) -> bool:
        """Direction of the project's metric."""
        return METRICS[self.task][self.evaluate.metric]


def _unknown(key: str, name: str | None, known: Any) -> str | None:
    if name is None or name in known:
        return None
    return f"{key}: unknown name {quoted(name)}; {did_you_mean(name, known)}"
