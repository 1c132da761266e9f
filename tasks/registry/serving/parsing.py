"""Bodies of requests as cells: what MLflow's own parsers would alter before the model sees it.

They make floats of whole numbers beside a gap, gaps of the text `NA`, and cut 33.5 to 33 for a whole number.
Here JSON stays what it says, CSV stays text, and the schema of the model decides what a cell is.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from tasks.sources import delimited

CSV, JSON = "text/csv", "application/json"
RECORDS, SPLIT = "dataframe_records", "dataframe_split"

Request = tuple[pd.DataFrame, dict[str, Any] | None]
"""Rows of cells, and the parameters of the request."""


def parse(body: bytes, content_type: str) -> Request | None:
    """Return the rows of a request; None for a form that MLflow is left to parse, such as tensors.

    Raises:
        DataError: CSV that can't be read.
        ValueError: Frames that are none.
    """
    mime, _, parameters = (part.strip() for part in content_type.partition(";"))
    if parameters.replace(" ", "").lower() not in ("", "charset=utf-8"):
        return None
    if mime == CSV:
        return delimited.parse(body, "the request", ",").to_pandas(), None
    return _of_json(body) if mime == JSON else None


def _of_json(body: bytes) -> Request | None:
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return None  # MLflow says what is wrong with it
    if (
        not isinstance(tree, dict)
        or (RECORDS in tree) == (SPLIT in tree)
        or {"inputs", "instances"} & tree.keys()
    ):
        return None
    params = tree.get("params")
    if params is not None and not isinstance(params, dict):
        raise ValueError(f"params: expected an object, got {type(params).__name__}")
    return (_of_records(tree[RECORDS]) if RECORDS in tree else _of_split(tree[SPLIT])), params


def _of_records(records: Any) -> pd.DataFrame:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{RECORDS}: expected a list of objects")
    names = list(dict.fromkeys(name for record in records for name in record))
    cells = {name: [record.get(name) for record in records] for name in names}
    return _frame(cells, len(records))


def _of_split(split: Any) -> pd.DataFrame:
    names, rows = (split.get(key) for key in ("columns", "data")) if isinstance(split, dict) else (None, None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{SPLIT}: expected 'columns', a list of names, and 'data'")
    if len(set(names)) < len(names):
        raise ValueError(f"{SPLIT}: two columns have one name")
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == len(names) for row in rows
    ):
        raise ValueError(f"{SPLIT}: expected 'data', a list of rows with {len(names)} cells each")
    return _frame({name: [row[at] for row in rows] for at, name in enumerate(names)}, len(rows))


def _frame(cells: dict[str, list[Any]], rows: int) -> pd.DataFrame:
    columns = {name: pd.Series(values, dtype=object) for name, values in cells.items()}
    return pd.DataFrame(columns, index=pd.RangeIndex(rows))
