"""Types of columns that arrived as text, strictly: a value is a number only if nothing is lost.

`007` and `0x1F` are codes, `NA` and `nan` are texts, `1,000` is a text. One such value makes its
whole column text, and a warning says so where the others are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Columns
from tasks.errors import DataRejected, quoted
from tasks.records import Finding

EXACT = 2**53
"""Integers up to here survive as float64, which is what a column with missing values becomes."""

ROWS_SHOWN = 10

_INTEGER = r"^(-?[1-9][0-9]*|0)$"
_NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_LOOSE_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INFINITE = r"^[+-]?(inf|Inf|INF|infinity|Infinity)$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
_CODE = r"^0[0-9]+$"


def frame(table: pa.Table) -> pd.DataFrame:
    """The pandas frame of a typed table: text as `str`, indexed by row id (name `row`)."""
    rows: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    rows.index = pd.RangeIndex(len(rows), name="row")
    return rows


def typed(table: pa.Table, columns: Columns, name: str) -> pa.Table:
    """Columns of text as int64, float64, bool, timestamp or still text.

    Args:
        table: Columns of strings.
        columns: `categorical` columns stay text; `numeric` ones may have leading zeros.
        name: The file, for messages.

    Raises:
        DataRejected: Integers that neither int64 nor, beside missing values, float64 can hold.
    """
    arrays = [_typed(table[column], column, columns, name) for column in table.column_names]
    return pa.table(arrays, names=table.column_names)


def _typed(column: pa.ChunkedArray, label: str, columns: Columns, name: str) -> pa.ChunkedArray:
    if label in columns.categorical:
        return column
    if label in columns.numeric:
        return numbers(column)
    present = column.drop_null()
    if len(present) == 0:
        return column
    if _all(present, _INTEGER):
        return _integers(column, label, name)
    attempts: tuple[Callable[[pa.ChunkedArray, pa.ChunkedArray], pa.ChunkedArray | None], ...]
    attempts = (_floats, _booleans, _dates)
    results = (attempt(column, present) for attempt in attempts)
    return next((result for result in results if result is not None), column)


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that is declared numeric, as float64 or int64; as it was if a value is no number."""
    present = column.drop_null()
    if len(present) and not _all(present, f"{_LOOSE_NUMBER}|{_INFINITE}"):
        return column
    if len(present) == len(column) and _all(present, _INTEGER):
        try:
            return pc.cast(column, pa.int64())
        except pa.ArrowInvalid:  # declared numeric, so rounding is accepted
            pass
    return pc.cast(column, pa.float64())


def _all(present: pa.ChunkedArray, pattern: str) -> bool:
    # The first value settles most columns; the scan of the rest costs about 60 ns a value.
    if not re.search(pattern, present[0].as_py()):
        return False
    return bool(pc.all(pc.match_substring_regex(present, pattern)).as_py())


def _integers(column: pa.ChunkedArray, label: str, name: str) -> pa.ChunkedArray:
    try:
        whole = pc.cast(column, pa.int64())
    except pa.ArrowInvalid:
        raise _too_large(label, name, "integers of more than 64 bits") from None
    if not column.null_count:
        return whole
    low, high = pc.min_max(whole).as_py().values()
    if max(-low, high) > EXACT:
        raise _too_large(label, name, "integers above 2^53 beside missing values")
    return pc.cast(whole, pa.float64())


def _too_large(label: str, name: str, what: str) -> DataRejected:
    fix = "name it in columns.categorical to keep it as text, or in columns.numeric to round it"
    return DataRejected(f"{name}: column {quoted(label)} holds {what}", fix=fix)


def _floats(column: pa.ChunkedArray, present: pa.ChunkedArray) -> pa.ChunkedArray | None:
    # An infinite value is a number only among numbers: validation then refuses it by its row.
    if not _all(present, f"{_NUMBER}|{_INFINITE}"):
        return None
    if not pc.any(pc.match_substring_regex(present, _NUMBER)).as_py():
        return None
    return pc.cast(column, pa.float64())


def _booleans(column: pa.ChunkedArray, present: pa.ChunkedArray) -> pa.ChunkedArray | None:
    # NumPy's bool has no missing value: such a column stays text.
    if column.null_count or not _all(present, _BOOLEAN):
        return None
    return pc.equal(pc.utf8_lower(column), "true")


def dates(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column of ISO dates and times without zone as timestamps; None where a value is none."""
    present = column.drop_null()
    return _dates(column, present) if len(present) else pc.cast(column, pa.timestamp("us"))


def _dates(column: pa.ChunkedArray, present: pa.ChunkedArray) -> pa.ChunkedArray | None:
    if not _all(present, _DATE):
        return None
    try:
        return pc.cast(column, pa.timestamp("us"))
    except pa.ArrowInvalid:  # 30 February
        return None


def doubts(table: pa.Table, columns: Columns, offset: int = 0) -> tuple[Finding, ...]:
    """Text columns of which most values are numbers: one bad value made them text.

    Args:
        table: A typed table.
        columns: Columns that are declared categorical are not doubted.
        offset: Row id of the first row.
    """
    found = (
        _doubt(table[column], column, offset)
        for column in table.column_names
        if pa.types.is_string(table[column].type) and column not in columns.categorical
    )
    return tuple(finding for finding in found if finding)


def _doubt(column: pa.ChunkedArray, label: str, offset: int) -> Finding | None:
    sample = column.slice(0, 1000).drop_null()
    if not len(sample) or 2 * _count(sample, _NUMBER) < len(sample):
        return None
    texts = pc.invert(pc.match_substring_regex(column, f"{_NUMBER}|{_CODE}"))
    count = int(pc.sum(pc.cast(texts, pa.int64())).as_py() or 0)
    if not 0 < 2 * count < len(column):
        return None
    rows = pc.indices_nonzero(pc.fill_null(texts, False))[:ROWS_SHOWN].to_pylist()
    return Finding(
        rule="numbers_read_as_text",
        severity="warn",
        column=label,
        count=count,
        rows=tuple(row + offset for row in rows),
        message=f"column {quoted(label)} is read as text: {count:,} of its values are no numbers, most are; "
        "declare them with clean: missing, or the column in columns.categorical",
    )


def _count(column: pa.ChunkedArray, pattern: str) -> int:
    return int(pc.sum(pc.cast(pc.match_substring_regex(column, pattern), pa.int64())).as_py() or 0)
