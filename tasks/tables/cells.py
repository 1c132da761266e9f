"""Cells of one column of a batch: which are missing, what they are as numbers, what their texts lead to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def of(batch: pa.Table, name: str) -> pa.Array:
    """A column of a batch in one piece."""
    column = batch.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def is_text(column: pa.Array) -> bool:
    """Whether the column holds texts, which come with a dictionary."""
    return bool(pa.types.is_dictionary(column.type))


def missing(column: pa.Array) -> np.ndarray:
    """(n,) whether a cell holds no value, as pandas has it."""
    gone = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    return gone | np.isnan(numbers(column)) if pa.types.is_floating(column.type) else gone


def blank(column: pa.Array) -> np.ndarray:
    """(n,) whether a cell holds nothing, or white space alone."""
    if not is_text(column):
        return missing(column)
    return by_text(column, np.array([not text.strip() for text in column.dictionary.to_pylist()], bool), True)


def numbers(column: pa.Array) -> np.ndarray:
    """Numbers, truths or times (days) as float64 (n,), NaN for a gap."""
    if pa.types.is_timestamp(column.type):
        days = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) / 86_400_000_000
        return np.where(column.is_null().to_numpy(zero_copy_only=False), np.nan, days)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def by_text(column: pa.Array, known: np.ndarray, gap: object) -> np.ndarray:
    """What each cell's text leads to: (n,) of `known`, which has an entry for each text of the dictionary."""
    table = np.append(known, np.array([gap], dtype=known.dtype))  # a gap's code is -1, the last
    return np.asarray(table[column.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
