"""YAML with no surprises: plain mappings, lists, text, numbers, true, false and null.

Left out on purpose, each refused or read as text: tags (they build objects), aliases (323 bytes of
them can mean 39 MB), duplicate keys (the last would win silently), and the older words of YAML 1.1,
by which `no` is false, 12:30:45 is 45045 and 010 is 8, while 1e-3 is text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tasks.errors import ConfigError, UnsafeInput, quoted

_PREFIX = "tag:yaml.org,2002:"
_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]{0,18})",
    "float": r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+|\.[0-9]+[eE][-+]?[0-9]+"
    r"|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}
_ACCEPTED = {_PREFIX + name for name in (*_SCALARS, "str", "seq", "map")}


class _Refused(yaml.constructor.ConstructorError):
    """A tag that is none of the plain ones."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the name and type are PyYAML's

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not accepted", mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node.tag not in _ACCEPTED:
            problem = f"the tag {quoted(node.tag)} is not accepted"
            raise _Refused(None, None, problem, node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key.start_mark)
            if key.value in seen:
                problem = f"the key {quoted(key.value)} stands here twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_PREFIX + _name, re.compile(f"^(?:{_pattern})$"), None)


def parse(text: bytes | str, place: str) -> Any:
    """The plain data that `text` spells.

    Args:
        text: One YAML document.
        place: What messages call it: a file, or an option of the command line.

    Raises:
        ConfigError: Not YAML, or YAML of a kind that is left out; names line and column.
        UnsafeInput: A tag, by which YAML builds objects.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.constructor.ConstructorError as error:
        kind = UnsafeInput if isinstance(error, _Refused) else ConfigError
        raise kind(f"{place}{_at(error.problem_mark)}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{place}{_at(error.problem_mark)}: not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = 1 + (before.count(b"\n") if isinstance(before, bytes) else before.count("\n"))
        raise ConfigError(
            f"{place}:{line}: not YAML: byte or character {error.character:#x} is not text",
            fix="save the file as UTF-8",
        ) from None
    except RecursionError:
        raise ConfigError(f"{place}: not YAML that a person wrote: nested too deeply") from None


def _at(mark: yaml.Mark | None) -> str:
    return f":{mark.line + 1}:{mark.column + 1}" if mark else ""
