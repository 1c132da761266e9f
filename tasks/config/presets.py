"""Presets: named settings that are laid over a project's own.

    preset: standard                  # the one that is chosen where --set says nothing
    presets:
      quick: {fit: {epochs: 1}}
      best: {network: {kind: encoder}}

`standard` is the file as it stands. Sections are laid over each other key by key; a list is replaced,
and so is a section of another `kind`, whose keys mean something else. A preset decides how is learned
and judged, never from which rows: what presets of one project give can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.config.base import STANDARD
from tasks.config.explain import problems
from tasks.config.schema import Config
from tasks.errors import did_you_mean, quoted

SECTIONS = ("encode", "network", "fit", "evaluate", "gate")
"""What a preset may say."""
KEYS = ("preset", "presets")


def laid(tree: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings under the chosen preset, and a line for each mistake in any preset.

    Args:
        tree: A project's settings as they stand in its file.

    Returns:
        The settings without `presets`. A mistake of the chosen preset's has a line here; whoever checks
        the settings leaves it out there.
    """
    plain = {key: value for key, value in tree.items() if key != "presets"}
    named, name = tree.get("presets", {}), plain.setdefault("preset", STANDARD)
    if not isinstance(named, dict):
        return plain, [f"presets: got {quoted(named)}; expected names, each with sections"]
    known = {STANDARD: {}, **{str(key): partial for key, partial in named.items()}}
    usual = problems(plain, Config)
    found = [line for key, partial in named.items() for line in _mistakes(key, plain, partial, usual)]
    if isinstance(name, str) and name not in known:
        found.append(f"preset: unknown name {quoted(name)}; {did_you_mean(name, known)}")
    chosen = known.get(name, {}) if isinstance(name, str) else {}
    return over(plain, chosen if isinstance(chosen, dict) else {}), found


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the settings of `above` in it; both stay as they are."""
    made = dict(below)
    for key, value in above.items():
        there = made.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping) and _of_one_kind(there, value):
            made[key] = over(there, value)
        else:
            made[key] = value
    return made


def _of_one_kind(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return "kind" not in above or above["kind"] == below.get("kind")


def _mistakes(name: str, plain: Mapping[str, Any], partial: Any, usual: list[str]) -> list[str]:
    """What is wrong with one preset, and not with the file that it is laid over."""
    if not isinstance(partial, dict):
        return [f"presets.{name}: got {quoted(partial)}; expected sections"]
    foreign = [key for key in partial if key not in SECTIONS]
    rest = {key: value for key, value in partial.items() if key in SECTIONS}
    lines = [f"{key}: not for a preset, which sets {', '.join(SECTIONS)}" for key in foreign]
    lines += [line for line in problems(over(plain, rest), Config) if line not in usual]
    return [f"presets.{name}.{line}" for line in lines]
