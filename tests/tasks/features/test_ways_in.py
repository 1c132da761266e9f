"""A row means the same whatever it came in: the same values, hashes, part, tensors and answer."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.config import Columns, TableSource
from tasks.errors import DataRejected
from tasks.features import Rows, Schema
from tasks.features.hashing import hash_rows
from tasks.features.schema import frame
from tasks.learning import scoring
from tasks.learning.encode import Encoder, TableInputs
from tasks.learning.seen import marks
from tasks.learning.targets import Scale
from tasks.splitting.assign import assign_splits
from tasks.splitting.plan import SplitPlan
from tasks.tables import opening, rowgroups

Cells = pa.Table | pd.DataFrame

pytestmark = pytest.mark.timeout(3600)  # of the nightly profile; the others take a minute

any_table = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Expected:
    """What a table must come to, by whatever way.

    Attributes:
        table: Canonical rows.
        unreadable: Column to the cells (n,) that hold no value of its type.
        model: A model that was fitted on those rows.
    """

    def __init__(self, columns: list[Any]) -> None:
        self.columns = columns
        self.schema = Schema({column.name: column.kind for column in columns})
        stored = {name: kind.storage for name, kind in self.schema}
        self.table = pa.table({c.name: pa.array(c.truth, stored[c.name]) for c in columns})
        self.unreadable = {c.name: c.unreadable for c in columns if any(c.unreadable)}
        self.hashes = hash_rows(self.table, list(self.schema.types))
        self.rows = frame(self.table)
        self.model = _model(self.schema, self.rows)
        self.encoded, self.answers, _ = self.answered(self.table)
        assert np.isfinite(self.answers).all()

    def answered(self, cells: Cells) -> tuple[tuple[np.ndarray, ...], np.ndarray, dict[int, str]]:
        """Encoded tensors, predictions, and the rows without one."""
        encoded = self.model.encoder.inputs.encode(frame(self.schema.read(cells).table))
        found, bad = self.model.predict_each(cells)
        return encoded, found.values, bad

    def check(self, cells: Cells, rows: list[int], way: str) -> None:
        """Hold some cells against the rows (by position) that they must be."""
        hashes = self.hashes[rows].tolist()
        read = self.schema.read(cells)
        self.check_rows(read, rows, way)
        assert hash_rows(read.table, list(self.schema.types)).tolist() == hashes, way
        encoded, answers, bad = self.answered(cells)
        for tensor, known in zip(encoded, self.encoded, strict=True):
            np.testing.assert_array_equal(tensor, known[rows], err_msg=way)
        np.testing.assert_allclose(answers, self.answers[rows], rtol=1e-5, atol=1e-5, err_msg=way)
        assert sorted(bad) == [at for at, row in enumerate(rows) if row in self.unanswered], way
        assert marks(cells, self.model.manifest["identity"]).tolist() == hashes, way

    def check_rows(self, read: Rows, rows: list[int], way: str) -> None:
        """Hold canonical values, and what can't be read, against those that they must be."""
        for column in self.columns:
            place = f"{way}: {column.name}, {column.kind}, of {column.values}"
            got = read.table[column.name]
            assert got.type in (self.table.schema.field(column.name).type, rowgroups.storage(column.kind))
            assert got.to_pylist() == [column.truth[row] for row in rows], place
            unreadable = read.unreadable.get(column.name, np.zeros(len(rows), dtype=bool))
            assert unreadable.tolist() == [column.unreadable[row] for row in rows], place

    @property
    def unanswered(self) -> set[int]:
        """Rows with a cell that can't be read."""
        return {row for cells in self.unreadable.values() for row in np.flatnonzero(cells).tolist()}


def _model(schema: Schema, rows: pd.DataFrame) -> scoring.Scorer:
    """A model as it is kept and loaded again, its weights random."""
    roles = {name: kind.role for name, kind in schema}
    numeric, categorical = (
        [name for name, is_ in roles.items() if is_ == role] for role in ("numeric", "categorical")
    )
    encoder = Encoder(
        TableInputs.fit(rows, numeric, categorical, "standard"), Scale(False, 0.0, 1.0, -1e9, 1e9)
    )
    columns = [{"name": name, "type": kind} for name, kind in schema.types.items()]
    network = {"kind": "neuron"}
    bundle = scoring.Bundle(
        "regression", "price", network, columns, None, [{"trim": categorical}], ["price"], columns
    )
    with tempfile.TemporaryDirectory() as folder:
        weights = scoring.make_network(network, encoder).state_dict()
        scoring.save(Path(folder), bundle, encoder, weights, rows)
        return scoring.load(Path(folder))


