"""Cells of any reader as rows: each column's type declared or, once, inferred; what can't be read by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Columns
from tasks.dataset import Dataset
from tasks.errors import quoted
from tasks.features import Schema
from tasks.features.inference import NUMBER, infer
from tasks.features.schema import frame
from tasks.records import FileRecord, Finding
from tasks.sources.loaded import Loaded

ROWS_SHOWN = 10
_CODE = r"^0[0-9]+$"


def schema_of(cells: pa.Table, columns: Columns, *, written: bool = False) -> Schema:
    """Return the type of each column: the declared one, or that of its cells."""
    kinds = {name: columns.type_of(name) for name in cells.column_names}
    return Schema({name: kind or infer(cells[name], written=written) for name, kind in kinds.items()})


def load(
    cells: pa.Table, columns: Columns, fingerprint: str, files: tuple[FileRecord, ...],
    findings: Sequence[Finding] = (),
    *,
    written: bool = False,
) -> Loaded:  # fmt: skip
    """Return rows of raw cells in canonical values.

    Args:
        cells: (n, columns) of any physical types, in row order.
        columns: Declared types.
        fingerprint: Of the content.
        files: In row order.
        findings: Doubts of the reader.
        written: Whether the file knows texts alone, so that these tell the types.
    """
    schema = schema_of(cells, columns, written=written)
    read = schema.read(cells)
    return Loaded(
        dataset=Dataset(frame(read.table)),
        schema=schema,
        fingerprint=fingerprint,
        files=files,
        findings=(*findings, *(_doubts(cells, schema, columns) if written else ())),
        unreadable=read.unreadable,
    )


def load_frame(data: Dataset, columns: Columns, fingerprint: str, files: tuple[FileRecord, ...]) -> Loaded:
    """Return the same of a frame, whose pixels stay beside it."""
    loaded = load(cells_of(data.rows), columns, fingerprint, files)
    rows = loaded.dataset.rows.set_axis(data.rows.index, axis=0)
    return Loaded(**{**vars(loaded), "dataset": Dataset(rows, data.pixels)})


def cells_of(rows: pd.DataFrame) -> pa.Table:
    """Return a frame's cells as Arrow has them; a column of mixed objects as texts.

    The texts are those that a category makes of each cell, so that such a column reads as one.
    """
    return pa.table([_array(rows[name]) for name in rows.columns], names=[str(name) for name in rows.columns])


def _array(column: pd.Series) -> pa.Array:
    from tasks.features import TYPES, read  # noqa: PLC0415

    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return read(column, TYPES["text"]).values


def _doubts(cells: pa.Table, schema: Schema, columns: Columns) -> list[Finding]:
    """Say of which columns most cells are numbers, and that a few others made a category of them."""
    texts = (
        name
        for name, kind in schema.types.items()
        if kind == "category" and pa.types.is_string(cells[name].type) and columns.type_of(name) is None
    )
    return [found for name in texts if (found := _doubt(cells[name], name)) is not None]


def _doubt(column: pa.ChunkedArray, label: str) -> Finding | None:
    sample = column.slice(0, 1000).drop_null()
    if not len(sample) or 2 * _count(sample, NUMBER) < len(sample):
        return None
    texts = pc.fill_null(pc.invert(pc.match_substring_regex(column, f"{NUMBER}|{_CODE}")), False)
    count = int(pc.sum(pc.cast(texts, pa.int64())).as_py() or 0)
    if not 0 < 2 * count < len(column):
        return None
    return Finding(
        rule="numbers_read_as_text",
        severity="warn",
        column=label,
        count=count,
        rows=tuple(np.flatnonzero(texts.to_numpy())[:ROWS_SHOWN].tolist()),
        message=f"column {quoted(label)} is read as a category: {count:,} of its values are no numbers, most "
        "are; declare them with clean: missing, or the column's type in columns.types",
    )


def _count(column: pa.ChunkedArray, pattern: str) -> int:
    return int(pc.sum(pc.cast(pc.match_substring_regex(column, pattern), pa.int64())).as_py() or 0)
