"""Cleaning in batches gives the rows that cleaning as a whole gives, duplicates from far apart included."""

from __future__ import annotations

import datetime
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.clean import operate
from tasks.config import Case, Columns, Keep, Missing, Rename, Scale, TableSource, Trim, Types
from tasks.config.cleaning import OPERATIONS as KNOWN
from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.features import TYPES
from tasks.features.schema import frame
from tasks.records import FileRecord
from tasks.tables import cleaning, duplicates, rowgroups
from tasks.tables import table as table_of
from tasks.tables.mapping import processes, through

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
    rows = table_of.load(folder)
    return pd.concat([frame(batch, ids) for ids, batch in rows.batches()])


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
    assert 1000 < len(sample) == table_of.load(record.folder).sample < record.kept


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


# --- random tables: each operation as a whole, in pieces, by other processes --------------------------------

KINDS = {
    "x": "number", "whole": "integer", "kind": "category", "note": "text", "yes": "boolean", "day": "date",
    "price": "number",
}  # fmt: skip
TEXTS = st.sampled_from(
    ["a", "A", " b", "c  c", "3", "3.5", "true", "NA", "-", "<b>x</b>", "<br>", "2020-01-02", "ß"]
)
CELLS = {
    "number": st.sampled_from([0.0, 1.0, 3.0, -2.5, 1e30]),
    "integer": st.integers(0, 4),
    "category": TEXTS,
    "text": TEXTS,
    "boolean": st.booleans(),
    "date": st.sampled_from([datetime.datetime(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4)]),
}
NAMES = st.sampled_from(["x", "whole", "kind", "note", "yes", "day"])
LIMIT = st.one_of(st.none(), st.integers(-3, 4).map(float))


def named(values):
    return st.dictionaries(NAMES, values, min_size=1, max_size=3)


ARGUMENTS = {
    "types": named(st.sampled_from(sorted(TYPES))),
    "trim": st.lists(NAMES, min_size=1, max_size=3, unique=True),
    "case": named(st.sampled_from(["lower", "upper", "title"])),
    "missing": st.dictionaries(
        st.one_of(NAMES, st.just("*")), st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=3
    ),
    "scale": named(st.sampled_from([2.0, 0.5, -1.0, 1e300])),
    "rename": st.sampled_from([{"yes": "truth"}, {"x": "whole", "whole": "x"}]),
    "keep": named(st.tuples(LIMIT, LIMIT)),
    "only": named(st.lists(TEXTS, min_size=1, max_size=4)),
    "normalise": st.lists(NAMES, min_size=1, max_size=2, unique=True),
}


@st.composite
def typed(draw):
    """Typed rows with gaps, many of them equal."""
    count = draw(st.integers(1, 20))
    columns = {}
    for name, kind in KINDS.items():
        gaps = st.nothing() if name == "price" else st.none()
        cells = draw(st.lists(st.one_of(CELLS[kind], CELLS[kind], gaps), min_size=count, max_size=count))
        columns[name] = pa.array(cells, TYPES[kind].storage)
    return pa.table(columns)


def cleaned(raw, declared, folder, rows):
    """All that cleaning says and leaves."""
    out = folder / "out"
    out.mkdir()
    file = FileRecord(name="made.parquet", rows=rows, sha256="")
    done = cleaning.clean(raw, partial(operate, declared=declared, target="price"), (file,), out)
    left = Dataset.load(out).rows if done.kept else None
    stored = everything(out) if done.kept else None
    return done, (out / "quarantine.csv").read_text(), left, stored


def as_a_whole(table, declared):
    with tempfile.TemporaryDirectory() as name:
        table_of.save(Path(name), Dataset(frame(table)), KINDS, len(table))
        return cleaned(table_of.load(Path(name)), declared, Path(name), len(table))


def in_pieces(table, declared, size):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowgroups, "batch_rows", lambda kinds: size)
        pq.write_table(table, Path(name) / "made.parquet", row_group_size=size)
        source = TableSource(kind="table", path="made.parquet", stream="always")
        parts, schema = rowgroups.look(source, Path(name), Columns(types=KINDS))
        raw = table_of.Table(
            parts=parts,
            kinds=dict(schema.types),
            source=len(table),
            sample=0,
            memory_mb=64,
            folder=Path(name),
        )
        return cleaned(raw, declared, Path(name), len(table))


def assert_same(whole, pieces):
    assert vars(pieces[0]) == vars(whole[0])
    assert pieces[1] == whole[1]
    for expected, found in zip(whole[2:], pieces[2:], strict=True):
        assert (expected is None) == (found is None)
        if expected is not None:
            pd.testing.assert_frame_equal(found, expected)


def tried(share):
    """A share of the profile's examples."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.nested_given]
    return settings(
        max_examples=settings().max_examples // share, deadline=None, suppress_health_check=checks
    )


@pytest.mark.timeout(3600)  # of the nightly profile
@pytest.mark.parametrize("operation", KNOWN)
def test_an_operation_does_the_same_in_pieces_cut_anywhere(operation):
    @tried(4)
    @given(table=typed(), argument=ARGUMENTS[operation], size=st.integers(1, 20))
    def check(table, argument, size):
        declared = [{operation: argument}]
        assert_same(as_a_whole(table, declared), in_pieces(table, declared, size))

    check()


@pytest.mark.timeout(3600)  # of the nightly profile
def test_an_operation_does_the_same_in_other_processes(own_code_first):
    operations = st.one_of(
        [ARGUMENTS[name].map(lambda argument, name=name: {name: argument}) for name in KNOWN]
    )

    with processes.pool(2) as engine:

        @tried(4)
        @given(table=typed(), declared=st.lists(operations, min_size=1, max_size=1), size=st.integers(1, 10))
        def check(table, declared, size):
            whole = as_a_whole(table, declared)
            with through(engine):
                assert_same(whole, in_pieces(table, declared, size))

        check()
