"""One table, whole or cut anywhere, worked on by any engine: the same parts, or the same refusal."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.config import Split
from tasks.errors import ModelyardError
from tasks.split import planned
from tasks.splitting import conflicts, spool
from tasks.splitting.assign import assign_splits
from tasks.tables.mapping import in_order, processes, through
from tasks.tables.opening import of_frame

RULES = {
    "random": {},
    "stratified": {},
    "group": {"column": "group"},
    "time": {"column": "when"},
    "key": {},
    "column": {"column": "part"},
}


TYPES = {
    "x": "number", "word": "category", "flag": "boolean", "group": "integer", "when": "date",
    "part": "category", "label": "category", "price": "number",
}  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """A table in pieces, each of several batches: as a stream gives them."""

    pieces_: tuple[tuple[pd.DataFrame, ...], ...]
    number: str | None
    names: tuple[str, ...] = ()

    def sampled(self, ids):
        return np.ones(len(ids), dtype=bool)

    def pieces(self, columns=None):
        for frames in self.pieces_:
            yield Cut((frames,), self.number, tuple(columns))

    def batches(self):
        for rows in self.pieces_[0]:
            for ids, batch in of_frame(rows, TYPES).batches():
                yield ids, batch.select(self.names)


def cut(rows, number, places):
    """Cut between batches at all places, between pieces at every other one."""
    ends = [0, *sorted({place % (len(rows) + 1) for place in places}), len(rows)]
    frames = [rows.iloc[start:end] for start, end in pairwise(ends)]
    return Cut(tuple(tuple(frames[at : at + 2]) for at in range(0, len(frames), 2)), number)


def made(count, seed, coarse=False):
    """Typed rows; a coarse table has few different feature values, so that equal rows have other targets."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "x": rng.integers(0, 3, count) * 0.5 if coarse else rng.normal(size=count),
            "word": pd.Series(rng.choice(["a", "b", None], count), dtype="str"),
            "flag": pd.array(rng.choice([True, False, None], count), dtype="boolean"),
            "group": rng.integers(0, max(1, count // 3), count),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, count, count), unit="D"),
            "part": rng.choice(["train", "Train", "test", "validation"], count, p=[0.5, 0.2, 0.2, 0.1]),
            "label": rng.choice(["often", "rare", "some"], count, p=[0.6, 0.1, 0.3]),
            "price": rng.normal(size=count).round(1),
        }
    )
    rows.index = pd.Index(np.arange(count) * 3, name="row")
    return rows


def plan_of(rows, strategy, kind, *, carve=False, seed=0):
    if carve:
        rows["part"] = rows["part"].replace("validation", "train")
    target, other = ("label", "price") if kind == "classification" else ("price", "label")
    rules = Split(strategy=strategy, **RULES[strategy])
    return planned(rows, rules, target=target, kind=kind, seed=seed, drop=(other, "group", "when", "part"))


def outcome(table, plan):
    """Parts, counts and hash, or what was refused."""
    try:
        result = assign_splits(table, plan)
    except ModelyardError as error:
        return str(error)
    return result.parts.to_dict(), result.counts, result.hash


@contextlib.contextmanager
def small_blocks():
    """Blocks of a few rows, so that small tables have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", 64)
        patch.setattr(conflicts, "TOGETHER", 8)
        yield


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("strategy", RULES)
@given(
    count=st.integers(3, 400),
    seed=st.integers(0, 2**32),
    places=st.lists(st.integers(0, 400), max_size=9),
    coarse=st.booleans(),
    carve=st.booleans(),
)
@settings(deadline=None, max_examples=20)
def test_a_table_cut_anywhere_gives_the_parts_of_the_whole(
    strategy, kind, count, seed, places, coarse, carve
):
    rows = made(count, seed, coarse)
    plan = plan_of(rows, strategy, kind, carve=carve, seed=seed)
    whole = outcome(of_frame(rows, TYPES), plan)
    with small_blocks():
        assert outcome(cut(rows, None, places), plan) == whole
    if not isinstance(whole, str) and strategy in ("random", "stratified", "key"):
        parts = pd.Series(whole[0])
        assert parts.groupby([rows[name] for name in plan.content], dropna=False).nunique().max() == 1


def test_processes_give_the_same_parts(own_code_first):
    rows = made(300, 1)
    plans = [plan_of(rows, strategy, "classification") for strategy in RULES]
    with processes.pool(2) as engine, through(engine):
        found = [outcome(cut(rows, None, [40, 80, 150, 220]), plan) for plan in plans]
    assert found == [outcome(of_frame(rows, TYPES), plan) for plan in plans]
    assert not any(isinstance(one, str) for one in found)


def test_a_dask_cluster_gives_the_same_parts():
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    rows = made(300, 1)
    cluster = distributed.Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster as client:

        def engine(function, items):
            return in_order(lambda item: client.submit(function, item), items, 4, lambda one: one.result())

        for strategy in RULES:
            plan = plan_of(rows, strategy, "classification")
            with through(engine):
                found = outcome(cut(rows, None, [40, 80, 150, 220]), plan)
            assert found == outcome(of_frame(rows, TYPES), plan)
