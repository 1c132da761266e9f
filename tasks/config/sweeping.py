"""Section about searching for better settings, and what of a project a search may change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from tasks.config.base import Strict
from tasks.errors import did_you_mean, quoted

FIXED = {
    "fit.device", "fit.threads", "fit.minutes",  # how it is computed, not what is learned
    "fit.metric", "fit.refit", "fit.bagging",  # what trials are judged by; none is trained on validation rows
    "network.kind", "network.options",
}  # fmt: skip
"""Settings of the searched sections that stay as they are."""


class Values(Strict):
    """What one setting is searched over: a list of values, or numbers from `low` to `high`."""

    choices: tuple[Any, ...] | None = None
    """Values of any kind; a list by itself means the same."""
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    """Whether equal factors, rather than equal differences, are equally likely."""
    step: int | float | None = Field(None, gt=0)
    """Distance between values; by default any value in between, or any whole one."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_choices(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return {"choices": value}
        if not isinstance(value, (dict, Values)):
            raise ValueError(f"got {quoted(value)}; expected a list of values, or {{low: …, high: …}}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Values:
        if self.choices is not None:
            if (self.low, self.high, self.log, self.step) != (None, None, False, None):
                raise ValueError("expected choices alone, or low and high")
            if len(self.choices) < 2:
                raise ValueError("expected at least two values")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("expected a low and a higher high, or a list of values")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above zero, and takes no step")
        return self

    @property
    def in_between(self) -> float:
        """A number between the bounds that is no whole one."""
        assert self.low is not None
        assert self.high is not None
        return self.low + (self.high - self.low) / math.pi


class Sweep(Strict):
    """How `modelyard sweep` searches; a project that has no `space` gets one that fits its network."""

    space: dict[str, Values] = Field(default_factory=dict)
    """Dotted keys of `fit`, `network` and `encode`, each with what is tried: `[0.0, 0.2]`, or
    `{low: 0.0001, high: 0.01, log: true}`. Where it is given, nothing else is searched."""
    pruner: Literal["median", "halving", "none"] = "median"
    """Which trials end early: those below the median of earlier ones at the same epoch, all but a third at
    each rung of successive halving, or none."""


def problems(space: Mapping[str, Values], sections: Mapping[str, BaseModel]) -> list[str]:
    """What is wrong with a space, a line a key: names that are no setting, values that it does not take."""
    found = []
    for key, values in space.items():
        place = f"sweep.space.{key}"
        if key in FIXED:
            found.append(f"{place}: stays as it is in a sweep")
            continue
        if not searchable(key, sections):
            known = (name for name in _names(sections) if name not in FIXED)
            found.append(f"{place}: no setting that a sweep can change; {did_you_mean(key, known)}")
            continue
        tried = values.choices if values.choices is not None else (values.low, values.high)
        wrong = [f"{place}: {problem}" for value in tried if (problem := refusal(key, value, sections))]
        if not wrong and values.choices is None and not isinstance(values.low, int):
            wrong = [
                f"{place}: {problem}" for problem in [refusal(key, values.in_between, sections)] if problem
            ]
        found += wrong
    return found


def searchable(key: str, sections: Mapping[str, BaseModel]) -> bool:
    """Whether a search may change the setting; options of a network of the project's own have any name."""
    if key.startswith("network.options.") and hasattr(sections["network"], "options"):
        return True
    return key not in FIXED and key in _names(sections)


def refusal(key: str, value: Any, sections: Mapping[str, BaseModel]) -> str:
    """Why the setting can't have the value; empty where it can."""
    first, *path = key.split(".")
    section = sections[first]
    tree = section.model_dump()
    inner = tree
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    try:
        type(section).model_validate(tree)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        return f"got {quoted(value)}; {message[:1].lower()}{message[1:]}"
    return ""


def _names(sections: Mapping[str, BaseModel]) -> list[str]:
    return [name for section, model in sections.items() for name in _below(section, model)]


def _below(prefix: str, model: BaseModel) -> Iterator[str]:
    for name in type(model).model_fields:
        held = getattr(model, name)
        if isinstance(held, BaseModel):
            yield from _below(f"{prefix}.{name}", held)
        else:
            yield f"{prefix}.{name}"
