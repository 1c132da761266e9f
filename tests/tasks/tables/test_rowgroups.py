"""What footers say; batches that don't depend on how a file is cut."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import sources
from tasks.config import Columns, Fit, TableSource
from tasks.errors import ArtifactTampered, ConfigError
from tasks.features.schema import frame
from tasks.sources import parquet
from tasks.tables import hashing, rowgroups

PLAIN = Columns()


def look(bench, columns=PLAIN):
    parts, schema = rowgroups.look(bench.source(), bench.folder, columns)
    return parts, dict(schema.types)


def read(bench, columns=None):
    parts, kinds = look(bench)
    frames, start = [], 0
    for rows in rowgroups.batches(parts[0], kinds, columns):
        batch = rows.table
        frames.append(frame(batch, np.arange(start, start + batch.num_rows)))
        start += batch.num_rows
    return pd.concat(frames), frames


def test_rows_read_in_pieces_are_those_that_are_read_as_a_whole(bench, table):
    whole = sources.read(bench.source("never"), bench.folder, "price", Columns()).dataset.rows
    pieces, frames = read(bench)
    assert len(frames) > 2
    pd.testing.assert_frame_equal(pieces, whole, check_index_type=False)


def test_small_row_groups_are_read_together(bench, table):
    bench.store(table, group=10)
    _, frames = read(bench)
    assert [len(frame) for frame in frames] == [1020] * 4 + [920]


def test_a_files_footer_is_read_once_for_all_of_its_pieces_until_it_is_another_file(
    bench, table, monkeypatch
):
    bench.store(table, group=500)
    read_anew, opened = [], parquet.opened

    def watched(file, name, texts=(), footer=None, **more):
        read_anew.append(footer is None)
        return opened(file, name, texts, footer, **more)

    monkeypatch.setattr(parquet, "opened", watched)
    for rows in (5000, 4000):
        bench.store(table[:rows], group=500)
        parts, kinds = look(bench)
        read_anew.clear()
        spans = [span for spans, _ in rowgroups.pieces(parts, 500) for span in spans]
        found = [batch for part, groups in spans for batch in rowgroups.batches(part, kinds, groups=groups)]
        assert sum(batch.table.num_rows for batch in found) == rows
        assert sum(read_anew) == 1 and len(read_anew) == 1 + rows // 500


def test_whole_numbers_and_truths_with_a_gap_anywhere_become_what_they_become_in_memory(bench, table):
    gaps = table.assign(whole=table["whole"].astype("Int64"), yes=table["yes"].astype("boolean"))
    gaps.loc[4999, ["whole", "yes"]] = pd.NA
    bench.store(gaps)
    whole = sources.read(bench.source("never"), bench.folder, "price", Columns()).dataset.rows
    pieces, _ = read(bench)
    assert (str(pieces["whole"].dtype), str(pieces["yes"].dtype)) == ("Int64", "boolean")
    pd.testing.assert_frame_equal(pieces, whole, check_index_type=False)


@pytest.mark.parametrize("statistics", [True, False])
def test_types_are_known_without_reading_rows(bench, statistics):
    table = pa.table(
        {"a": [1, None, 3], "code": [2**60, 7, None], "b": ["1", "x", "3"], "price": [1.0, 2, 3]}
    )
    pq.write_table(table, bench.folder / "table.parquet", write_statistics=statistics)
    _, kinds = look(bench)
    assert kinds == {"a": "integer", "code": "category", "b": "category", "price": "number"}
    _, kinds = look(bench, Columns(types={"code": "key"}, numeric=("b",)))
    assert kinds == {"a": "integer", "code": "key", "b": "number", "price": "number"}


def test_cells_that_hold_no_value_of_the_declared_type_are_told_by_row(bench):
    table = pa.table({"a": [1.0, 33.5, None], "b": ["1", "x", "3"], "price": [1, 2, 3]})
    pq.write_table(table, bench.folder / "table.parquet")
    parts, kinds = look(bench, Columns(types={"a": "integer", "b": "number"}))
    (rows,) = rowgroups.batches(parts[0], kinds)
    assert {name: cells.tolist() for name, cells in rows.unreadable.items()} == {
        "a": [False, True, False],
        "b": [False, True, False],
    }
    assert rows.table["a"].to_pylist() == [1, None, None]


def test_auto_goes_by_what_the_table_would_take(bench, table, monkeypatch):
    auto = bench.source("auto", memory_mb=1024)
    assert not rowgroups.is_beyond(auto, bench.folder, Columns())
    monkeypatch.setattr(rowgroups, "CELL_BYTES", 2**30 // table.size + 1)
    assert rowgroups.is_beyond(auto, bench.folder, Columns())
    assert not rowgroups.is_beyond(bench.source("never"), bench.folder, Columns())
    assert not rowgroups.is_beyond(bench.source("auto", memory_mb=1025), bench.folder, Columns())


def test_what_can_not_be_streamed_is_refused_where_it_is_asked_for(bench, table):
    (bench.folder / "table.csv").write_text("a,price\n1,2\n")
    csv = TableSource(kind="table", path="table.csv", stream="always")
    with pytest.raises(ConfigError, match="only tables in Parquet"):
        rowgroups.is_beyond(csv, bench.folder, Columns())
    with pytest.raises(ConfigError, match="only tables in Parquet"):
        rowgroups.is_beyond(bench.source(), bench.folder, Columns(text="kind"))


@pytest.mark.parametrize("setting", ["refit", "bagging"])
def test_settings_that_need_rows_in_memory_are_refused_before_a_row_is_read(
    bench, table, monkeypatch, setting
) -> None:
    monkeypatch.setattr(rowgroups, "batches", None)
    asked, columns = Fit(**{setting: True}), Columns()
    with pytest.raises(ConfigError, match=rf"fit\.{setting} takes rows that are in memory.*source\.stream"):
        rowgroups.check_settings(bench.source("always"), bench.folder, columns, asked)
    rowgroups.check_settings(bench.source("auto"), bench.folder, columns, asked)
    rowgroups.check_settings(bench.source("always"), bench.folder, columns, Fit())
    gone = TableSource(kind="table", path="gone.parquet", stream="always")
    rowgroups.check_settings(gone, bench.folder, columns, asked)


def test_a_file_that_changed_is_not_read(bench, table):
    parts, kinds = look(bench)
    os.utime(bench.folder / "table.parquet", (1, 1))
    with pytest.raises(ArtifactTampered, match=r"table.parquet changed or went away"):
        next(rowgroups.batches(parts[0], kinds))


def test_a_row_hashes_by_what_it_holds(bench, table):
    parts, kinds = look(bench)
    pieces = [hashing.rows(batch.table, list(kinds)) for batch in rowgroups.batches(parts[0], kinds)]
    whole = [hashing.rows(rows.table, list(kinds)) for rows in rowgroups.batches(parts[0], kinds, size=10**6)]
    assert (np.concatenate(pieces) == np.concatenate(whole)).all()
    assert len(np.unique(np.concatenate(pieces))) == len(table.drop_duplicates())


def test_numbers_hash_the_same_however_they_are_stored():
    def hashed(values, kind):
        return hashing.rows(pa.table({"a": pa.array(values, kind)}), ["a"]).tolist()

    assert hashed([1, 2, None], pa.int64()) == hashed([1.0, 2.0, None], pa.float64())
    assert hashed([0.0], pa.float64()) == hashed([-0.0], pa.float64())
    assert hashed([float("nan")], pa.float64()) == hashed([None], pa.float64())
    assert len(set(hashed([2**60, 2**60 + 1], pa.int64()))) == 2


def test_a_sample_is_some_rows_by_their_ids(sampling):
    ids = np.arange(100_000)
    chosen = hashing.sampled(ids, 100_000)
    assert 1350 < chosen.sum() < 1650
    assert (hashing.sampled(ids[500:700], 100_000) == chosen[500:700]).all()
    assert hashing.sampled(ids[:10], 1500).all()
