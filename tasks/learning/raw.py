"""Raw columns: the types that a model remembers, how a column is read as one, how a row is known again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def as_type(column: pd.Series, kind: str) -> tuple[pd.Series, np.ndarray]:
    """A raw column as the type that training saw, and which rows can't be read so."""
    missing = column.isna().to_numpy()
    if kind in ("number", "integer"):
        numbers = pd.to_numeric(column, errors="coerce").astype("float64")
        return numbers, (numbers.isna().to_numpy() & ~missing) | np.isinf(numbers.to_numpy())
    if kind == "date":
        try:
            dates = pd.to_datetime(column, errors="coerce", format="ISO8601")
        except ValueError:  # zones that differ from row to row
            zoned = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
            dates = zoned.dt.tz_localize(None)
        return dates, dates.isna().to_numpy() & ~missing
    if kind == "boolean":
        truths = column.astype("str").str.lower().map({"true": True, "false": False, "1": True, "0": False})
        return truths.astype("boolean"), truths.isna().to_numpy() & ~missing
    texts = column.astype("str")
    # Masking nothing would copy the column, which is a good part of what a single row costs.
    return texts.mask(missing) if missing.any() else texts, np.zeros(len(column), dtype=bool)


def type_name(dtype: Any) -> str:
    """The manifest's word for a raw column's dtype."""
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype):
        return "boolean"
    if kinds.is_integer_dtype(dtype):
        return "integer"
    if kinds.is_numeric_dtype(dtype):
        return "number"
    return "date" if kinds.is_datetime64_any_dtype(dtype) else "text"


def marks(rows: pd.DataFrame, columns: Sequence[dict[str, str]]) -> np.ndarray:
    """A 64-bit hash of each row's cells in `columns`, by which a model knows rows that it has learned from.

    Args:
        rows: Raw rows.
        columns: Names and types, as in a manifest; the hash does not depend on how the rows are stored.

    Returns:
        uint64 (n,). Unequal rows of a million share a hash with probability 3e-8.
    """
    read = {
        column["name"]: _as_number_or_text(rows[column["name"]].reset_index(drop=True), column["type"])
        for column in columns
    }
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(read), index=False), dtype=np.uint64)


def _as_number_or_text(column: pd.Series, kind: str) -> pd.Series:
    values, _ = as_type(column, kind)
    if kind == "text":
        return values.fillna("")
    if kind == "date":
        zoned = values.dt.tz is not None
        values = (values.dt.tz_convert(None) if zoned else values).astype("datetime64[ns]").astype("int64")
    # One not-a-number is as good as another, but not bit for bit.
    return values.astype("float64").fillna(np.nan)
