"""Cells of one column read as a type: what each becomes, and which of them can't be read.

How a cell reads depends on that cell alone, never on its neighbours: `tasks.features` says how.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks import features
from tasks.features.number import PATTERN
from tasks.features.schema import series as to_series

DECIMAL = re.compile(PATTERN)
"""A number as text: ASCII digits, a point, no separators."""


@dataclass
class Cells:
    """A column after an operation.

    Attributes:
        values: (n,) the new column.
        changed: (n,) bool, whether the cell became another.
        unreadable: (n,) bool, whether the cell held something that can't be read; its value is
            then missing. None stands for no cell.
    """

    values: pd.Series
    changed: np.ndarray
    unreadable: np.ndarray | None = None


def nowhere(column: pd.Series) -> np.ndarray:
    """(n,) False: no cell of `column`."""
    return np.zeros(len(column), dtype=bool)


def is_text(column: pd.Series) -> bool:
    """Whether the column may hold text: by its type, which a gap or a number does not change."""
    kind = column.dtype
    return isinstance(kind, (pd.StringDtype, pd.CategoricalDtype)) or pd.api.types.is_object_dtype(kind)


def read_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return any column as float64 (n,) with NaN for missing, and (n,) bool: what is no number."""
    found = features.read(column, features.TYPES["number"])
    return np.asarray(found.values.to_numpy(zero_copy_only=False), dtype=np.float64), found.unreadable


def read_as(column: pd.Series, kind: str) -> Cells:
    """Return a column as a type of `features.TYPES`."""
    found = features.read(column, features.TYPES[kind])
    values = to_series(found.values, nullable=True).set_axis(column.index)
    return Cells(values, _converted(column, values), found.unreadable)


_KINDS = (
    pd.api.types.is_bool_dtype,
    pd.api.types.is_numeric_dtype,
    pd.api.types.is_datetime64_any_dtype,
    pd.api.types.is_string_dtype,
)


def _converted(column: pd.Series, values: pd.Series) -> np.ndarray:
    """Which cells (n,) are of another kind now: all that are not missing, or none."""
    before, now = (next((kind for kind in _KINDS if kind(each.dtype)), None) for each in (column, values))
    return nowhere(column) if before is now else column.notna().to_numpy()
