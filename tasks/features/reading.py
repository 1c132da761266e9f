"""The one way from cells to canonical values, whatever holds the cells."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_object_dtype

from tasks.features.base import Cells, FeatureType

CODED = pa.dictionary(pa.int32(), pa.string())
"""How texts come in pieces of a table: a hundred thousand rows may share a few."""
_INT64 = range(-(2**63), 2**63)


def read(column: pd.Series | pa.Array | pa.ChunkedArray, kind: FeatureType) -> Cells:
    """Read cells (n,) as values of a type.

    Args:
        column: A pandas column of any dtype, or an Arrow array of any type.
        kind: The type, which decides with the cell alone what the cell becomes.

    Returns:
        (n,) values, and which cells hold none.
    """
    if isinstance(column, pd.Series):
        return _read_series(column, kind)
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return _read_arrow(column, kind)


def read_coded(column: pa.ChunkedArray | pa.Array, kind: FeatureType) -> Cells:
    """Read cells as `read` does, texts coded by a dictionary in which each stands once."""
    array = column
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    if not pa.types.is_string(kind.storage):
        return read(array, kind)
    if not pa.types.is_dictionary(array.type):
        found = read(array, kind)
        return Cells(pc.cast(found.values.dictionary_encode(), CODED), found.unreadable)
    known = read(array.dictionary, kind)
    entries = known.values.dictionary_encode()
    indices = entries.indices.take(pc.cast(array.indices, pa.int32()))
    codes = np.asarray(array.indices.fill_null(-1).to_numpy(zero_copy_only=False))
    return Cells(
        pa.DictionaryArray.from_arrays(indices, entries.dictionary), np.append(known.unreadable, False)[codes]
    )


def _read_series(column: pd.Series, kind: FeatureType) -> Cells:
    dtype = column.dtype
    if isinstance(dtype, pd.ArrowDtype):  # first: pandas knows the kind of only some Arrow types
        return read(pa.array(column, from_pandas=True), kind)
    if isinstance(dtype, pd.CategoricalDtype):
        return _taken(read(pd.Series(column.cat.categories), kind), column.cat.codes.to_numpy())
    if is_object_dtype(dtype) or isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype, pd.SparseDtype)):
        return _read_objects(column.to_numpy(dtype=object), kind)
    if dtype.kind == "c":
        return _read_objects(column.astype(object).to_numpy(), kind)
    array = pa.array(column, from_pandas=True)
    return read(array, kind)


def _taken(cells: Cells, codes: np.ndarray) -> Cells:
    """Return the cells of a column that points into others; a code of -1 is missing."""
    gone = codes < 0
    at = pa.array(codes, pa.int64(), mask=gone) if gone.any() else pa.array(codes, pa.int64())
    unreadable = np.append(cells.unreadable, False)  # the last for -1
    return Cells(cells.values.take(at), unreadable[codes])


def _read_arrow(array: pa.Array, kind: FeatureType) -> Cells:
    stored = array.type
    if pa.types.is_dictionary(stored):
        codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return _taken(read(array.dictionary, kind), np.asarray(codes, dtype=np.int64))
    if isinstance(array, pa.ExtensionArray):
        return read(array.storage, kind)
    if pa.types.is_null(stored):
        return kind.refuse(array)
    reader = next((reader for test, reader in _READERS if test(stored)), None)
    return reader(array, kind) if reader else kind.refuse(array)


def _filled(texts: pa.Array) -> pa.Array:
    """Return texts with empty ones as missing: CSV knows no difference, so no other way in may."""
    empty = pc.equal(texts, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), texts) if pc.any(empty).as_py() else texts


def _real(array: pa.Array, kind: FeatureType) -> Cells:
    floats = pc.cast(array, pa.float64())
    holes = pc.is_nan(floats)
    gone = pc.any(holes).as_py()
    return kind.read_real(pc.if_else(holes, pa.scalar(None, pa.float64()), floats) if gone else floats)


def _whole(array: pa.Array, kind: FeatureType) -> Cells:
    if pa.types.is_uint64(array.type) and (pc.max(array).as_py() or 0) not in _INT64:
        return _read_objects(np.asarray(array.to_pylist(), dtype=object), kind)
    return kind.read_whole(pc.cast(array, pa.int64()))


def _moment(array: pa.Array, kind: FeatureType) -> Cells:
    """Read times of any unit; one with a zone is stored in UTC already, so its zone is taken off."""
    if pa.types.is_date(array.type):
        array = pc.cast(array, pa.timestamp("s" if pa.types.is_date32(array.type) else "ms"))
    plain = pc.cast(array, pa.timestamp(array.type.unit))
    options = pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True, allow_time_overflow=False)
    try:
        return kind.read_moment(pc.cast(plain, options=options))
    except pa.ArrowInvalid:  # a year that microseconds can't count to
        return _each_moment(plain, options, kind)


def _each_moment(plain: pa.Array, options: pc.CastOptions, kind: FeatureType) -> Cells:
    limit = (2**63 - 1) // 1_000_000
    seconds = pc.cast(plain, pa.timestamp("s"), safe=False).cast(pa.int64()).fill_null(0).to_numpy()
    far = np.abs(seconds) > limit
    near = pc.if_else(pa.array(far), pa.scalar(None, plain.type), plain)
    cells = kind.read_moment(pc.cast(near, options=options))
    return Cells(cells.values, cells.unreadable | far)


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array, FeatureType], Cells]], ...] = (
    (pa.types.is_string, lambda array, kind: kind.read_text(_filled(array))),
    (pa.types.is_large_string, lambda array, kind: kind.read_text(_filled(pc.cast(array, pa.string())))),
    (pa.types.is_string_view, lambda array, kind: kind.read_text(_filled(pc.cast(array, pa.string())))),
    (pa.types.is_boolean, lambda array, kind: kind.read_truth(array)),
    (pa.types.is_integer, _whole),
    (pa.types.is_floating, _real),
    (pa.types.is_timestamp, _moment),
    (pa.types.is_date, _moment),
    (pa.types.is_decimal, lambda array, kind: _read_objects(np.array(array.to_pylist(), dtype=object), kind)),
)
"""How an Arrow array of each accepted type is read; the cells of any other are unreadable."""


# --- Python objects: JSON, and what pandas could find no dtype for --------------------------------------


def _read_objects(objects: np.ndarray, kind: FeatureType) -> Cells:
    """Read objects (n,) sorted by what they are, each sort as an array of its own."""
    if pd.api.types.infer_dtype(objects, skipna=True) == "string":
        return read(pa.array(objects, pa.string(), from_pandas=True), kind)
    sorts = np.array([_sort(value) for value in objects], dtype=np.int8)
    order, pieces, unreadable = [], [], np.zeros(len(objects), dtype=bool)
    for number, (make, _) in enumerate(_SORTS):
        at = np.flatnonzero(sorts == number)
        if not len(at):
            continue
        cells = read(make([objects[i] for i in at]), kind)
        order.append(at)
        pieces.append(cells.values)
        unreadable[at] = cells.unreadable
    unreadable[sorts == _OTHER] = True
    back = np.full(len(objects), -1, dtype=np.int64)
    if order:
        back[np.concatenate(order)] = np.arange(sum(map(len, order)))
    values = pa.concat_arrays(pieces) if pieces else pa.nulls(0, kind.storage)
    return Cells(values.take(pa.array(back, mask=back < 0)), unreadable)


def _moments(values: list[Any]) -> pa.Array:
    stamps = [pd.Timestamp(value) for value in values]
    plain = [stamp.tz_convert(None) if stamp.tz is not None else stamp for stamp in stamps]
    return pa.array([stamp.as_unit("us").to_datetime64() for stamp in plain], pa.timestamp("us"))


_SORTS: tuple[tuple[Callable[[list[Any]], pa.Array], Any], ...] = (
    (lambda values: pa.array([bool(v) for v in values], pa.bool_()), (bool, np.bool_)),
    (lambda values: pa.array([int(v) for v in values], pa.int64()), (int, np.integer)),
    (lambda values: pa.array([float(v) for v in values], pa.float64()), (float, np.floating)),
    (_moments, (datetime.date, pd.Timestamp, np.datetime64)),
    (lambda values: pa.array([str(v) for v in values], pa.string()), (str, Decimal)),
)
"""How a list of each sort of object becomes an array, and the classes of it; a truth value is no number."""
_TEXT, _MISSING, _OTHER = len(_SORTS) - 1, -1, -2


def _sort(value: Any) -> int:
    """Return which of `_SORTS` an object is; whole numbers beyond 64 bits and decimals are texts."""
    if value is None or value is pd.NA or value is pd.NaT:
        return _MISSING
    if isinstance(value, (float, np.floating, Decimal)) and value != value:  # noqa: PLR0124 - NaN alone
        return _MISSING
    if isinstance(value, np.datetime64) and np.isnat(value):
        return _MISSING
    found = next((number for number, (_, classes) in enumerate(_SORTS) if isinstance(value, classes)), _OTHER)
    return _TEXT if found == 1 and int(value) not in _INT64 else found
