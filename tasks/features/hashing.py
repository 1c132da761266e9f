"""A 64-bit hash of each row's canonical values, the same on every machine and beside any other rows.

Numbers and codes are mixed by the finaliser of SplitMix64 (Steele, Lea & Flood, 2014). Two of 100 million
unequal rows share a hash with probability 3e-4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.integer import EXACT

_ABSENT = np.uint64(0x9E3779B97F4A7C15)


def mix(values: np.ndarray) -> np.ndarray:
    """Return uint64 (n,) of which every bit depends on every bit of the value; one to one."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def mixed(values: np.ndarray) -> np.ndarray:
    """Return the same of values of which zero is one, which `mix` alone would leave as it is."""
    return mix(values + _ABSENT)


def hash_rows(rows: pa.Table, columns: Sequence[str], seed: int = 0) -> np.ndarray:
    """Hash each row's cells in `columns`, in their order.

    A number hashes the same whether its column holds whole numbers or not; one gap is as good as another.

    Args:
        rows: (n, columns) in canonical values, texts coded by a dictionary or not.
        columns: Names.
        seed: Salts the hash.

    Returns:
        uint64 (n,).
    """
    hashed = np.full(rows.num_rows, np.uint64(seed % 2**64), dtype=np.uint64)
    for name in columns:
        hashed = mixed(hashed ^ hash_cells(rows.column(name)))
    return hashed


def hash_cells(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Hash each cell of one column, uint64 (n,)."""
    array = _whole(column)
    if pa.types.is_string(array.type):
        array = array.dictionary_encode()
    if pa.types.is_dictionary(array.type):
        known = np.append(_of_texts(array.dictionary), _ABSENT)  # a gap's code is -1, the last
        return np.asarray(known[array.indices.fill_null(-1).to_numpy(zero_copy_only=False)])
    gaps = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    narrow = pa.types.is_timestamp(array.type) or pa.types.is_boolean(array.type)
    values = array.cast(pa.int64()) if narrow else array
    hashed = _of_numbers((values.fill_null(0) if gaps is not None else values).to_numpy(zero_copy_only=False))
    if gaps is not None:
        hashed[gaps] = _ABSENT
    return hashed


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _of_texts(texts: pa.Array) -> np.ndarray:
    plain = np.array(pc.cast(texts, pa.string()).to_pylist(), dtype=object)
    return np.asarray(pd.util.hash_array(plain, categorize=False), dtype=np.uint64)


def _of_numbers(values: np.ndarray) -> np.ndarray:
    # Adding zero makes minus zero plain; one not-a-number is as good as another, but not bit for bit.
    floats = values.astype(np.float64) + 0.0
    bits = mixed(floats.view(np.uint64))
    if values.dtype.kind == "f":
        bits[np.isnan(floats)] = _ABSENT
    elif values.dtype.kind == "i" and len(values) and max(-int(values.min()), int(values.max())) > EXACT:
        large = np.abs(floats) >= EXACT
        bits[large] = mixed(values[large].view(np.uint64))
    return bits
