"""A suite from the data: what it holds now, with slack, so that tomorrow's rows pass and wrong ones do not.

Only what would make the outcome worthless is critical; a value beyond what was seen is a warning, which
a person turns into a rule or takes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks.cleaning.reading import is_text
from tasks.drafting.columns import FEW_LEVELS, is_coded, is_number

SLACK = 0.25
"""How far a range is widened on each side, as a share of what it spans."""

NULL_SLACK = 0.1
"""Share of rows by which missing values may grow."""

STRANGERS = 0.05
"""Share of rows in which a category may show a level that was not seen."""

MOST_COLUMNS = 100
"""Columns that get rules; each rule takes some milliseconds a run."""

Expectation = Mapping[str, Any]


def expectation(name: str, severity: str, notes: str, **kwargs: Any) -> Expectation:
    """One entry of a suite file."""
    return {"type": f"expect_{name}", "kwargs": kwargs, "severity": severity, "meta": {"notes": notes}}


def size(rows: int) -> Expectation:
    """A tenth of the rows to ten times as many."""
    low, high = max(2, rows // 10), rows * 10
    notes = f"{rows:,} rows now; a tenth of them is hardly the whole, ten times as many another data set."
    return expectation("table_row_count_to_be_between", "critical", notes, min_value=low, max_value=high)


def complete(column: str, notes: str = "Never made up.") -> Expectation:
    """A column without gaps."""
    return expectation("column_values_to_not_be_null", "critical", notes, column=column)


def classes(column: str, known: Sequence[Any]) -> Expectation:
    """A target of known classes; a row of any other is set aside."""
    notes = "The classes that the data holds; a row of any other is set aside."
    return expectation(
        "column_values_to_be_in_set", "critical", notes, column=column, value_set=_plain(known)
    )


def span(column: pd.Series, severity: str = "warning") -> Expectation:
    """A range around what a numeric column holds; what is never negative stays so."""
    values = column.dropna().astype("float64")
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    slack = SLACK * (high - low)
    least = low - slack
    least = 0.0 if low >= 0 > least else least
    notes = f"{_told(low)} to {_told(high)} in the data, and a quarter of that on each side."
    return expectation(
        "column_values_to_be_between",
        severity,
        notes,
        column=str(column.name),
        min_value=_rounded(least, math.floor),
        max_value=_rounded(high + slack, math.ceil),
    )


def of_table(rows: pd.DataFrame, features: Sequence[str], target: str) -> list[Expectation]:
    """Return rules for the features of a table."""
    return [rule for name in features[:MOST_COLUMNS] if name != target for rule in of_column(rows[name])]


def of_column(column: pd.Series) -> list[Expectation]:
    """Return rules about the range or levels, and the share of gaps, of one raw column."""
    name, values = str(column.name), column.dropna()
    made: list[Expectation] = []
    if is_coded(column):  # a range would break once the column is declared categorical
        whole = [int(value) for value in sorted(values.unique())]
        notes = f"{len(whole)} whole numbers in the data."
        kept = {"column": name, "value_set": whole, "mostly": 1 - STRANGERS}
        made.append(expectation("column_values_to_be_in_set", "warning", notes, **kept))
    elif is_number(column):
        made += [span(column)] if len(values) else []
    elif is_text(column) and 0 < values.nunique() <= FEW_LEVELS:
        levels = sorted(str(level) for level in values.unique())
        notes = f"{len(levels)} levels in the data; a new one is read as unknown."
        kept = {"column": name, "value_set": levels, "mostly": 1 - STRANGERS}
        made.append(expectation("column_values_to_be_in_set", "warning", notes, **kept))
    return [*made, gaps(column)]


def gaps(column: pd.Series) -> Expectation:
    """At most the share of missing values that there is now, and a tenth of the rows more."""
    share = float(column.isna().mean())
    least = 1.0 if share == 0 else max(0.01, math.floor(100 * (1 - share - NULL_SLACK)) / 100)
    notes = "Never missing in the data." if share == 0 else f"Missing in {share:.1%} of the rows now."
    mostly = {} if least == 1.0 else {"mostly": least}
    return expectation("column_values_to_not_be_null", "warning", notes, column=str(column.name), **mostly)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in values]


def _rounded(value: float, how: Any) -> float | int:
    """Outward to three digits, as a whole number where it is one."""
    if value == 0 or not math.isfinite(value):
        return 0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    rounded = float(f"{how(value / unit) * unit:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def _told(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
