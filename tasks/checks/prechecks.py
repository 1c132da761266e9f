"""Our own checks on raw rows: what an expectation suite lets pass in silence.

Great Expectations 1.24 passes an empty frame, a column with no value at all and doubled column
names, and it knows nothing of targets and classes. These checks only look: a finding of severity `error`
refuses the data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from tasks.config import Columns, Task
from tasks.errors import did_you_mean, quoted
from tasks.records import Finding

SHOWN = 10
"""Row ids that a finding carries, at most."""


def check_target(values: pd.Series, kind: Task) -> list[Finding]:
    """What makes a target impossible to learn: text for a regression, one value, a class of one row.

    Args:
        values: (n,) the target of the rows that would go on, without missing values.
        kind: Of the task.
    """
    name = str(values.name)
    if kind == "regression":
        return _number(values, name)
    sizes = values.map(values.value_counts())
    return check_classes(name, values.nunique(), len(values), values.index[sizes == 1])


def check_classes(name: str, classes: int, rows: int, lone: Collection[int]) -> list[Finding]:
    """The same of classes that were counted; `lone` are the rows whose class has no other."""
    if classes < 2:
        return [
            _error(
                "one class",
                f"target {quoted(name)} has {classes} class in {rows} rows; it takes 2 or more",
                name,
            )
        ]
    if not len(lone):
        return []
    told = "1 class has a single row" if len(lone) == 1 else f"{len(lone)} classes have a single row each"
    return [
        _error("class of one row", f"target {quoted(name)}: {told}; every class needs 2 or more", name, lone)
    ]


def _number(values: pd.Series, name: str) -> list[Finding]:
    if not is_numeric_dtype(values.dtype) or is_bool_dtype(values.dtype):
        return [
            _error(
                "target not numeric",
                f"target {quoted(name)} is of type {values.dtype}; regression needs numbers",
                name,
            )
        ]
    if values.nunique() < 2:
        return [
            _error(
                "constant target", f"target {quoted(name)} has the same value in all {len(values)} rows", name
            )
        ]
    return []


def missing_columns(known: Sequence[str], target: str, columns: Columns) -> list[Finding]:
    """Return an error for each column that the configuration names and the data lacks."""
    asked = [("target", target)]
    asked += [
        (f"columns.{key}", name)
        for key in ("drop", "numeric", "categorical", "types")
        for name in getattr(columns, key)
    ]
    return [
        _error(
            "column missing",
            f"{key} names {quoted(name)}, which is not in the data; {did_you_mean(name, known)}",
            name,
        )
        for key, name in asked
        if name not in known
    ]


def no_target(target: str, rows: int) -> Finding:
    """The error of a target without any value."""
    return _error("target missing", f"target {quoted(target)} has no value in any of {rows} rows", target)


def gaps_in(name: str, count: int, rows: int, limit: float) -> Finding | None:
    """An error for a feature without any value, a warning for one with few."""
    if count == rows:
        first = range(min(count, SHOWN))
        message = f"column {quoted(name)} has no value in any of {count} rows"
        return replace(_error("all missing", message, name, first), count=count)
    share = count / rows
    if share <= limit:
        return None
    message = f"column {quoted(name)}: {share:.1%} of the values are missing, more than {limit:.0%}"
    return Finding(rule="missing values", severity="warn", message=message, column=name, count=count)


def _error(rule: str, message: str, column: str | None = None, ids: Iterable[int] = ()) -> Finding:
    rows = [int(row) for row in ids]
    return Finding(
        rule=rule,
        severity="error",
        message=message,
        column=column,
        count=len(rows) or None,
        rows=tuple(rows[:SHOWN]),
    )
