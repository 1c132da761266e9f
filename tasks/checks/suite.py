"""An expectation suite as its JSON file states it, and how each expectation went.

Reading and checking a suite's shape needs no Great Expectations, whose import alone takes 2.5 s; `run`
brings it in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from tasks.checks import allowed
from tasks.errors import ConfigError, did_you_mean, quoted
from tasks.spans import span
from tasks.starting.importing import undisturbed

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warn"]
Word = Literal["pass", "warn", "quarantined", "fail", "could not run"]

SEVERITIES: dict[str, Severity] = {"critical": "error", "warning": "warn", "info": "warn"}
"""Great Expectations' words for how much a failure matters, and ours."""

UNJUDGED = "the data is in no state to be judged"
"""Why no expectation ran on data without rows or without clear column names."""

_SUITE_KEYS = ("name", "expectations", "meta", "notes", "id")
_ENTRY_KEYS = ("type", "kwargs", "severity", "meta", "notes", "description", "id")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One expectation as the file states it."""

    type: str
    kwargs: Mapping[str, Any]
    severity: Severity = "error"
    notes: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the data must have for it to run; empty for one about the whole table."""
        if self.type.startswith("expect_table_"):
            return ()
        single = [self.kwargs[key] for key in ("column", "column_A", "column_B") if key in self.kwargs]
        return tuple(str(name) for name in [*single, *self.kwargs.get("column_list", ())])

    @property
    def rule(self) -> str:
        """Its arguments but the columns, for people: `min_value 0, max_value 10`."""
        told = [f"{key} {_told(value)}" for key, value in self.kwargs.items() if not key.startswith("column")]
        return ", ".join(told)

    def outcome(self, *, success: bool = False, **fields: Any) -> Outcome:
        """How it went, with `fields` of Outcome."""
        return Outcome(
            type=self.type,
            column=", ".join(self.columns) or None,
            severity=self.severity,
            success=success,
            rule=self.rule,
            notes=self.notes,
            **fields,
        )


@dataclass(frozen=True)
class Suite:
    """A suite as its file states it; `digest` is the sha256 of the file."""

    name: str
    entries: tuple[Entry, ...]
    path: Path
    digest: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one expectation went, without cell values unless they were asked for."""

    type: str
    column: str | None
    severity: Severity
    success: bool
    rule: str
    notes: str = ""
    could_not_run: str = ""
    """Why it could not be judged; then `success` is False and says nothing about the data."""
    unexpected: int | None = None
    """Cells or rows that break it."""
    percent: float | None = None
    """Share of the judged cells that break it, 0 to 100."""
    observed: str = ""
    rows: tuple[int, ...] | None = None
    """Ids of the rows that break it; None for an expectation about a whole column or table."""
    examples: tuple[str, ...] = ()

    @property
    def word(self) -> Word:
        """What it means for the data."""
        if self.could_not_run:
            return "could not run"
        if self.success:
            return "pass"
        if self.severity == "warn":
            return "warn"
        # Rows that are known can be set aside; a failure that names none is one of the whole.
        return "quarantined" if self.rows else "fail"

    @property
    def title(self) -> str:
        """`column: type`, as messages and the quarantine name it."""
        return f"{self.column}: {self.type}" if self.column else self.type


def load(path: Path) -> Suite:
    """Reads a suite file and checks its shape; types and arguments are checked by `run`.

    Raises:
        ConfigError: The file is missing, is no JSON, or does not have the shape of a suite.
    """
    tree, text = _read(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.name}: expected a JSON object with the keys name and expectations")
    _known(path, "", tree, _SUITE_KEYS)
    listed = tree.get("expectations")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(
            f"{path.name}: the suite holds no expectations", fix="add at least one to 'expectations'"
        )
    name = tree.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w-]{0,63}", name):  # it names files of the docs
        raise ConfigError(f"{path.name}: name: got {quoted(name)}; expected letters, digits, _ and -")
    entries = tuple(_entry(path, position, item) for position, item in enumerate(listed))
    return Suite(name, entries, path, hashlib.sha256(text.encode()).hexdigest())


def run(suite: Suite, rows: pd.DataFrame | None, docs: Path, *, show_values: bool) -> tuple[Outcome, ...]:
    """Judges rows by the suite and writes Data Docs, whatever comes out.

    Args:
        suite: Read by `load`.
        rows: (n, columns) indexed by row id; None when the data is in no state to be judged, which
            makes every outcome `could_not_run`.
        docs: Folder for the static site; made here.
        show_values: Whether outcomes and Data Docs may quote cell values.

    Returns:
        One outcome an expectation, in the order of the suite.

    Raises:
        ConfigError: An unknown expectation type or argument.
        DataRejected: Great Expectations failed as a whole, or judged fewer expectations than asked.
    """
    with undisturbed():
        from tasks.checks import judging  # noqa: PLC0415 - imports Great Expectations

    with span("Great Expectations"):
        return judging.judge(suite, rows, docs, show_values=show_values)


def _read(path: Path) -> tuple[Any, str]:
    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is no JSON number")

    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=refuse), text
    except FileNotFoundError:
        near = [file.name for file in sorted(path.parent.glob("*.json"))]
        raise ConfigError(
            f"{path}: no such suite (validate.suite)", fix=did_you_mean(path.name, near)
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror} (validate.suite)") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name}: not a readable JSON suite: {error}") from None


def _known(path: Path, place: str, tree: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in tree:
        if key not in keys:
            raise ConfigError(f"{path.name}: {place}{key}: unknown key; {did_you_mean(key, keys)}")


def _entry(path: Path, position: int, item: Any) -> Entry:
    place = f"{path.name}: expectations[{position}]"
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise ConfigError(f"{place}: expected an object with a 'type'")
    _known(path, f"expectations[{position}].", item, _ENTRY_KEYS)
    kwargs, meta = item.get("kwargs", {}), item.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        raise ConfigError(f"{place} {item['type']}: kwargs and meta must be objects")
    severity = item.get("severity", "critical")
    if not isinstance(severity, str) or severity not in SEVERITIES:
        near = did_you_mean(str(severity), SEVERITIES)
        raise ConfigError(f"{place} {item['type']}: severity: got {quoted(severity)}; {near}")
    allowed.check(item["type"], kwargs, place)
    notes = item.get("notes") or meta.get("notes") or item.get("description") or ""
    told = " ".join(map(str, notes)) if isinstance(notes, list) else str(notes)
    return Entry(type=item["type"], kwargs=kwargs, severity=SEVERITIES[severity], notes=told)


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value[:12])) + (f", … ({len(value)})" if len(value) > 12 else "")
    return str(value)
