"""Rows that pass by are judged as rows in memory are: the same counts, the same rows set aside."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tasks.config import Columns, Validate
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered, ConfigError, DataRejected
from tasks.tables import rowgroups
from tasks.tables import table as table_of


def expect(kind, severity="critical", **kwargs):
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


COUNTED = [
    expect("table_row_count_to_be_between", min_value=10, max_value=10_000),
    expect("column_values_to_be_between", column="whole", min_value=3),
    expect("column_values_to_be_between", "warning", column="x", max_value=1.5, strict_max=True),
    expect("column_values_to_be_between", column="x", min_value=-2, max_value=2, mostly=0.9),
    expect("column_values_to_be_between", "warning", column="x", min_value=-1, max_value=1, mostly=0.9),
    expect("column_values_to_not_be_null", column="kind"),
    expect("column_values_to_not_be_null", column="x", mostly=0.8),
    expect("column_values_to_be_null", "warning", column="x"),
    expect("column_values_to_be_in_set", column="kind", value_set=["a", " b", "c  c", "d"]),
    expect("column_values_to_be_in_set", "warning", column="kind", value_set=["a", "d"]),
    expect("column_values_to_not_be_in_set", "warning", column="whole", value_set=[5, 7]),
    expect("column_values_to_match_regex", "warning", column="kind", regex="^[a-c]"),
    expect("column_values_to_not_match_regex", "warning", column="kind", regex="b$"),
    expect("column_value_lengths_to_be_between", "warning", column="kind", min_value=2, max_value=4),
    expect("column_value_lengths_to_equal", "warning", column="kind", value=1),
    expect("column_mean_to_be_between", column="whole", min_value=40, max_value=60),
    expect("column_mean_to_be_between", "warning", column="x", min_value=5),
    expect("column_stdev_to_be_between", column="x", min_value=0.9, max_value=1.1),
    expect("column_min_to_be_between", "warning", column="whole", min_value=0, max_value=2),
    expect("column_max_to_be_between", column="whole", min_value=99, max_value=99),
    expect("column_sum_to_be_between", column="whole", min_value=1),
]
OTHER = [
    expect("column_median_to_be_between", column="whole", min_value=40, max_value=60),
    expect("column_values_to_be_of_type", column="x", type_="float64"),
    expect("column_to_exist", column="kind"),
    expect("column_values_to_be_unique", "warning", column="whole"),
]


def told(record):
    return json.loads((record.folder / "result.json").read_text())


@pytest.fixture
def worse(bench, table):
    rows = table.copy()
    rows.loc[[3, 4000], "price"] = np.nan
    rows.loc[[9, 4001], "x"] = [np.inf, -np.inf]
    bench.store(rows)
    return rows


def test_counts_are_those_of_great_expectations(bench, worse):
    bench.suite = COUNTED + OTHER
    bench.rules = Validate(quarantine=0.2)
    pieces, whole = (bench.validate(how) for how in ("always", "never"))
    assert pieces.fingerprint == whole.fingerprint
    assert (pieces.read, pieces.kept, pieces.reasons) == (whole.read, whole.kept, whole.reasons)
    for one, other in zip(told(pieces)["expectations"], told(whole)["expectations"], strict=True):
        assert one == {**other, "unexpected_percent": pytest.approx(other["unexpected_percent"])}
    lists = [(record.folder / "quarantine.csv").read_text() for record in (pieces, whole)]
    assert lists[0] == lists[1]
    assert lists[0].count("\n") > 100
    assert pieces.findings == whole.findings
    stored = [Dataset.load(record.folder).rows for record in (pieces, whole)]
    pd.testing.assert_frame_equal(stored[0], stored[1])


def test_all_rows_are_counted_where_only_some_are_sampled(bench, worse, sampling):
    bench.suite = COUNTED
    bench.rules = Validate(quarantine=0.2)
    pieces, whole = (bench.validate(how) for how in ("always", "never"))
    assert (pieces.kept, pieces.reasons) == (whole.kept, whole.reasons)
    counts = [[e["unexpected_count"] for e in told(record)["expectations"]] for record in (pieces, whole)]
    assert counts[0] == counts[1]
    sample = Dataset.load(pieces.folder).rows
    assert 1000 < len(sample) < 1700
    everything = Dataset.load(whole.folder).rows
    pd.testing.assert_frame_equal(sample, everything.loc[sample.index])
    assert any("a sample of" in finding.message for finding in pieces.findings)
    rows = table_of.load(pieces.folder)
    ids = np.concatenate([ids for ids, _ in rows.batches(["x"])])
    assert ids.tolist() == everything.index.tolist()


@pytest.mark.parametrize("other", [0, 1, 3])
def test_what_takes_all_rows_at_once_is_refused_by_name(bench, table, sampling, other):
    bench.suite = [COUNTED[0], OTHER[other]]
    with pytest.raises(
        ConfigError, match=rf"expectations\[1\]: {OTHER[other]['type']} takes all rows at once"
    ):
        bench.validate()


def test_more_bad_rows_than_the_budget_are_refused_with_a_list(bench, worse):
    bench.suite = [expect("column_values_to_be_between", column="whole", min_value=50)]
    with pytest.raises(DataRejected, match=r"of 5000 rows are bad .*at most 500 may be") as refused:
        bench.validate()
    assert "table.parquet row" in str(refused.value)
    listed = (bench.work("always") / "refused" / "quarantine.csv").read_text().splitlines()
    assert len(listed) == 1 + int(
        ((worse["whole"] < 50) | worse["price"].isna() | np.isinf(worse["x"])).sum()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": 1.0}, "has the same value in all"),
        ({"x": np.nan}, "column 'x' has no value in any of 5000 rows"),
        ({"price": np.nan}, "target 'price' has no value"),
    ],
)
def test_columns_that_can_not_be_used_are_refused(bench, table, change, message):
    bench.store(table.assign(**change))
    with pytest.raises(DataRejected, match=message):
        bench.validate()


def test_a_class_of_one_row_is_found_wherever_it_stands(bench, table, sampling):
    bench.task = "classification"
    rows = table.copy()
    rows.loc[4321, "kind"] = "alone"
    bench.store(rows)
    with pytest.raises(DataRejected, match=r"1 class has a single row.*row 4322"):
        bench.validate(target="kind")


def test_a_column_that_is_named_and_absent_is_told(bench, table):
    bench.columns = Columns(drop=("days",))
    with pytest.raises(DataRejected, match=r"columns\.drop names 'days'"):
        bench.validate()


def test_nothing_is_copied_and_a_source_that_changes_is_noticed(bench, table):
    record = bench.validate()
    assert not list(record.folder.glob("stream*.parquet"))
    bench.store(table.iloc[::-1])
    with pytest.raises(ArtifactTampered):
        next(table_of.load(record.folder).batches())


def test_another_limit_does_not_judge_again(bench, table):
    assert bench.validate(memory_mb=1024).step.status == "ran"
    assert (
        bench.validate(memory_mb=2048).step.status == "ran"
    )  # what later steps may take is kept with the rows
    assert bench.validate(memory_mb=2048).step.status == "reused"


def test_memory_alone_decides_by_itself(bench, table, monkeypatch):
    monkeypatch.setattr(rowgroups, "CELL_BYTES", 2**30)
    assert (bench.validate("auto").folder / table_of.FILE).exists()
