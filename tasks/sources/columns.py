"""What any table's column names must be, and the target among them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from tasks.errors import ConfigError, DataRejected, ResourceLimit, did_you_mean, quoted

MAX_COLUMNS = 10_000
MAX_NAME = 200
"""Longest column name in characters."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")


def check_count(count: int, name: str) -> None:
    """Refuses more columns than a table may have."""
    if count > MAX_COLUMNS:
        raise ResourceLimit(f"{name}: holds {count:,} columns; the limit is {MAX_COLUMNS:,}")


def check_names(names: Sequence[str | None], name: str) -> None:
    """Refuses column names that would be confused, lost or mistaken for data.

    Args:
        names: Column names in order; None where there is none.
        name: The file, for messages.

    Raises:
        DataRejected: A name that is empty, stands twice, is padded, too long, holds invisible
            characters or mixes look-alike alphabets; or names that are numbers only.
    """
    if names and all(_NUMBER.fullmatch(column or "") for column in names):
        raise DataRejected(
            f"{name}: no header row: all {len(names)} column names are numbers",
            fix="put the columns' names into the first line",
        )
    seen: dict[str, int] = {}
    for position, column in enumerate(names, start=1):
        if not column or not column.strip():
            raise DataRejected(f"{name} column {position}: the name is empty", fix="name the column")
        if column in seen:
            raise DataRejected(
                f"{name}: two columns are called {quoted(column)}: columns {seen[column]} and {position}",
                fix="rename one of them",
            )
        seen[column] = position
        if problem := _problem(column):
            raise DataRejected(f"{name} column {position}: the name {quoted(_plain(column))} {problem}")


def _problem(column: str) -> str | None:
    """What is wrong with one name, and what to do; None when nothing is."""
    if len(column) > MAX_NAME:
        return f"has {len(column)} characters; use at most {MAX_NAME}"
    if column != column.strip():
        return "begins or ends with white space; remove it"
    hidden = [c for c in column if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn")]
    if hidden:
        return f"holds the invisible character U+{ord(hidden[0]):04X}; remove it"
    letters = {unicodedata.name(c, "").split(" ")[0] for c in column if c.isalpha()}
    scripts = [script for script in _SCRIPTS if script in letters]
    if len(scripts) > 1:
        return f"mixes {' and '.join(s.capitalize() for s in scripts)} letters that look alike; retype it"
    return None


def _plain(column: str) -> str:
    # Zero-width characters pass repr() unescaped on some terminals; shown, they help to find the name.
    return "".join(c if unicodedata.category(c) != "Cf" else f"\\u{ord(c):04x}" for c in column)


def check_target(target: str | None, names: Sequence[str], name: str) -> None:
    """Refuses a table without the target column. None asks for no target.

    Raises:
        DataRejected: The column is missing; the nearest name is suggested.
    """
    if target is not None and target not in names:
        raise DataRejected(f"{name}: no column {quoted(target)}, the target", fix=did_you_mean(target, names))


def check_label(target: str | None) -> None:
    """Refuses a target other than `label`, which is what images have.

    Raises:
        ConfigError: Another target.
    """
    if target not in (None, "label"):
        raise ConfigError(
            f"target: got {quoted(target)}; an image source's target is 'label'", fix="set target: label"
        )
