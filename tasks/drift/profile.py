"""What the columns of a table look like, as counts: small enough to keep with every run.

A number is counted between the deciles of the rows that the profile is made of, anything else by those
values that are frequent. A value is kept as a hash, so that a profile quotes no cell but quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks import features
from tasks.features.schema import series, type_of

DECILES = np.arange(1, 10) / 10
LEVEL_SHARE, LEVEL_ROWS = 0.02, 10
"""A value of so many rows is counted on its own, rarer ones together: the most frequent of many rare
values (of an id, say) are so by chance, and would seem to vanish from other rows."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column's counts.

    Attributes:
        name: Of the column.
        type: A name of `features.TYPES`, as in a model's manifest.
        edges: For what is counted as numbers: upper ends of all bins but the last.
        levels: Otherwise: hashes of the most frequent values, 16 hex digits each.
        counts: Rows of each bin, or of each level and of all others; the last number is of rows
            without a value.
    """

    name: str
    type: str
    edges: tuple[float, ...] | None
    levels: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The columns of `rows` rows."""

    rows: int
    columns: tuple[Column, ...]


def profile(rows: pd.DataFrame, *, leave_out: Collection[str], labels: Collection[str] = ()) -> Profile:
    """Counts every column of raw rows.

    Args:
        rows: Raw rows.
        leave_out: Columns that are not looked at.
        labels: Columns that are counted by value even where these are numbers, such as classes.
    """
    names = [name for name in rows.columns if name not in leave_out]
    columns = (_column(name, rows[name], by_value=name in labels) for name in names)
    return Profile(rows=len(rows), columns=tuple(columns))


def counts(column: Column, values: pd.Series) -> np.ndarray:
    """How raw values (n) fall into the bins or levels of `column`: int64, as long as its counts.

    What can't be read as the column's type counts as missing.
    """
    if column.edges is not None:
        numbers = _numbers(values, column.type)
        known = numbers[~np.isnan(numbers)]
        bins = np.searchsorted(np.array(column.edges), known, side="left")
        found = np.bincount(bins, minlength=len(column.edges) + 1)
        return np.append(found, len(numbers) - len(known))
    by_value = _by_value(values, column.type)
    found = by_value.reindex(column.levels, fill_value=0).to_numpy(dtype=np.int64)
    others = by_value.sum() - found.sum()
    return np.append(found, [others, len(values) - by_value.sum()])


def _column(name: str, values: pd.Series, *, by_value: bool) -> Column:
    kind = type_of(values.dtype)
    edges, levels = None, ()
    if features.TYPES[kind].role != "numeric" or by_value:
        found = _by_value(values, kind)
        levels = tuple(found.index[found >= max(LEVEL_ROWS, LEVEL_SHARE * len(values))])
    else:
        edges = _edges(_numbers(values, kind))
    empty = Column(name=str(name), type=kind, edges=edges, levels=levels, counts=())
    return Column(**{**vars(empty), "counts": tuple(map(int, counts(empty, values)))})


def _edges(numbers: np.ndarray) -> tuple[float, ...]:
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return ()
    edges = np.unique(np.quantile(known, DECILES, method="inverted_cdf"))
    below = math.nextafter(edges[0], -math.inf)
    if edges[0] == known.min() and math.isfinite(below):
        edges = np.insert(edges, 0, below)  # many rows share the least value: beyond it is another matter
    return tuple(map(float, edges))


def _numbers(values: pd.Series, kind: str) -> np.ndarray:
    """Raw values as float64 (n,), dates in nanoseconds, NaN for what is missing."""
    read = series(features.read(values, features.TYPES[kind]).values)
    if kind == "date":
        plain = read.astype("datetime64[ns]")
        return plain.astype("int64").astype("float64").mask(plain.isna()).to_numpy()
    return read.to_numpy(dtype=np.float64, na_value=np.nan)


def _by_value(values: pd.Series, kind: str) -> pd.Series:
    """Rows of each value that is there, by the value's hash, most frequent first, ties in hash order."""
    read = series(features.read(values, features.TYPES[kind]).values)
    texts = series(features.read(read, features.TYPES["text"]).values)
    found = texts.dropna().value_counts()
    marks = pd.util.hash_array(found.index.to_numpy(dtype=object), categorize=False)
    found.index = pd.Index([f"{mark:016x}" for mark in marks], dtype=object)
    return found.sort_index().sort_values(ascending=False, kind="stable")
