"""What counts of pieces, cut anywhere, add up to is what Great Expectations finds in the whole table."""

from __future__ import annotations

import datetime
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.checks import counts, suite
from tasks.checks.counts import CELLWISE, GAPS, ROWS, SHOWN, SUMS, Judged
from tasks.checks.suite import Entry, Outcome, Suite
from tasks.features import TYPES
from tasks.features.reading import read_coded
from tasks.features.schema import frame
from tasks.tables.bits import Bits

pytestmark = pytest.mark.timeout(3600)  # of the nightly profile; the others take a minute

KINDS = {
    "length": "number",
    "rooms": "integer",
    "town": "category",
    "note": "text",
    "order": "key",
    "sold": "boolean",
    "day": "date",
}
WORDS = ("a", "b", "ab", " b", "NA", "nan", "10", "10.5", "ß", "long word", "A\nB")
PATTERNS = ("^a", "b$", "[0-9]+", "^$", "nan", r"\s", "(?i)A", "ß|NA", ".")
NUMBERS = st.one_of(st.integers(-5, 5).map(float), st.sampled_from([0.1, -2.5, 1e-9, 3e38, 1e15 + 0.5]))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": NUMBERS,
    "integer": st.one_of(st.integers(-5, 5), st.just(10**9)),
    "category": st.sampled_from(WORDS),
    "text": st.sampled_from(WORDS),
    "key": st.sampled_from(WORDS),
    "boolean": st.booleans(),
    "date": st.dates(datetime.date(2020, 1, 1), datetime.date(2020, 1, 9)).map(
        lambda day: datetime.datetime(day.year, day.month, day.day)
    ),
}
MOSTLY = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.8, 0.9, 1.0])


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Typed rows with gaps."""
    count = draw(st.integers(1, 25))
    columns = {}
    for name, kind in KINDS.items():
        cells = draw(
            st.lists(st.one_of(VALUES[kind], VALUES[kind], st.none()), min_size=count, max_size=count)
        )
        columns[name] = pa.array(cells, TYPES[kind].storage)
    return pa.table(columns)


@st.composite
def arguments(draw: st.DrawFn, kind: str, column: str) -> dict[str, Any]:
    """Arguments that an expectation may have, those that must be there among them."""
    if kind in CELLWISE:
        accepted = CELLWISE[kind][2]
    else:
        accepted = set() if kind in GAPS else {"min_value", "max_value", "strict_min", "strict_max"}
    values = VALUES[KINDS[column]]
    limits = st.integers(0, 4) if "lengths" in kind else NUMBERS
    made: dict[str, Any] = {}
    if "min_value" in accepted:
        made |= draw(st.sampled_from([("min_value",), ("max_value",), ("min_value", "max_value")]).flatmap(
            lambda names: st.fixed_dictionaries(dict.fromkeys(names, limits))
        ))  # fmt: skip
        made |= {f"strict_{end}": draw(st.booleans()) for end in ("min", "max") if f"{end}_value" in made}
        if set(made) >= {"min_value", "max_value"} and made["min_value"] > made["max_value"]:
            made["min_value"], made["max_value"] = made["max_value"], made["min_value"]
    if "value" in accepted:
        made["value"] = draw(st.integers(0, 4))
    if "value_set" in accepted:
        made["value_set"] = draw(st.lists(values, min_size=1, max_size=4))
    if "regex" in accepted:
        made["regex"] = draw(st.sampled_from(PATTERNS))
    if kind not in SUMS and draw(st.booleans()):
        made["mostly"] = draw(MOSTLY)
    return {"column": column, **made}


@st.composite
def suites(draw: st.DrawFn) -> Suite:
    """Every expectation that counts can judge, on every column that it is for."""
    low, high = sorted(draw(st.tuples(st.integers(0, 26), st.integers(0, 26))))
    entries = [Entry(type=ROWS, kwargs={"min_value": low, "max_value": high})]
    for kind in (*GAPS, *CELLWISE, *SUMS):
        for column in KINDS:
            entry = Entry(type=kind, kwargs=draw(arguments(kind, column)))
            if counts.countable(entry, KINDS):
                entries.append(entry)
    return Suite("made", tuple(entries), Path("expectations.json"), "")


def judged(entry: Entry, rows: pa.Table, sound: np.ndarray, cuts: list[int]) -> Outcome:
    """What pieces say, each counted by itself, as another process would."""
    total = Judged(entry, Bits(len(rows)))
    edges = [0, *sorted(cuts), len(rows)]
    for start, end in pairwise(edges):
        piece = Judged(entry, Bits.of_piece(start, end - start))
        batch = pa.table(
            {
                name: read_coded(rows[name].slice(start, end - start), TYPES[KINDS[name]]).values
                for name in KINDS
            }
        )
        piece.see(batch, np.arange(start, end), sound[start:end])
        total.include(piece)
    return total.outcome()


def tried(share: int) -> settings:
    """A share of the profile's examples: Great Expectations takes its time."""
    return settings(
        max_examples=max(5, settings().max_examples // share),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@tried(5)
@given(rows=tables(), asked=suites(), data=st.data())
def test_counts_of_pieces_are_those_of_the_whole(rows: pa.Table, asked: Suite, data: st.DataObject) -> None:
    count = len(rows)
    sound = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    sound[data.draw(st.integers(0, count - 1))] = True
    cuts = data.draw(st.lists(st.integers(0, count), max_size=4))
    with tempfile.TemporaryDirectory() as docs:
        whole = suite.run(asked, frame(rows, np.arange(count))[sound], Path(docs), show_values=True)
    for entry, theirs in zip(asked.entries, whole, strict=True):
        ours = judged(entry, rows, sound, cuts)
        told = f"{entry} of {rows[entry.kwargs['column']].to_pylist() if 'column' in entry.kwargs else count}"
        assert not theirs.could_not_run, (theirs.could_not_run, told)
        assert ours.success == theirs.success, (theirs, told)
        if ours.unexpected is not None:
            assert ours.unexpected == (theirs.unexpected or 0), told
            assert ours.percent == pytest.approx(theirs.percent or 0.0), told
            assert ours.rows == (theirs.rows or ())[:SHOWN], told


def test_a_share_is_compared_as_great_expectations_compares_it() -> None:
    entry = Entry(type="expect_column_values_to_be_null", kwargs={"column": "rooms", "mostly": 0.2})
    rows = pa.table({name: pa.nulls(5, TYPES[kind].storage) for name, kind in KINDS.items()})
    rows = rows.set_column(1, "rooms", pa.array([1, 2, None, 3, 4]))
    assert 1 - 4 / 5 < 0.2  # what a subtraction of the share would be rounded to
    assert judged(entry, rows, np.ones(5, dtype=bool), [2]).success


@pytest.mark.parametrize("kind", ["mean", "min", "max", "stdev"])
def test_a_statistic_of_no_value_lies_within_no_limits(kind: str) -> None:
    entry = Entry(type=f"expect_column_{kind}_to_be_between", kwargs={"column": "rooms", "min_value": -1})
    rows = pa.table({name: pa.nulls(3, TYPES[kind].storage) for name, kind in KINDS.items()})
    assert not judged(entry, rows, np.ones(3, dtype=bool), [1]).success


def test_a_sum_of_whole_numbers_is_exact_however_it_is_cut() -> None:
    entry = Entry(type="expect_column_sum_to_be_between", kwargs={"column": "rooms", "min_value": 1})
    rows = pa.table({name: pa.nulls(49, TYPES[kind].storage) for name, kind in KINDS.items()})
    rows = rows.set_column(1, "rooms", pa.array([1] + 48 * [0]))
    assert (1 / 49) * 49 < 1  # what the mean times the count would be
    assert judged(entry, rows, np.ones(49, dtype=bool), []).success
    assert judged(entry, rows, np.ones(49, dtype=bool), [7, 30]).success
