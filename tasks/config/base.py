"""What every section shares: strictness, and the names of metrics and rungs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.own import extension

Task = Literal["regression", "classification"]

METRICS: dict[str, dict[str, bool]] = {
    "classification": {
        "accuracy": True,
        "balanced_accuracy": True,
        "f1_macro": True,
        "log_loss": False,
    },
    "regression": {"rmse": False, "mae": False, "rmsle": False, "r2": True},
}
"""Metric names by kind of task; True where higher is better."""

BASELINES: dict[str, tuple[str, ...]] = {
    "classification": ("majority", "logistic", "bayes", "boosting", "svm", "ngrams"),
    "regression": ("median", "ridge", "boosting"),
}
"""Rungs that a project may ask for, by kind of task, simplest first."""


def dummy(task: Task) -> str:
    """The model that knows nothing but the target: the one that each candidate has to beat."""
    return BASELINES[task][0]


def with_dummy(task: Task, names: Iterable[str]) -> tuple[str, ...]:
    """The baselines that are fitted: the listed ones, and the dummy before them if it is not among them."""
    listed = tuple(names)
    return listed if dummy(task) in listed else (dummy(task), *listed)


STANDARD = "standard"
"""The preset that is a project's file as it stands."""


OwnName = Annotated[str, Field(pattern=extension.PATTERN)]
"""A part of the user's own by its import path, `package.module:name`."""


def higher_is_better(task: Task, metric: str) -> bool:
    """Direction of a metric: from `METRICS`, or as a project's own says it.

    Raises:
        ConfigError: The project's own can't be found.
    """
    if extension.is_own(metric):
        return bool(extension.resolve(metric, "metric").higher_is_better)
    return METRICS[task][metric]


class Strict(BaseModel):
    """Unknown keys are errors, and nothing can be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def keys_of(value: Any) -> Iterable[str]:
    """Keys of a mapping or a model; a union's tag is looked for among them."""
    return value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
