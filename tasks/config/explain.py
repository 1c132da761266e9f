"""Schema errors told for people: dotted key, what was got, what was expected, the nearest known key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.config.cleaning import OPERATIONS
from tasks.config.data import (
    SOURCES,
    Columns,
    IdxSource,
    ImagesSource,
    OwnSource,
    PackageSource,
    Split,
    TableSource,
    TextsSource,
    Validate,
)
from tasks.config.judging import CRITERIA, BetterThan, Evaluate, Extra, Limit, NotWorseThan, Register
from tasks.config.learning import (
    KINDS,
    Augment,
    Cnn,
    Custom,
    Encode,
    Fit,
    Mlp,
    Neuron,
    Pretrained,
    Rnn,
    Wide,
    WideDeep,
    Words,
)
from tasks.config.retraining import Retrain
from tasks.config.schema import Config
from tasks.config.sweeping import Sweep, Values
from tasks.errors import ConfigError, did_you_mean, quoted

M = TypeVar("M", bound=BaseModel)

RENAMED = {
    "split.near": "split.max_near_duplicates",
    "split.apart": "split.disjoint_by",
    "split.trusted": "split.allow_leaky",
}
"""Keys of earlier releases and what they are called now."""


def validated(
    tree: dict[str, Any], path: Path, mistakes: Sequence[str] = (), settings: Sequence[str] = ()
) -> Config:
    """The project that `tree`, read from `path`, describes. Raises ConfigError with every error at once.

    Those of its presets are `mistakes`; what is wrong because of the chosen one is told as that one's, and
    what is wrong because of one of the `settings` of a command line as that one's.
    """
    if mistakes:
        theirs = f"presets.{tree.get('preset')}."
        others = [line for line in problems(tree, Config) if theirs + line not in mistakes]
        raise _refused([*others, *mistakes], path, settings)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise _refused(_lines(error, Config), path, settings) from None


def checked(tree: dict[str, Any], path: Path, schema: type[M]) -> M:
    """`tree`, read from `path`, as `schema` has it. Raises ConfigError with every error at once."""
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        raise _refused(_lines(error, schema), path) from None


def problems(tree: dict[str, Any], schema: type[BaseModel]) -> list[str]:
    """A line for each error in `tree`; none where it is as `schema` has it."""
    try:
        schema.model_validate(tree)
    except ValidationError as error:
        return _lines(error, schema)
    return []


def _lines(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    return [line for problem in error.errors() for line in _explain(problem, schema)]


def _refused(lines: list[str], path: Path, settings: Sequence[str] = ()) -> ConfigError:
    placed = [_placed(line, settings) for line in lines]
    if len(lines) == 1:
        return ConfigError(placed[0] if placed != lines else f"{path}: {lines[0]}")
    shown = "\n  ".join(placed[:20])
    return ConfigError(f"{path}: {len(lines)} errors\n  {shown}")


def _placed(line: str, settings: Sequence[str]) -> str:
    """The line, with its place before it where its key was set on the command line."""
    key = line.partition(": ")[0]
    theirs = any(f"{key}.".startswith(f"{setting.partition('=')[0]}.") for setting in settings)
    return f"--set {line}" if theirs else line


def _explain(problem: Any, schema: type[BaseModel]) -> list[str]:
    """The lines that tell a person about one of pydantic's errors."""
    tags = {*OPERATIONS, *KINDS, "custom", "own", *SOURCES, *CRITERIA}
    location = list(problem["loc"])
    # A union's tag stands in the location as if it were a key; a key of that name is the last entry.
    parts = [
        str(p)
        for i, p in enumerate(location)
        if not (p in tags and i and i < len(location) - 1 and _is_tag(location, i))
    ]
    key = ".".join(parts)
    if problem["type"] == "extra_forbidden" and key in RENAMED:
        return [f"{key}: is called {RENAMED[key]} now; rename the key"]
    if problem["type"] == "extra_forbidden":
        return [f"{key}: unknown key; {did_you_mean(parts[-1], _keys(parts[:-1], location, schema))}"]
    if problem["type"] == "missing":
        return [f"{key}: required, but absent"]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return [f"{key}: {line}" if key else line for line in message.splitlines()]
    value = problem["input"]
    if problem["type"] == "literal_error" and isinstance(value, str):
        return [f"{key}: got {quoted(value)}; {did_you_mean(value, _CHOICE.findall(message))}"]
    if problem["type"] in ("network", "source") and isinstance(value, dict) and "kind" in value:
        key, value = f"{key}.kind", value["kind"]
    got = "a mapping" if isinstance(value, dict) else quoted(value)
    message = (
        _PYTHON_WORDS.sub("", message).replace("valid tuple", "list").replace("valid dictionary", "mapping")
    )
    return [f"{key}: got {got}; {message[:1].lower()}{message[1:]}"]


_CHOICE = re.compile(r"'([^']*)'")
_PYTHON_WORDS = re.compile(r" or (instance of \w+|object to extract fields from)")


def _is_tag(location: list[Any], i: int) -> bool:
    return location[i - 1] in ("network", "source") or isinstance(location[i - 1], int)


def _keys(parts: list[str], location: list[Any], schema: type[BaseModel]) -> list[str]:
    """Keys that are known where an unknown one was found."""
    if schema is not Config:
        return _plain_keys(parts, schema)
    models: dict[str, type[BaseModel]] = {
        "columns": Columns,
        "validate": Validate,
        "split": Split,
        "encode": Encode,
        "encode.words": Words,
        "fit": Fit,
        "fit.augment": Augment,
        "evaluate": Evaluate,
        "register": Register,
        "retrain": Retrain,
        "sweep": Sweep,
        "": Config,
        "network.neuron": Neuron,
        "network.mlp": Mlp,
        "network.cnn": Cnn,
        "network.rnn": Rnn,
        "network.wide": Wide,
        "network.wide_deep": WideDeep,
        "network.encoder": Pretrained,
        "network.custom": Custom,
        "source.table": TableSource,
        "source.idx": IdxSource,
        "source.images": ImagesSource,
        "source.texts": TextsSource,
        "source.package": PackageSource,
        "source.own": OwnSource,
        "steps": Extra,
        **{f"clean.{name}": model for name, model in OPERATIONS.items()},
        "gate.better_than": BetterThan,
        "gate.not_worse_than": NotWorseThan,
        "gate.metric": Limit,
    }
    if parts[:2] == ["sweep", "space"]:
        return list(Values.model_fields)
    path = ".".join(str(p) for p in location[:-1] if not isinstance(p, int))
    model = models.get(path) or models.get(".".join(parts)) or Config
    return [field.alias or name for name, field in model.model_fields.items()]


def _plain_keys(parts: list[str], schema: type[BaseModel]) -> list[str]:
    """The same for a schema without unions: its sections are followed by name."""
    for part in parts:
        section = schema.model_fields[part].annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            schema = section
    return list(schema.model_fields)
