"""Turn records into plain JSON data and back."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

T = typing.TypeVar("T")


def to_json(value: Any) -> Any:
    """`value`, a record or a container of records, as plain JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[T], data: Any) -> T:
    """The record of type `kind` that `to_json` turned into `data`."""
    return typing.cast(T, _read(kind, data))


def _read(kind: Any, data: Any) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return None if data is None else _read(inner[0], data)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(args[0], item) for item in data)
    if origin is tuple:
        return tuple(_read(arg, item) for arg, item in zip(args, data, strict=True))
    if origin is dict:
        return {key: _read(args[1], item) for key, item in data.items()}
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: _read(hints[f.name], data[f.name]) for f in dataclasses.fields(kind)})  # type: ignore[operator]
    return kind(data) if kind in (Path, float) and data is not None else data
