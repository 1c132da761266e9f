"""The type of a column that nobody declared, guessed once from all of its cells, strictly.

`007` and `0x1F` are codes, `NA` and `nan` are texts, `1,000` is a text: one such cell makes its column a
category. What is guessed is written down (project.yaml, the record of `validate`, the manifest of a model),
and is a rule from then on.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import TYPES
from tasks.features.date import PATTERN as DATE
from tasks.features.integer import EXACT
from tasks.features.number import trimmed
from tasks.features.reading import read

INTEGER = r"^(-?[1-9][0-9]*|0)$"
NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"^[+-]?(inf|Inf|INF|infinity|Infinity)$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"


def infer(column: pa.ChunkedArray, *, written: bool = False) -> str:
    """Return the name of the type of raw cells (n,); a category where nothing else fits all of them.

    Args:
        column: The cells.
        written: Whether they come from a file that knows texts alone, such as CSV. Elsewhere a text is one
            because somebody stored it so.
    """
    stored = value_type(column.type)
    if pa.types.is_string(stored) and written:
        return _of_texts(column)
    if pa.types.is_integer(stored) or pa.types.is_decimal(stored):
        kind = of_storage(stored)
        return "category" if kind == "integer" and read(column, TYPES["integer"]).unreadable.any() else kind
    return of_storage(stored)


def of_storage(stored: pa.DataType) -> str:
    """Return the type that an Arrow type stands for, as far as it alone tells."""
    stored = value_type(stored)
    if pa.types.is_boolean(stored):
        return "boolean"
    if pa.types.is_integer(stored):
        return "integer"
    if pa.types.is_floating(stored) or pa.types.is_decimal(stored):
        return "number"
    return "date" if pa.types.is_timestamp(stored) or pa.types.is_date(stored) else "category"


def value_type(stored: pa.DataType) -> pa.DataType:
    """Return what a column's cells are, coded by a dictionary or not; every kind of text is one."""
    stored = stored.value_type if pa.types.is_dictionary(stored) else stored
    text = pa.types.is_large_string(stored) or pa.types.is_string_view(stored)
    return pa.string() if text else stored


def _of_texts(column: pa.ChunkedArray) -> str:
    present = trimmed(column).drop_null()
    if not len(present):
        return "category"
    if _all(present, INTEGER):
        return "integer" if not read(present, TYPES["integer"]).unreadable.any() else "category"
    # An infinite value is a number only among numbers: validation then refuses it by its row.
    if _all(present, f"{NUMBER}|{_INFINITE}") and pc.any(pc.match_substring_regex(present, NUMBER)).as_py():
        return "number"
    if _all(present, _BOOLEAN):
        return "boolean"
    if _all(present, DATE) and not read(present, TYPES["date"]).unreadable.any():
        return "date"
    return "category"


def _all(present: pa.ChunkedArray, pattern: str) -> bool:
    # The first value settles most columns; the scan of the rest costs about 60 ns a value.
    if not re.search(pattern, present[0].as_py()):
        return False
    return bool(pc.all(pc.match_substring_regex(present, pattern)).as_py())


def beyond_exact(low: object, high: object) -> bool:
    """Whether whole numbers from `low` to `high` are more than float64 holds, so that they are codes."""
    bounds = [bound for bound in (low, high) if isinstance(bound, int)]
    return any(abs(bound) >= EXACT for bound in bounds)
