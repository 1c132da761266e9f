"""Settings written into a project's YAML by the smallest edit: comments, order and layout stay.

Values are replaced where they stand; a key that is new comes last in its section. What was written is
parsed again and must be what was meant.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import yaml

from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def rewritten(text: str, changes: Mapping[str, Any], place: str, preset: str = "") -> str:
    """`text` with each setting, by its dotted key, at its new value.

    Args:
        text: A project's YAML.
        changes: Plain values by dotted key.
        place: What messages call the text.
        preset: The preset under which they are in force: what it says itself is changed there.

    Raises:
        ConfigError: It is laid out in a way that can't be edited safely; `text` stays what it was.
    """
    before = parse(text, place)
    paths = {key: _path(before, key, preset) for key in changes}
    wanted = deepcopy(before)
    for key, value in changes.items():
        _assign(wanted, paths[key], value)
    try:
        for key, value in changes.items():
            text = _with(text, paths[key], value)
        right = parse(text, place) == wanted
    except (ConfigError, yaml.YAMLError):
        right = False
    if not right:
        settings = ", ".join(f"{key}: {_spelled(value)}" for key, value in changes.items())
        raise ConfigError(f"{place}: can't be edited without changing more", fix=f"set by hand: {settings}")
    return text


def difference(before: str, after: str, name: str) -> str:
    """What changed, as a patch that `git apply` and `patch -p1` take; empty where nothing did."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=1
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _path(tree: Any, key: str, preset: str) -> list[str]:
    """Where a setting is to be written: in the preset that says it, or has a section of another kind."""
    path = key.split(".")
    section = ["presets", preset, path[0]]
    of_another_kind = _holds(tree, [*section, "kind"]) and (
        tree["presets"][preset][path[0]]["kind"] != tree[path[0]].get("kind")
    )
    return [*section, *path[1:]] if of_another_kind or _holds(tree, [*section, *path[1:]]) else path


def _holds(tree: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _with(text: str, path: Sequence[str], value: Any) -> str:
    node, depth = _deepest(text, path)
    if depth == len(path):
        return _replaced(text, node, _spelled(value))
    for part in reversed(path[depth + 1 :]):
        value = {part: value}
    entry = f"{path[depth]}: {_spelled(value)}"
    if not isinstance(node, yaml.MappingNode):  # a section that is named and empty
        return _replaced(text, node, f"{{{entry}}}")
    return _added(text, node, entry)


def _deepest(text: str, path: Sequence[str]) -> tuple[yaml.Node, int]:
    """The node of the path, or the last one on the way there, and how many parts led to it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert node is not None  # it was parsed to a mapping before
    for depth, part in enumerate(path):
        held = {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        if part not in held:
            return node, depth
        node = held[part]
    return node, len(path)


def _replaced(text: str, node: yaml.Node, spelled: str) -> str:
    start, end = node.start_mark.index, _end(node)
    gap = " " if start == end and not text[:start].endswith(" ") else ""
    line = "\n" if text[start:end].endswith("\n") else ""  # a block of text ends with its last line
    return f"{text[:start]}{gap}{spelled}{line}{text[end:]}"


def _added(text: str, node: yaml.MappingNode, entry: str) -> str:
    """The mapping with one entry more, behind its last: in braces on the same line, else on a line below."""
    end = _end(node)
    if node.flow_style and not node.value:
        return f"{text[: end - 1]}{entry}{text[end - 1 :]}"
    last = _end(node.value[-1][1])
    if node.flow_style:
        return f"{text[:last]}, {entry}{text[last:]}"
    entry = f"{' ' * node.start_mark.column}{entry}"
    below = last if text[:last].endswith("\n") else text.find("\n", last) + 1
    if not below:
        return f"{text}\n{entry}\n"
    return f"{text[:below]}{entry}\n{text[below:]}"


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends; of a block that is where its last entry does, not what follows it."""
    block = isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not node.flow_style
    if not block or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _spelled(value: Any) -> str:
    """Plain data on one line, as `strict_yaml` reads it back."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_spelled(held)}" for key, held in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_spelled, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and parse(value, "a value") == value:
        return value
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())


def _assign(tree: Any, path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[path[-1]] = list(value) if isinstance(value, tuple) else value
