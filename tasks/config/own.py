"""The parts of a project that are its own: where its settings name them, and whether they can be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tasks.config.cleaning import OwnOperation
from tasks.config.data import OwnSource
from tasks.config.learning import Custom
from tasks.config.schema import Config
from tasks.errors import ConfigError, quoted
from tasks.own import extension


@dataclass(frozen=True)
class Part:
    """One part by its import path.

    Attributes:
        key: The setting that names it.
        name: Its import path.
        takes: Names of the arguments that it is called with by position; see `tasks.own.contracts`.
        options: What it is given by name.
    """

    key: str
    name: str
    takes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


def parts(config: Config) -> list[Part]:
    """Every part that is the project's own, in the order of the settings."""
    return [*_of_data(config), *_of_the_bar(config)]


def _of_data(config: Config) -> Iterator[Part]:
    if isinstance(config.source, OwnSource):
        yield Part("source.kind", config.source.kind, ("project",), config.source.options)
    for i, operation in enumerate(config.clean):
        if isinstance(operation, OwnOperation):
            yield Part(f"clean.{i}", operation.run, ("rows",), operation.root[operation.run])
    if isinstance(config.network, Custom):
        yield Part("network.kind", config.network.kind, ("spec",), config.network.options)


def _of_the_bar(config: Config) -> Iterator[Part]:
    metrics = {"evaluate.metric": config.evaluate.metric, "fit.metric": config.fit.metric}
    metrics |= {f"gate.{i}.metric": getattr(rule, "metric", None) for i, rule in enumerate(config.gate)}
    for key, metric in metrics.items():
        if metric is not None and extension.is_own(metric):
            yield Part(key, metric, ("truth", "predictions"))
    for i, name in enumerate(config.evaluate.baselines):
        if extension.is_own(name):
            yield Part(f"evaluate.baselines.{i}", name, ("seed",))
    for i, extra in enumerate(config.steps):
        yield Part(f"steps.{i}.run", extra.run, ("context",), extra.options)


def digests(config: Config) -> dict[str, str]:
    """What the code of the project's own parts is, by top-level module; empty where there are none.

    Raises:
        ConfigError: A module is not there.
    """
    return extension.digests(part.name for part in parts(config))


def ours(config: Config) -> list[str]:
    """Names in `tasks` that the project's own parts are, or import."""
    return extension.ours(part.name for part in parts(config))


def require(config: Config) -> None:
    """Imports every part that is the project's own, and sees that it can be called as it will be.

    Raises:
        ConfigError: One of them is not there, can't be imported, or takes other arguments.
    """
    for part in parts(config):
        made = extension.resolve(part.name, part.key)
        if part.takes == ("truth", "predictions"):
            made = _rows_of(made, part)
        form = ", ".join((*part.takes, *(f"{name}=…" for name in part.options)))
        try:
            inspect.signature(made).bind(*part.takes, **part.options)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{part.key}: {quoted(part.name)} can't be called with ({form}): {error}",
                fix="tasks/own/contracts.py says what each part takes",
            ) from None


def _rows_of(metric: Any, part: Part) -> Any:
    """The function of a metric that looks at rows; its direction has to be said, for a guess costs a gate."""
    if not isinstance(getattr(metric, "higher_is_better", None), bool):
        raise ConfigError(
            f"{part.key}: {quoted(part.name)} has no attribute higher_is_better that is True or False",
            fix="write it below the function: NAME.higher_is_better = False",
        )
    if hasattr(metric, "statistics") and not callable(getattr(metric, "value", None)):
        raise ConfigError(f"{part.key}: {quoted(part.name)} has statistics, but no function value")
    return getattr(metric, "statistics", metric)
