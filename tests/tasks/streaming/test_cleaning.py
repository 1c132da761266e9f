"""Cleaning in batches gives the rows that cleaning as a whole gives, duplicates from far apart included."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.config import Case, Keep, Missing, Rename, Scale, Trim, Types
from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.streaming import duplicates, rowgroups, stream

OPERATIONS = (
    Trim(trim=("kind",)),
    Case(case={"kind": "upper"}),
    Missing(missing={"*": ("D",), "whole": ("17",)}),
    Scale(scale={"x": 2.0}),
    Types(types={"whole": "text"}),
    Keep(keep={"price": (0.05, None)}),
    Rename(rename={"yes": "truth"}),
)


@pytest.fixture
def twice(bench, table):
    """The table with 600 of its rows again, at its end, and a dozen rows three times."""
    again = pd.concat([table, table.iloc[200:800], table.iloc[:12], table.iloc[:12]], ignore_index=True)
    return bench.store(again)


def everything(folder):
    """All rows of a cleaned stream as one frame."""
    rows = stream.load(folder)
    return pd.concat([rowgroups.frame(batch, ids) for ids, batch in rows.batches()])


@pytest.mark.parametrize("runs", [2**22, 300])
def test_the_rows_are_those_of_cleaning_as_a_whole(bench, twice, monkeypatch, runs):
    monkeypatch.setattr(duplicates, "RUN_ROWS", runs)
    pieces, whole = (bench.clean(how, *OPERATIONS) for how in ("always", "never"))
    counts = [(r.read, r.kept, r.dropped, r.quarantined, r.operations) for r in (pieces, whole)]
    assert counts[0] == counts[1]
    assert dict(pieces.operations)["duplicates"] >= 500
    lists = [(record.folder / "quarantine.csv").read_text() for record in (pieces, whole)]
    assert lists[0] == lists[1]
    rows = Dataset.load(whole.folder).rows
    pd.testing.assert_frame_equal(Dataset.load(pieces.folder).rows, rows)
    stored = everything(pieces.folder)
    assert stored.index.tolist() == rows.index.tolist()
    pd.testing.assert_frame_equal(stored, rows, check_dtype=False, check_index_type=False)


def test_a_sample_holds_no_row_that_went_as_a_duplicate(bench, twice, sampling):
    record = bench.clean("always", *OPERATIONS)
    sample = Dataset.load(record.folder).rows
    pd.testing.assert_frame_equal(sample, everything(record.folder).loc[sample.index], check_dtype=False)
    assert not sample.duplicated().any()
    assert 1000 < len(sample) == stream.load(record.folder).sample < record.kept


def test_the_digest_is_of_what_the_rows_hold(bench, table, monkeypatch):
    first = bench.clean("always", *OPERATIONS)
    bench.store(table, group=64)
    monkeypatch.setattr(rowgroups, "CELLS", 10**6)
    assert bench.clean("always", *OPERATIONS).digest == first.digest
    table.loc[4000, "price"] *= 2
    bench.store(table)
    assert bench.clean("always", *OPERATIONS).digest != first.digest


def test_more_unreadable_rows_than_the_budget_are_refused_by_place(bench, table):
    rows = table.assign(code=np.where(np.arange(5000) % 5, "1", "one"))
    bench.store(rows)
    with pytest.raises(DataRejected, match=r"clean: 1000 of 5000 rows are bad.*first: table.parquet row 1, "):
        bench.clean("always", Types(types={"code": "number"}))


def test_no_row_left_is_refused(bench, table):
    with pytest.raises(DataRejected, match="0 of 5000 rows are left"):
        bench.clean("always", Keep(keep={"price": (1e9, None)}))
    assert not list((bench.work("always") / "clean").glob("*"))


def test_runs_find_every_row_but_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "RUN_ROWS", 100)
    hashes = np.random.default_rng(0).integers(0, 2**64, 700, dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes[:300], hashes[250:300]])
    with duplicates.Runs(tmp_path, len(hashes)) as runs:
        for part in np.array_split(hashes, 7):
            runs.add(part)
        assert len(runs.paths) > 4
        found = runs.repeated()
    assert list(found.positions()) == list(range(700, 1050))
    assert not list(tmp_path.iterdir())