def parts_of(rows: pd.DataFrame, schema: Schema) -> list[str] | str:
    """The part of each row, or why there is none: the rows may be too few."""
    plan = SplitPlan(
        strategy="random", validation=0.2, test=0.3, column=None, target="price", task="regression",
        seed=3, content=tuple(schema.types),
    )  # fmt: skip
    try:
        return assign_splits(opening.of_frame(rows, schema.types), plan).parts.tolist()
    except DataRejected as error:
        return str(error)


def some(ways: dict[str, Any], data: st.DataObject) -> list[tuple[str, Any]]:
    """A few of the ways in."""
    return [
        (way, ways[way]) for way in data.draw(st.lists(st.sampled_from(list(ways)), min_size=3, max_size=3))
    ]


def in_pieces(content: bytes, schema: Schema) -> Rows:
    """A Parquet file, read a row group at a time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "made.parquet").write_bytes(content)
        source = TableSource(kind="table", path="made.parquet", stream="always")
        parts, read = rowgroups.look(source, Path(folder), Columns(types=dict(schema.types)))
        assert read == schema
        pieces = list(rowgroups.batches(parts[0], schema.types, size=1))
    unreadable = {
        name: np.concatenate([p.unreadable.get(name, np.zeros(len(p.table), dtype=bool)) for p in pieces])
        for name in schema.types
    }
    return Rows(pa.concat_tables([piece.table for piece in pieces]), unreadable)


@any_table
@given(data=st.data())
def test_a_table_is_the_same_by_every_way_in(tables: Any, ways: dict[str, Any], data: st.DataObject) -> None:
    columns = data.draw(tables())
    seed = data.draw(st.integers(0, 2**32))
    expected = Expected(columns)
    everything = list(range(len(columns[0].values)))
    for way, cells_of in ways.items():
        expected.check(cells_of(columns, random.Random(seed)), everything, way)


@any_table
@given(data=st.data())
def test_a_row_alone_is_what_it_is_among_others(
    tables: Any, ways: dict[str, Any], data: st.DataObject
) -> None:
    columns = data.draw(tables())
    seed = data.draw(st.integers(0, 2**32))
    row = data.draw(st.integers(0, len(columns[0].values) - 1))
    expected = Expected(columns)
    for way, cells_of in some(ways, data):
        written = cells_of([column.at([row]) for column in columns], random.Random(seed))
        expected.check(written, [row], f"{way}, written alone")
        whole = cells_of(columns, random.Random(seed))
        cut = whole[row : row + 1] if isinstance(whole, pd.DataFrame) else whole.slice(row, 1)
        expected.check(cut, [row], f"{way}, cut out")


@any_table
@given(data=st.data())
def test_rows_keep_their_parts_by_every_way_in(
    tables: Any, ways: dict[str, Any], data: st.DataObject
) -> None:
    columns = data.draw(tables(wrong=False))
    seed = data.draw(st.integers(0, 2**32))
    expected = Expected(columns)
    known = parts_of(expected.rows, expected.schema)
    for way, cells_of in some(ways, data):
        cells = cells_of(columns, random.Random(seed))
        rows = cells if isinstance(cells, pd.DataFrame) else frame(expected.schema.read(cells).table)
        assert parts_of(rows.reset_index(drop=True), expected.schema) == known, way


@any_table
@given(data=st.data())
def test_a_file_in_pieces_is_what_it_is_as_a_whole(
    tables: Any, parquet_bytes: Callable[..., bytes], data: st.DataObject
) -> None:
    columns = data.draw(tables())
    expected = Expected(columns)
    size = data.draw(st.integers(1, 5))
    content = parquet_bytes(columns, random.Random(data.draw(st.integers(0, 2**32))), row_group_size=size)
    expected.check_rows(in_pieces(content, expected.schema), list(range(len(columns[0].values))), "in pieces")
