"""Digest the content of rows, and write cells as texts, in forms that storage does not change.

Both are made cell by cell, so they do not depend on file format, compression or the order in which rows lie.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd

from tasks.dataset import Dataset


def digest(data: Dataset) -> str:
    """Hex sha256 of row ids, column names, types and cells, and pixels, in the order of row ids."""
    order = np.argsort(data.rows.index.to_numpy(), kind="stable")
    rows = data.rows.iloc[order]
    content = hashlib.sha256(rows.index.to_numpy(dtype=np.int64).tobytes())
    for name in rows.columns:
        kind, cells = _cells(rows[name])
        content.update(json.dumps([str(name), kind, len(cells)]).encode())
        content.update(cells)
    if data.pixels is not None:
        content.update(json.dumps([*data.pixels.shape, str(data.pixels.dtype)]).encode())
        in_order = bool((order == np.arange(len(order))).all())
        content.update(np.ascontiguousarray(data.pixels if in_order else data.pixels[order]).data)
    return content.hexdigest()


def _cells(column: pd.Series) -> tuple[str, bytes]:
    """The kind of a column and its cells as bytes; equal columns give equal bytes."""
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_integer_dtype(kind):
        gaps = column.isna().to_numpy()
        whole = column.to_numpy(dtype=object, na_value=0) if gaps.any() else column.to_numpy()
        return ("truth" if pd.api.types.is_bool_dtype(kind) else "whole"), whole.astype(
            np.int64
        ).tobytes() + np.packbits(gaps).tobytes()
    if pd.api.types.is_float_dtype(kind):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return "number", np.where(np.isnan(numbers), np.nan, numbers).tobytes()
    return "text", json.dumps(texts(column), ensure_ascii=False).encode("utf-8", "surrogatepass")


def texts(column: pd.Series) -> list[str | None]:
    """Each cell as text, None where it is missing.

    A number reads the same whether its column is stored as whole numbers, as floats because another
    row has a gap, or as text because another row holds a word.
    """
    gaps = column.isna().to_numpy()
    cells: Any = column.astype(object)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        cells = (moment if gap else moment.isoformat() for gap, moment in zip(gaps, column, strict=True))
    elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        cells = column.to_numpy(dtype=np.float64, na_value=np.nan).tolist()
    return [None if gap else _text(cell) for gap, cell in zip(gaps, cells, strict=True)]


def _text(cell: Any) -> str:
    if isinstance(cell, (float, np.floating)):
        return repr(float(cell)).removesuffix(".0")
    return cell if isinstance(cell, str) else str(cell)
