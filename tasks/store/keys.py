"""What a step's output depends on: its inputs, the source that it reaches, the libraries in there."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tasks.records import to_json
from tasks.store.files import digest
from tasks.store.source import reached

LIBRARIES = {
    "great_expectations": "great-expectations",
    "mlxtend": "mlxtend",
    "numpy": "numpy",
    "pandas": "pandas",
    "PIL": "pillow",
    "pyarrow": "pyarrow",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""Packages whose version may change an output, and the distribution that each comes from."""
UNDER = {"pandas": ("numpy", "pyarrow"), "sklearn": ("numpy", "scipy"), "great_expectations": ("pandas",)}
"""Packages that compute beneath another one."""
MAKING = tuple(f"tasks.{step}" for step in ("validate", "clean", "split", "fit", "evaluate", "register"))
"""Modules of the steps that make a model, and judge it."""
SHORT = 24
"""Longest value, in characters, that a change shows."""


@dataclass(frozen=True)
class Change:
    """One part of a key that differs.

    Attributes:
        part: Its dotted name.
        before: What it was; None for a part that was not there.
        now: What it is.
    """

    part: str
    before: Any
    now: Any

    def __str__(self) -> str:
        """`fit.epochs 5 → 6`; the name alone where a value is long or a digest, and whether that is new."""
        shown = [_short(value) for value in (self.before, self.now)]
        if all(shown):
            return f"{self.part} {shown[0]} → {shown[1]}"
        if self.before is None:
            return f"{self.part} is new"
        return f"{self.part} is gone" if self.now is None else self.part


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    is_digest = len(text) >= 16 and set(text) <= set("0123456789abcdef")
    return "" if isinstance(value, (dict, list)) or len(text) > SHORT or is_digest else text


def made_of(inputs: Mapping[str, Any], *roots: str) -> dict[str, Any]:
    """All that an output depends on, as plain data.

    Args:
        inputs: Digests, settings, seed.
        roots: Modules whose code makes it, and names in `tasks` that others hand to them.
    """
    found = reached(*roots)
    libraries = {"python": ".".join(platform.python_version_tuple()[:2]), **versions(found.libraries)}
    return {**to_json(dict(inputs)), "source": found.modules, "libraries": libraries}


def key(inputs: Mapping[str, Any], *roots: str) -> str:
    """Digest of `made_of`, as long as the name of an output."""
    return digest(made_of(inputs, *roots))[:20]


def changes(before: Any, now: Any, prefix: str = "") -> Iterable[Change]:
    """Where two such dictionaries differ, by dotted name; of a list the name is the position."""
    if isinstance(before, list) and isinstance(now, list):
        before, now = ({str(place): item for place, item in enumerate(each)} for each in (before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            part = f"{prefix}.{name}" if prefix else name
            yield from changes(before.get(name), now.get(name), part)
    elif before != now:
        yield Change(prefix, before, now)


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions of those packages whose version may matter, and of what computes beneath them."""
    waiting, found = [*packages], set[str]()
    while waiting:
        package = waiting.pop()
        if package in LIBRARIES and package not in found:
            found.add(package)
            waiting += UNDER.get(package, ())
    return {name: _version(name) for name in sorted(LIBRARIES[package] for package in found)}


def library_versions() -> dict[str, str]:
    """Installed versions of all that computes in the making of a model."""
    return versions(reached(*MAKING).libraries)


def code_digest(*also: str) -> str:
    """Digest of the source that makes a model and judges it, and of what `also` names in `tasks`."""
    return digest(reached(*MAKING, *also).modules)
