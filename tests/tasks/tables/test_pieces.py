"""A table in pieces: every row once, and the same bits whoever works on them."""

from __future__ import annotations

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from cloudpickle import dumps

from tasks.config import Columns, Keep, Scale, Trim
from tasks.features.schema import frame
from tasks.tables import rowgroups
from tasks.tables import table as table_of
from tasks.tables.bits import Bits
from tasks.tables.mapping import in_order, processes, through

OPERATIONS = (Trim(trim=("kind",)), Scale(scale={"x": 2.0}), Keep(keep={"price": (0.05, None)}))


def looked(bench, source):
    parts, schema = rowgroups.look(source, bench.folder, Columns())
    return parts, dict(schema.types)


def threads(function, items):
    """An engine of three threads, to which everything is handed as to another process."""
    with ThreadPoolExecutor(3) as pool:

        def submit(item):
            call = dumps((function, item))

            def work():
                known, told = pickle.loads(call)
                return dumps(known(told))

            return pool.submit(work)

        yield from in_order(submit, items, 6, lambda future: pickle.loads(future.result()))


def left(record):
    """Digests of what a step left, but for what names this work folder."""
    files = sorted(record.folder.rglob("*"))
    told = [path for path in files if path.is_file() and path.name not in ("record.json", "inputs.json")]
    return {
        path.relative_to(record.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in told
        if "docs" not in path.parts
    }


def everything(bench):
    """All that four steps leave and say."""
    steps = (bench.validate(), bench.clean("always", *OPERATIONS), bench.split("always", *OPERATIONS))
    fitted = bench.fit("always", *OPERATIONS)
    files = [left(record) for record in (*steps, fitted)]
    return files, [steps[1].digest, steps[1].operations, steps[2].hash, fitted.history]


@pytest.fixture
def again(bench, monkeypatch, tmp_path):
    """Takes all that was done away, so that it is done again."""

    def forget():
        bench.work("always").rename(tmp_path / "before")

    return forget


def comparable(found):
    """Without seconds, which no two runs share."""
    files, told = found
    history = [(e.epoch, e.train_loss, e.validation_loss, e.validation_metric) for e in told[-1]]
    bare = [
        {name: sha for name, sha in each.items() if not name.endswith((".html", ".pt"))} for each in files
    ]
    return bare, [*told[:-1], history]


def test_other_threads_leave_the_same_bits(bench, table, sampling, again):
    bench.columns = Columns(categorical=("whole",))
    here = comparable(everything(bench))
    assert sum(name.endswith(".parquet") for name in here[0][1]) > 4
    again()
    with through(threads):
        assert comparable(everything(bench)) == here


def test_other_processes_leave_the_same_bits(bench, table, again, own_code_first):
    here = comparable(everything(bench))
    again()
    with processes.pool(2) as engine, through(engine):
        assert comparable(everything(bench)) == here


def test_pieces_hold_every_row_once_and_span_small_files(bench, table):
    (bench.folder / "rows").mkdir()
    for number, start in enumerate(range(0, 5000, 300)):
        table.iloc[start : start + 300].to_parquet(
            bench.folder / "rows" / f"{number:02}.parquet", index=False
        )
    source = bench.source().model_copy(update={"path": "rows"})
    parts, kinds = looked(bench, source)
    rows = table_of.Table(parts=parts, kinds=kinds, source=5000, sample=0, memory_mb=64)
    pieces = list(rows.pieces(["x"]))
    assert [len(piece.spans) for piece in pieces] == [3] * 5 + [2]
    assert [piece.start for piece in pieces] == [0, 900, 1800, 2700, 3600, 4500]
    found = pd.concat([frame(batch, ids) for piece in pieces for ids, batch in piece.batches()])
    assert found.index.tolist() == list(range(5000))
    pd.testing.assert_series_equal(found["x"], table["x"], check_names=False, check_index=False)


def test_rows_to_pass_over_are_passed_over_by_the_piece(bench, table, tmp_path):
    parts, kinds = looked(bench, bench.source())
    out = Bits(5000)
    out.add(np.array([0, 699, 700, 4999, *range(1400, 2100)]))
    table_of.Table(parts=parts, kinds=kinds, source=5000, sample=0, memory_mb=64).save(tmp_path, out)
    pieces = list(table_of.load(tmp_path).pieces(["x"]))
    assert [piece.kept for piece in pieces] == [698, 699, 0, 700, 700, 700, 799]
    assert [sum(len(ids) for ids, _ in piece.batches()) for piece in pieces] == [
        piece.kept for piece in pieces
    ]


def test_samples_are_put_together_in_their_order(table):
    pieces, samples, most = [table[at : at + 25] for at in range(0, len(table), 25)], [], 0
    for piece in pieces:
        samples = table_of.gathered([*samples, piece])
        most = max(most, len(samples))
    assert most < table_of.TOGETHER
    pd.testing.assert_frame_equal(pd.concat(samples), table)
