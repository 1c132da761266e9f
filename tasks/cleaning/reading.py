"""Cells of one column read as a type: what each becomes, and which of them can't be read.

How a cell reads depends on that cell alone, never on its neighbours; so the reader for whole
numbers always yields `Int64`, which can hold a gap, and dates always come in microseconds.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A number as text: ASCII digits, a point, no separators."""
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INT64 = range(-(2**63), 2**63)


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
    """Any column as float64 (n,) with NaN for missing, and (n,) bool: what is no finite number.

    Text is a number when it is written like one in ASCII, with a point and no separators; `inf`,
    `0x1F` and `1_000`, which Python or pandas would take, are not.
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        unreadable = np.isinf(numbers)
    else:
        cells = [_number(cell) for cell in column.astype(object)]
        numbers = np.array([math.nan if cell is None else cell for cell in cells], dtype=np.float64)
        unreadable = np.isnan(numbers) & ~column.isna().to_numpy()
    return np.where(unreadable, np.nan, numbers), unreadable


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        text = cell.strip()
        value = float(text) if DECIMAL.fullmatch(text) else None
    else:
        value = float(cell) if isinstance(cell, (Real, Decimal, np.bool_)) else None
    return value if value is not None and math.isfinite(value) else None


def _integer(cell: Any) -> int | None:
    if isinstance(cell, str) and _WHOLE.fullmatch(cell.strip()) and len(cell) < 40:
        value = int(cell)  # not by way of a float, which would round beyond 2**53
    elif isinstance(cell, (int, np.integer)):
        value = int(cell)
    else:
        number = _number(cell)
        if number is None or not number.is_integer():
            return None
        value = int(number)
    return value if value in _INT64 else None


def _text(cell: Any) -> str | None:
    if isinstance(cell, (bool, np.bool_)):
        return str(cell).lower()
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))  # a gap elsewhere in the column made 3 into 3.0
    return cell.isoformat() if isinstance(cell, (datetime.date, pd.Timestamp)) else str(cell)


def _boolean(cell: Any) -> bool | None:
    word = _text(cell)
    return None if word is None else _TRUTH.get(word.strip().lower())


def _read(cell_of: Callable[[Any], Any], dtype: str, column: pd.Series) -> Cells:
    absent = column.isna().to_numpy()
    cells = [None if gap else cell_of(cell) for gap, cell in zip(absent, column.astype(object), strict=True)]
    unreadable = np.fromiter((cell is None for cell in cells), dtype=bool, count=len(cells)) & ~absent
    values = pd.Series(cells, index=column.index, dtype=dtype)
    return Cells(values, _converted(column, values), unreadable)


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


def _numbers(column: pd.Series) -> Cells:
    numbers, unreadable = read_numbers(column)
    values = pd.Series(numbers, index=column.index)
    return Cells(values, _converted(column, values), unreadable)


def _dates(column: pd.Series) -> Cells:
    """ISO 8601 text, or dates as they are; a time zone is folded into UTC. A number is no date."""
    absent = column.isna().to_numpy()
    if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(column.dtype):
        moments = column
    else:
        texts = column.astype(object).map(_written_date)
        moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    zone = moments.dt.tz
    plain = moments if zone is None else moments.dt.tz_convert("UTC").dt.tz_localize(None)
    values = plain.astype("datetime64[us]")
    return Cells(values, _converted(column, values), values.isna().to_numpy() & ~absent)


def _written_date(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip()
    return cell.isoformat() if isinstance(cell, (datetime.date, pd.Timestamp)) else None


READERS: dict[str, Callable[[pd.Series], Cells]] = {
    "number": _numbers,
    "integer": lambda column: _read(_integer, "Int64", column),
    "text": lambda column: _read(_text, "str", column),
    "date": _dates,
    "boolean": lambda column: _read(_boolean, "boolean", column),
}
"""How a column is read as each type."""
