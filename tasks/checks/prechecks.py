"""Our own checks on raw rows: what an expectation suite lets pass in silence.

Great Expectations 1.24 passes an empty frame, a column with no value at all and doubled column
names, and it knows nothing of targets and classes. These checks run first. They only look: a finding
of severity `error` refuses the data, a row in `bad` is to be set aside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from tasks.config import Columns, Task
from tasks.errors import did_you_mean, quoted
from tasks.records import Finding

SHOWN = 10
"""Row ids that a finding carries, at most."""

NAME_LIMIT = 255
"""Longest column name in characters; longer ones break file names and tables further on."""


@dataclass(frozen=True)
class Checked:
    """What the checks found.

    Attributes:
        findings: Broken rules, in the order of the checks.
        bad: Row ids to set aside, each with the reasons, such as `Sale_Price: target missing`.
        readable: Whether the frame has rows and clear column names, so that a suite can judge it.
    """

    findings: tuple[Finding, ...]
    bad: dict[int, tuple[str, ...]] = field(default_factory=dict)
    readable: bool = True


def check(
    rows: pd.DataFrame,
    *,
    target: str,
    columns: Columns,
    null_share: float,
    apart: Iterable[str] = (),
    unread: Mapping[int, str] | None = None,
) -> Checked:
    """Looks at shape, names, missing and infinite values; the target's values are `check_target`'s.

    Args:
        rows: (n, columns), indexed by row id.
        target: Column to predict; a row without it is set aside.
        columns: Which columns the configuration names; a row without its text is set aside.
        null_share: Warn about a feature with a larger share of missing values, 0 to 1.
        apart: Columns that are neither features nor target (what describes a picture).
        unread: Ids of rows that the source could not read, each with the reason.
    """
    structure = _names(rows) + _count(rows)
    if structure:
        return Checked(tuple(structure), readable=False)
    findings = _present(rows, target, columns)
    features = [c for c in rows.columns if c != target and c not in {*columns.drop, *apart}]
    gaps = {name: int(rows[name].isna().sum()) for name in features}
    findings += [found for name in features if (found := gaps_in(name, gaps[name], len(rows), null_share))]
    bad: dict[int, tuple[str, ...]] = {row: (reason,) for row, reason in (unread or {}).items()}
    if target in rows.columns:
        missing = _missing(rows[target])
        if missing.all():
            findings.append(no_target(target, len(rows)))
        else:
            _mark(bad, rows.index[missing], f"{target}: target missing")
        features.append(target)
    if columns.text in rows.columns:
        _mark(bad, rows.index[_missing(rows[columns.text])], f"{columns.text}: text missing")
    for name in features:
        _mark(bad, rows.index[_infinite(rows[name])], f"{name}: not finite")
    return Checked(tuple(findings), bad)


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


def _count(rows: pd.DataFrame) -> list[Finding]:
    return [] if len(rows) else [_error("no rows", "the data has 0 rows")]


def _names(rows: pd.DataFrame) -> list[Finding]:
    """Names that are empty, too long, not text or doubled."""
    found = []
    for position, name in enumerate(rows.columns, start=1):
        if not isinstance(name, str) or not name.strip():
            found.append(_error("column name", f"column {position} has no name"))
        elif len(name) > NAME_LIMIT:
            found.append(
                _error(
                    "column name",
                    f"the name of column {position} has {len(name)} characters, more than {NAME_LIMIT}",
                )
            )
    for name in rows.columns[rows.columns.duplicated()].unique():
        count = int((rows.columns == name).sum())
        found.append(_error("column name", f"{count} columns are named {quoted(name)}; names must be unique"))
    return found


def _present(rows: pd.DataFrame, target: str, columns: Columns) -> list[Finding]:
    """Columns that the configuration names and the data lacks."""
    asked = [("target", target)]
    asked += [
        (f"columns.{key}", name)
        for key in ("drop", "numeric", "categorical")
        for name in getattr(columns, key)
    ]
    known = [str(name) for name in rows.columns]
    return [
        _error(
            "column missing",
            f"{key} names {quoted(name)}, which is not in the data; {did_you_mean(name, known)}",
            name,
        )
        for key, name in asked
        if name not in known
    ]


def _missing(values: pd.Series) -> pd.Series:
    if is_numeric_dtype(values.dtype):
        return values.isna()
    return values.isna() | np.array([isinstance(value, str) and not value.strip() for value in values])


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


def _infinite(values: pd.Series) -> np.ndarray:
    """(n,) True where a float is +inf or -inf."""
    if not is_float_dtype(values.dtype):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan)))


def _mark(bad: dict[int, tuple[str, ...]], ids: pd.Index, reason: str) -> None:
    for row in ids:
        bad[int(row)] = (*bad.get(int(row), ()), reason)


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
