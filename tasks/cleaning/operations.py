"""The declared cleaning operations: each looks at one row at a time and remembers nothing.

`apply` runs where the training rows are cleaned, and again inside the registered model on the raw
rows that it is asked about; pandas and numpy only, because the module travels with the model. It
never removes a row: it says which rows hold a value that can't be read (`bad`) and which rows a
`keep` or an `only` would drop (`dropped`). Cleaning removes both; prediction answers the bad ones with their
reason and the dropped ones like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.cleaning import own
from tasks.cleaning.reading import DECIMAL, Cells, is_text, nowhere, read_as, read_numbers
from tasks.cleaning.texts import normalised
from tasks.errors import ConfigError, did_you_mean, quoted
from tasks.features.number import LARGEST
from tasks.own import extension

EVERY_TEXT = "*"
"""Stands for every text column in `missing`."""


@dataclass(frozen=True)
class Applied:
    """What the operations made of some rows.

    Attributes:
        rows: Every row that came in, in the same order under the same ids; a value that could not
            be read is missing.
        changed: Each operation in order with the cells that it changed, rows that it dropped
            (`keep`) or columns that it renamed (`rename`), counted in rows still in the running.
        bad: Row id to the reason why the row can't be used: operation and column, never the value.
        dropped: Ids of the rows that a `keep` or an `only` would drop; no bad row is among them.
    """

    rows: pd.DataFrame
    changed: tuple[tuple[str, int], ...]
    bad: dict[Any, str]
    dropped: pd.Index


@dataclass
class _Running:
    """The rows on their way through the operations."""

    rows: pd.DataFrame
    inside: np.ndarray
    """(n,) whether the row is neither bad nor dropped yet."""
    bad: dict[Any, str]
    dropped: np.ndarray

    def replace(self, name: str, cells: Cells, reason: str) -> int:
        """Puts `cells` in place of a column; the number of cells changed in rows still inside."""
        unreadable = self.inside & (False if cells.unreadable is None else cells.unreadable)
        for row in self.rows.index[unreadable]:
            self.bad[row] = reason
        self.inside = self.inside & ~unreadable
        self.rows[name] = cells.values.array
        return int((cells.changed & self.inside).sum())

    def drop(self, outside: np.ndarray) -> int:
        """Marks the rows where `outside` (n,) holds; how many of them were still inside."""
        now = outside & self.inside
        self.dropped = self.dropped | now
        self.inside = self.inside & ~now
        return int(now.sum())


def apply(
    rows: pd.DataFrame,
    operations: Sequence[Mapping[str, Any]],
    *,
    optional: Collection[str] = (),
    hidden: Collection[str] = (),
) -> Applied:
    """Runs the operations in order.

    Args:
        rows: Raw rows under unique ids; the frame is not changed.
        operations: One-key mappings of the configuration, such as `{"trim": ["Sale_Type"]}`.
        optional: Columns that may be absent; operations pass over them. At prediction time this is
            the target.
        hidden: Columns that operations of the project's own are not shown: the target, where it is.

    Returns:
        The rows, none removed, with counts and marks.

    Raises:
        ConfigError: An operation names a column that the rows don't have at that point, or gives
            two columns one name; one of the project's own breaks its contract.
    """
    unmarked = np.zeros(len(rows), dtype=bool)
    running = _Running(rows.copy(deep=False), ~unmarked, {}, unmarked)
    changed = []
    for position, operation in enumerate(operations):
        ((name, argument),) = operation.items()
        place = f"clean.{position}.{name}"
        if extension.is_own(name):
            count = _own(running, name, argument, f"clean.{position}", hidden)
        else:
            count = _OPERATIONS[name](running, argument, place, frozenset(optional))
        changed.append((extension.short(name), count))
    return Applied(running.rows, tuple(changed), running.bad, rows.index[running.dropped])


def _present(names: Collection[str], rows: pd.DataFrame, place: str, optional: frozenset[str]) -> list[str]:
    """Those of `names` that the rows have; absence is an error unless it is allowed."""
    for name in names:
        if name not in rows.columns and name not in optional:
            raise ConfigError(
                f"{place}: no column {quoted(name)}", fix=did_you_mean(name, map(str, rows.columns))
            )
    return [name for name in names if name in rows.columns]


def _own(
    running: _Running, name: str, options: Mapping[str, Any], place: str, hidden: Collection[str]
) -> int:
    before = running.rows
    running.rows = own.applied(before, name, options, place, hidden)
    return int(own.changes(before, running.rows)[running.inside].sum())


# --- operations: each returns how much it changed -----------------------------------------------------


def _types(running: _Running, wanted: Mapping[str, str], place: str, optional: frozenset[str]) -> int:
    count = 0
    for name in _present(wanted, running.rows, place, optional):
        cells = read_as(running.rows[name], wanted[name])
        count += running.replace(name, cells, f"{place}: {quoted(name)} can't be read as {wanted[name]}")
    return count


def _trim(running: _Running, names: Sequence[str], place: str, optional: frozenset[str]) -> int:
    found = _present(names, running.rows, place, optional)
    return sum(_rewrite(running, name, lambda text: " ".join(text.split())) for name in found)


def _case(running: _Running, wanted: Mapping[str, str], place: str, optional: frozenset[str]) -> int:
    found = _present(wanted, running.rows, place, optional)
    return sum(_rewrite(running, name, _CASES[wanted[name]]) for name in found)


_CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "title": str.title}


def _rewrite(running: _Running, name: str, change: Callable[[str], str]) -> int:
    """Changes the text cells of a column; cells that hold no text stay as they are."""
    column = running.rows[name]
    if not is_text(column):
        return 0
    old = list(column.astype(object))
    new = [change(cell) if isinstance(cell, str) else cell for cell in old]
    changed = np.array([isinstance(a, str) and a != b for a, b in zip(old, new, strict=True)], dtype=bool)
    kind = column.dtype if isinstance(column.dtype, pd.StringDtype) else object
    return running.replace(name, Cells(pd.Series(new, index=column.index, dtype=kind), changed), "")


def _missing(
    running: _Running, marks: Mapping[str, Sequence[str]], place: str, optional: frozenset[str]
) -> int:
    named = _present([name for name in marks if name != EVERY_TEXT], running.rows, place, optional)
    count = 0
    for name in running.rows.columns:
        column = running.rows[name]
        texts = [
            *(marks[name] if name in named else ()),
            *(marks.get(EVERY_TEXT, ()) if is_text(column) else ()),
        ]
        if texts:
            count += running.replace(name, _without(column, texts), "")
    return count


def _without(column: pd.Series, marks: Sequence[str]) -> Cells:
    """`column` with the cells that equal a mark made missing; a numeric mark also meets numbers."""
    if is_text(column):
        hit = column.isin(list(marks)).to_numpy(dtype=bool)
        return Cells(column.mask(hit), hit)
    numbers = [float(mark) for mark in marks if DECIMAL.fullmatch(mark)]
    if not numbers or not pd.api.types.is_numeric_dtype(column.dtype):
        return Cells(column, nowhere(column))
    hit = column.isin(numbers).to_numpy(dtype=bool)
    # Whole numbers can't hold a gap; the type must not depend on whether some row has one.
    room = column.astype("Int64") if pd.api.types.is_integer_dtype(column.dtype) else column
    return Cells(room.mask(hit), hit)


def _scale(running: _Running, factors: Mapping[str, float], place: str, optional: frozenset[str]) -> int:
    count = 0
    for name in _present(factors, running.rows, place, optional):
        column = running.rows[name]
        numbers, unreadable = read_numbers(column)
        with np.errstate(over="ignore"):
            scaled = numbers * factors[name]
        unreadable |= np.abs(scaled) > LARGEST
        changed = ~np.isnan(numbers) & (scaled != numbers)
        values = pd.Series(np.where(unreadable, np.nan, scaled), index=column.index)
        count += running.replace(
            name, Cells(values, changed, unreadable), f"{place}: {quoted(name)} holds no number"
        )
    return count


def _rename(running: _Running, names: Mapping[str, str], place: str, optional: frozenset[str]) -> int:
    found = _present(names, running.rows, place, optional)
    renamed = running.rows.rename(columns={name: names[name] for name in found})
    twice = renamed.columns[renamed.columns.duplicated()]
    if len(twice):
        raise ConfigError(
            f"{place}: two columns would be called {quoted(str(twice[0]))}", fix="choose a name that is free"
        )
    running.rows = renamed
    return len(found)


Limits = tuple[float | None, float | None]


def _keep(running: _Running, limits: Mapping[str, Limits], place: str, optional: frozenset[str]) -> int:
    """Marks rows whose number lies outside; one that is missing lies nowhere, so it goes too."""
    count = 0
    for name in _present(limits, running.rows, place, optional):
        column = running.rows[name]
        numbers, unreadable = read_numbers(column)
        low, high = limits[name]
        within = numbers >= (-np.inf if low is None else low)
        within &= numbers <= (np.inf if high is None else high)
        untouched = Cells(column, nowhere(column), unreadable)
        running.replace(name, untouched, f"{place}: {quoted(name)} holds no number")
        count += running.drop(~within)
    return count


def _only(running: _Running, named: Mapping[str, Sequence[str]], place: str, optional: frozenset[str]) -> int:
    """Marks rows whose value is none of those named; a gap is none of them."""
    count = 0
    for name in _present(named, running.rows, place, optional):
        allowed = read_as(pd.Series(list(named[name]), dtype="str"), "category").values
        found = read_as(running.rows[name], "category").values.isin(allowed)
        count += running.drop(~found.to_numpy(dtype=bool))
    return count


def _normalise(running: _Running, names: Sequence[str], place: str, optional: frozenset[str]) -> int:
    """Texts in one form; one of which nothing is left can't be used."""
    count = 0
    for name in _present(names, running.rows, place, optional):
        column = running.rows[name]
        old = [cell if isinstance(cell, str) else None for cell in column.astype(object)]
        new = [None if cell is None else normalised(cell) or None for cell in old]
        changed = np.array([a != b for a, b in zip(old, new, strict=True)], dtype=bool)
        nothing = np.array([cell is None for cell in new], dtype=bool)
        values = pd.Series(new, index=column.index, dtype="str")
        cells = Cells(values, changed & ~nothing, nothing)
        count += running.replace(name, cells, f"{place}: {quoted(name)} holds no text")
    return count


_OPERATIONS: dict[str, Callable[[_Running, Any, str, frozenset[str]], int]] = {
    "types": _types,
    "trim": _trim,
    "case": _case,
    "missing": _missing,
    "scale": _scale,
    "rename": _rename,
    "keep": _keep,
    "only": _only,
    "normalise": _normalise,
}
