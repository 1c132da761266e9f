"""The split in one pass: every row once, by what it holds, by its seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.features.schema import frame
from tasks.splitting import parts
from tasks.tables import table as table_of


def dealt(bench, **rules):
    """The record, and every cleaned row with its part."""
    record, cleaned = bench.split("always", **rules), bench.clean("always")
    rows = pd.concat([frame(b, ids) for ids, b in table_of.load(cleaned.folder).batches()])
    codes = np.load(record.folder / parts.CODES)
    return record, rows.assign(part=np.array(parts.PARTS)[codes])


RULES = {
    "random": {},
    "stratified": {},
    "key": {"column": "whole"},
    "group": {"column": "whole"},
    "time": {"column": "day"},
}


@pytest.mark.parametrize("strategy", RULES)
def test_every_row_is_dealt_once_in_proportion(bench, table, sampling, strategy):
    record, rows = dealt(bench, strategy=strategy, **RULES[strategy])
    counts = rows["part"].value_counts()
    assert (record.train, record.validation, record.test) == tuple(counts[name] for name in parts.PARTS)
    assert counts.sum() == len(rows) == 5000
    assert 0.10 < counts["validation"] / 5000 < 0.20
    assert 0.14 < counts["test"] / 5000 < 0.26
    stored = parts.load(record.folder)
    sample = Dataset.load(bench.clean("always").folder).rows
    assert stored.index.equals(sample.index)
    assert (stored == rows.loc[stored.index, "part"]).all()
    assert "a sample of" in record.warnings[-1]


def test_equal_rows_come_into_one_part_though_their_targets_differ(bench, table):
    other = table.iloc[:400].assign(price=9.0)
    bench.store(pd.concat([table, other], ignore_index=True))
    _, rows = dealt(bench)
    features = [name for name in table.columns if name != "price"]
    assert rows.groupby(features, dropna=False)["part"].nunique().max() == 1


@pytest.mark.parametrize("strategy", RULES)
def test_the_table_as_a_whole_has_the_same_parts(bench, table, strategy):
    rules = {"strategy": strategy, **RULES[strategy]}
    bench.store(pd.concat([table, table.iloc[:400].assign(price=9.0)], ignore_index=True))
    whole, streamed = bench.split("never", **rules), bench.split("always", **rules)
    assert parts.load(whole.folder).equals(parts.load(streamed.folder))
    assert whole.hash == streamed.hash == parts.parts_hash(parts.load(whole.folder))


def test_a_row_goes_where_it_went_whatever_stands_beside_it(bench, table):
    _, before = dealt(bench, strategy="key")
    bench.store(table.iloc[2500:].reset_index(drop=True))
    _, after = dealt(bench, strategy="key")
    assert before["part"].iloc[2500:].tolist() == after["part"].tolist()


def test_the_seed_deals_anew(bench, table):
    hashes = [bench.split("always", seed=seed).hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_groups_stay_together_and_times_in_order(bench, table):
    _, rows = dealt(bench, strategy="group", column="whole")
    assert rows.groupby("whole")["part"].nunique().max() == 1
    _, rows = dealt(bench, strategy="time", column="day")
    ends = rows.groupby("part")["day"].agg(["min", "max"])
    assert ends.loc["train", "max"] < ends.loc["validation", "min"]
    assert ends.loc["validation", "max"] < ends.loc["test", "min"]


def test_a_column_names_the_parts(bench, table):
    names = np.resize(["Train", "train", "TEST", "validation"], 5000)
    bench.store(table.assign(which=names))
    record, rows = dealt(bench, strategy="column", column="which")
    assert (record.train, record.validation, record.test) == (2500, 1250, 1250)
    assert (rows["part"] == pd.Series(names).str.lower()).all()
    bench.store(table.assign(which=np.resize(["train", "test", "other"], 5000)))
    with pytest.raises(DataRejected, match="names no part in 1666 of 5000 rows"):
        bench.split("always", strategy="column", column="which")
    bench.store(table.assign(which=np.resize(["train", "test"], 5000)))
    record, _ = dealt(bench, strategy="column", column="which", validation=0.2)
    assert (record.train, record.validation, record.test) == (2000, 500, 2500)


def test_a_key_with_gaps_is_refused(bench, table):
    with pytest.raises(DataRejected, match="'x' has no value in 715 of 5000 rows"):
        bench.split("always", strategy="key", column="x")
