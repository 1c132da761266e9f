"""Expectations judged piece by piece: counts of a batch, which add up to what Great Expectations would count.

Great Expectations needs all rows at once. What it judges row by row, or by a sum, is counted here over all
rows; it judges the rest, the suite's shape and the Data Docs by the sample. What a sample can't tell, such
as whether a key stands twice, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.checks.suite import Entry, Outcome
from tasks.errors import ConfigError, quoted
from tasks.tables import cells
from tasks.tables.bits import Bits
from tasks.tables.running_statistics import Moments

SHOWN = 10
"""Row ids that an outcome carries, at most."""

SHAPE = ("expect_column_to_exist", "expect_table_column")
"""Beginnings of the types that are about columns, so that any rows of a table judge them."""

Kwargs = Mapping[str, Any]


def _number_between(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")

    def inside(values: pd.Series) -> pd.Series:
        found = pd.Series(True, index=values.index)
        if low is not None:
            found &= values > low if kwargs.get("strict_min") else values >= low
        if high is not None:
            found &= values < high if kwargs.get("strict_max") else values <= high
        return found

    return inside


def _length_between(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    inside = _number_between(kwargs)
    return lambda values: inside(values.str.len())


def _length_is(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values.str.len() == kwargs["value"]


def _in_set(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values.isin(kwargs["value_set"])


def _not_in_set(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    return lambda values: ~values.isin(kwargs["value_set"])


def _matches(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    return lambda values: values.astype(str).str.contains(kwargs["regex"])


def _matches_not(kwargs: Kwargs) -> Callable[[pd.Series], pd.Series]:
    return lambda values: ~values.astype(str).str.contains(kwargs["regex"])


_NUMBERS, _TEXTS = ("number", "integer"), ("category", "text", "key")
_LIMITS = {"min_value", "max_value", "strict_min", "strict_max"}

Rule = tuple[Callable[[Kwargs], Callable[[pd.Series], pd.Series]], tuple[str, ...], set[str]]

CELLWISE: dict[str, Rule] = {
    "expect_column_values_to_be_between": (_number_between, _NUMBERS, _LIMITS),
    "expect_column_value_lengths_to_be_between": (_length_between, _TEXTS, _LIMITS),
    "expect_column_value_lengths_to_equal": (_length_is, _TEXTS, {"value"}),
    "expect_column_values_to_be_in_set": (_in_set, (*_NUMBERS, *_TEXTS), {"value_set"}),
    "expect_column_values_to_not_be_in_set": (_not_in_set, (*_NUMBERS, *_TEXTS), {"value_set"}),
    "expect_column_values_to_match_regex": (_matches, _TEXTS, {"regex"}),
    "expect_column_values_to_not_match_regex": (_matches_not, _TEXTS, {"regex"}),
}
"""Type to what a cell that is there must be, the types of columns that it is for, and its arguments."""

GAPS = {"expect_column_values_to_not_be_null": True, "expect_column_values_to_be_null": False}
"""Type to whether a gap breaks it."""

SUMS: dict[str, Callable[[Moments], float]] = {
    "expect_column_mean_to_be_between": lambda moments: moments.mean if moments.count else math.nan,
    "expect_column_stdev_to_be_between": lambda moments: moments.spread(1),
    "expect_column_min_to_be_between": lambda moments: moments.low if moments.count else math.nan,
    "expect_column_max_to_be_between": lambda moments: moments.high if moments.count else math.nan,
    "expect_column_sum_to_be_between": lambda moments: moments.total,
}
"""Type to the statistic that must lie between two limits; NaN, which never does, of no value."""

ROWS = "expect_table_row_count_to_be_between"


@dataclass
class Judged:
    """One expectation on its way through the rows.

    Attributes:
        entry: What was asked.
        broken: The rows that break it.
        cells: Cells that were judged: all, or those that are there.
        moments: Of the column, where the expectation is about a sum.
    """

    entry: Entry
    broken: Bits
    cells: int = 0
    moments: Moments = field(default_factory=Moments)

    @property
    def count(self) -> int:
        """Rows that break it."""
        return self.broken.total()

    def see(self, batch: pa.Table, at: np.ndarray, sound: np.ndarray) -> None:
        """Counts what a batch holds.

        Args:
            batch: (n, columns).
            at: (n,) the rows' ids.
            sound: (n,) bool, which of them are to be judged.
        """
        kind, kwargs = self.entry.type, self.entry.kwargs
        if kind == ROWS:
            self.cells += int(sound.sum())
            return
        column = cells.of(batch, str(kwargs["column"]))
        there = cells.missing(column) if kind in GAPS else ~cells.missing(column)
        if kind in SUMS:
            self.moments += Moments.of(cells.numbers(column)[there & sound])
            return
        if kind in GAPS:
            self.cells += int(sound.sum())
            broken = (there if GAPS[kind] else ~there) & sound
        else:
            self.cells += int((there & sound).sum())
            broken = ~_by_cell(column, CELLWISE[kind][0](kwargs)) & there & sound
        if broken.any():
            self.broken.add(at[broken])

    def include(self, piece: Judged) -> None:
        """Adds what was counted in the rows that follow."""
        self.broken.include(piece.broken)
        self.cells += piece.cells
        self.moments += piece.moments

    def outcome(self) -> Outcome:
        """How it went over all rows."""
        kwargs = self.entry.kwargs
        if self.entry.type in SUMS or self.entry.type == ROWS:
            value = self.cells if self.entry.type == ROWS else SUMS[self.entry.type](self.moments)
            held = bool(_number_between(kwargs)(pd.Series([value]))[0])
            shown = quoted(value) if self.entry.type == ROWS else f"{value:,.6g}"
            return self.entry.outcome(success=held, observed=shown if self.entry.type in _STATISTICS else "")
        share = self.count / self.cells if self.cells else 0.0
        good = (self.cells - self.count) / self.cells if self.cells else 1.0  # 1 - share is rounded otherwise
        first = tuple(row for row, _ in zip(self.broken.positions(), range(SHOWN), strict=False))
        return self.entry.outcome(
            success=good >= kwargs.get("mostly", 1.0),
            unexpected=self.count,
            percent=100 * share,
            rows=first,
        )


_STATISTICS = (ROWS, "expect_column_mean_to_be_between", "expect_column_stdev_to_be_between")
"""Types whose observed value is a statistic of many cells, never one of them."""


def countable(entry: Entry, kinds: Mapping[str, str]) -> bool:
    """Whether counts of batches add up to what the expectation asks of a column of that type."""
    if entry.type == ROWS:
        return set(entry.kwargs) <= {"min_value", "max_value"}
    kind = kinds.get(str(entry.kwargs.get("column")))
    if kind is None:
        return False
    extra = set(entry.kwargs) - {"column", "mostly"}
    if entry.type in GAPS:
        return not extra
    if entry.type in SUMS:
        return kind in _NUMBERS and extra <= _LIMITS and "mostly" not in entry.kwargs
    rule = CELLWISE.get(entry.type)
    return rule is not None and kind in rule[1] and extra <= rule[2]


def refuse_uncounted(entry: Entry, place: str) -> None:
    """Raise ConfigError for an expectation that batches can't judge, unless a table's columns alone do."""
    if not entry.type.startswith(SHAPE):
        raise ConfigError(
            f"{place}: {entry.type} takes all rows at once, and the table is read in pieces",
            fix="take it out, or set source.stream: never where the table fits into memory",
        )


def _by_cell(column: pa.Array, holds: Callable[[pd.Series], pd.Series]) -> np.ndarray:
    """(n,) whether a cell is as it should be; a text is looked at once a batch, not once a row."""
    if not cells.is_text(column):
        return np.asarray(holds(pd.Series(cells.numbers(column))), dtype=bool)
    texts = column.dictionary.to_pandas()
    known = np.asarray(holds(texts), dtype=bool) if len(texts) else np.zeros(0, dtype=bool)
    return cells.by_text(column, known, True)
