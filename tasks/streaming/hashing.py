"""A 64-bit hash of each row's cells, the same on every machine and for every batch that the row stands in.

Numbers and codes are mixed by the finaliser of SplitMix64 (Steele, Lea & Flood, 2014); a text is hashed once
for each entry of a batch's dictionary. Two of 100 million unequal rows share a hash with probability 3e-4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.learning import ngrams
from tasks.streaming import cells

SAMPLE = 2**18
"""Rows of a table's sample: a quantile of it is that of the whole to within 0.2 % of the rows."""

_ABSENT = np.uint64(0x9E3779B97F4A7C15)
_EXACT = 2**53


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 (n,) to uint64 (n,), every bit of which depends on every bit of the value."""
    return ngrams.mixed(values + _ABSENT)


def rows(batch: pa.Table, columns: Sequence[str], seed: int = 0) -> np.ndarray:
    """uint64 (n,): a hash of each row's cells in `columns`, in their order.

    A number hashes the same whether its column holds whole numbers or not; one gap is as good as another.
    """
    hashed = np.full(batch.num_rows, np.uint64(seed % 2**64), dtype=np.uint64)
    for name in columns:
        hashed = mixed(hashed ^ _cells(cells.of(batch, name)))
    return hashed


def _cells(array: pa.Array) -> np.ndarray:
    if cells.is_text(array):
        return cells.by_text(array, _of_texts(array.dictionary), _ABSENT)
    gaps = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    values = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
    hashed = _of_numbers((values.fill_null(0) if gaps is not None else values).to_numpy(zero_copy_only=False))
    if gaps is not None:
        hashed[gaps] = _ABSENT
    return hashed


def _of_texts(texts: pa.Array) -> np.ndarray:
    plain = pc.cast(texts, pa.string()).to_pandas().to_numpy(dtype=object)
    return np.asarray(pd.util.hash_array(plain, categorize=False), dtype=np.uint64)


def _of_numbers(values: np.ndarray) -> np.ndarray:
    # Adding zero makes minus zero plain; one not-a-number is as good as another, but not bit for bit.
    floats = values.astype(np.float64) + 0.0
    bits = mixed(floats.view(np.uint64))
    if values.dtype.kind == "f":
        bits[np.isnan(floats)] = _ABSENT
    elif values.dtype.kind == "i" and len(values) and max(-int(values.min()), int(values.max())) > _EXACT:
        large = np.abs(floats) >= _EXACT
        bits[large] = mixed(values[large].view(np.uint64))
    return bits


def sampled(ids: np.ndarray, count: int) -> np.ndarray:
    """(n,) bool: which of `count` rows, by id, are in the sample; all where they are fewer."""
    if count <= SAMPLE:
        return np.ones(len(ids), dtype=bool)
    return mixed(ids.astype(np.uint64)) < np.uint64(SAMPLE / count * 2**64)


def shares(hashed: np.ndarray) -> np.ndarray:
    """uint64 (n,) hashes as numbers in [0, 1), of 53 bits."""
    return (hashed >> np.uint64(11)).astype(np.float64) / 2**53
