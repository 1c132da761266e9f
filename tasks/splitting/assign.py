"""Assign every row to train, validation or test: one pass over the pieces, then cuts in their order.

The same code for a table in memory, which is one piece, and for one beyond memory, cut anywhere: keys and
strata follow from each row alone, and the cuts from exact counts.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from tasks.errors import DataRejected, quoted
from tasks.splitting import conflicts, cuts, parts, row_keys
from tasks.splitting.cuts import Cuts
from tasks.splitting.parts import PARTS, TEST, VALIDATION
from tasks.splitting.plan import SplitPlan, fewest_unseen, rounded
from tasks.splitting.row_keys import OPEN, Piece, PieceKeys
from tasks.splitting.selection import select
from tasks.splitting.spool import SEEN, Spool
from tasks.tables.arrays import ArrayWriter
from tasks.tables.mapping import mapped

BINS = 10
"""Quantile bins of a number that is kept in proportion, at most."""

BIN_ROWS = 300
"""Rows of a bin, at least. The fewer they are, the further cuts move when rows come and go: with 100, 8 % of
the test rows were no test rows before a fifth of 1,000 rows was removed, with 300 it is 4 %."""


class Table(Protocol):
    """Typed rows in pieces."""

    def sampled(self, ids: np.ndarray, /) -> np.ndarray:
        """Which rows, by id (n,), the split is told of by row: bool (n,)."""

    def pieces(self, columns: Sequence[str] | None = None, /) -> Iterator[Piece]:
        """All rows in order, a piece at a time."""


@dataclass(frozen=True)
class SplitResult:
    """Which row went where.

    Attributes:
        parts: Part names of the sampled rows, by row id; of all rows if the table is not a large one.
        counts: Rows of each part.
        hash: Digest of the row ids and the parts, in row order.
    """

    parts: pd.Series
    counts: dict[str, int]
    hash: str


def assign_splits(
    table: Table, plan: SplitPlan, codes: Path | None = None, seen: np.ndarray | None = None
) -> SplitResult:
    """Assign every row to a part.

    Args:
        table: Cleaned rows.
        plan: Strategy, shares and columns.
        codes: File for the part of every row, uint8 (n,), in the order of the rows.
        seen: Sorted ids of rows that must not become test rows, nor any row of the same example or group.

    Raises:
        ConfigError: `split.column` holds no times.
        DataRejected: A part would be empty, a class has one row only (stratified), the column holds gaps
            or words that name no part, or too few rows may become test rows.
    """
    with tempfile.TemporaryDirectory(dir=codes and codes.parent) as folder:
        plan = _named(table, plan)
        rows = _collect(table, plan, Spool(Path(folder)), seen)
        if not rows.open:
            return _write(rows, cuts.by_share(plan.validation, 0.0), codes)
        return _write(rows, _cuts(rows, plan), codes)


def _named(table: Table, plan: SplitPlan) -> SplitPlan:
    """The plan, once it is known which parts a column names."""
    if plan.strategy != "column":
        return plan
    name = str(plan.column)
    counts = np.zeros(len(PARTS) + 2, dtype=np.int64)
    for some in mapped(partial(row_keys.count_names, name), table.pieces((name,))):
        counts += some
    row_keys.refuse_names(name, counts)
    return replace(plan, carve=not counts[VALIDATION])


# --- the pass over the pieces -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """What the pass over the pieces leaves.

    Attributes:
        spool: Keys, strata and fixed parts of all rows.
        ids: sha256 of the row ids.
        sample: Positions and ids of the sampled rows.
        open: Rows to assign.
        tests: Rows of an official test set.
        labels: The class behind each code of a stratum, as its hash.
        marked: Whether the keys of some rows say that they must not become test rows.
    """

    spool: Spool
    ids: str
    sample: tuple[np.ndarray, np.ndarray]
    open: int
    tests: int
    labels: np.ndarray
    marked: bool

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Keys and strata of the rows to assign."""
        return ((keys, codes) for keys, codes in self.spool.open_rows("keys", "codes"))


def _collect(table: Table, plan: SplitPlan, spool: Spool, seen: np.ndarray | None) -> _Rows:
    barred: list[np.ndarray] = []
    ids, positions, names, labels = hashlib.sha256(), [], [], dict[int, int]()
    fixed, gaps = np.zeros(OPEN + 1, dtype=np.int64), 0
    for piece in mapped(partial(row_keys.read, plan), table.pieces(plan.columns)):
        chosen = np.flatnonzero(table.sampled(piece.ids))
        positions.append(chosen + spool.rows)
        names.append(piece.ids[chosen])
        ids.update(piece.ids.tobytes())
        fixed += np.bincount(piece.fixed, minlength=len(fixed))
        gaps += piece.gaps
        if seen is not None:
            barred.append(np.unique(piece.keys[np.isin(piece.ids, seen)]))
        spool.append(keys=piece.keys, fixed=piece.fixed, **_coded(piece, plan, labels))
    if gaps:
        raise DataRejected(
            f"split.column: {quoted(str(plan.column))} has no value in {gaps} of {spool.rows} rows",
            fix="fill them, or quarantine those rows by an expectation of the suite",
        )
    if seen is not None:
        spool.mark(np.unique(np.concatenate([np.zeros(0, np.uint64), *barred])))
    none = np.zeros(0, dtype=np.int64)
    sample = np.concatenate([none, *positions]), np.concatenate([none, *names])
    known = np.array(list(labels), dtype=np.uint64)
    official = int(fixed[TEST]) if plan.official is not None else 0
    return _Rows(spool, ids.hexdigest(), sample, int(fixed[OPEN]), official, known, seen is not None)


def _coded(piece: PieceKeys, plan: SplitPlan, labels: dict[int, int]) -> dict[str, np.ndarray]:
    """The column of strata for the spool: codes of classes, or numbers that have no bins yet."""
    if piece.strata is None:
        return {}
    if plan.task == "regression":
        return {"strata": piece.strata}
    there, codes = np.unique(piece.strata, return_inverse=True)
    known = np.array([labels.setdefault(int(label), len(labels)) for label in there], dtype=np.uint32)
    return {"codes": known[codes]}


# --- strata -------------------------------------------------------------------------------------------


def _strata(rows: _Rows, plan: SplitPlan) -> tuple[np.ndarray, np.ndarray]:
    """Rows to assign of each stratum, (s,), and a value (s,) that orders strata of equal claims.

    Raises:
        DataRejected: A class has one row only.
    """
    if not plan.stratified:
        return np.array([rows.open]), np.zeros(1, np.uint64)
    if plan.task == "regression":
        count = _bin(rows)
        return _sizes(rows, count), np.arange(count).astype(np.uint64)
    sizes = _sizes(rows, len(rows.labels))
    if (alone := int((sizes == 1).sum())) and not plan.carve:
        raise DataRejected(
            f"split: {alone} of {int((sizes > 0).sum())} classes of {quoted(plan.target)} have one row only; "
            "stratified needs at least two of each",
            fix="drop or merge them, or use split.strategy: random",
        )
    return sizes, rows.labels


def _sizes(rows: _Rows, count: int) -> np.ndarray:
    sizes = np.zeros(count, dtype=np.int64)
    for _, codes in rows.blocks():
        sizes += np.bincount(codes, minlength=count)
    return sizes


def _bin(rows: _Rows) -> int:
    """Write the quantile bin of each row to assign; returns how many there are."""
    bins = max(1, min(BINS, rows.open // BIN_ROWS))
    ranks = np.arange(1, bins) * rows.open // bins

    def numbers() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for (values,) in rows.spool.open_rows("strata"):
            yield values, np.zeros(len(values), np.uint32)

    edges = np.unique(select(numbers, np.zeros(len(ranks), np.int64), ranks).keys)
    for (values,) in rows.spool.read("strata"):
        rows.spool.append(codes=np.searchsorted(edges, values, "right"))
    return len(edges) + 1


# --- cuts and parts -----------------------------------------------------------------------------------


def _cuts(rows: _Rows, plan: SplitPlan) -> Cuts:
    """Where parts begin; an official test set, or one that a column names, is all of the test rows."""
    share = 0.0 if rows.tests or plan.carve else plan.test
    validation, test = rounded(rows.open, plan.validation), rounded(rows.open, share)
    if plan.strategy == "key" and not rows.marked:
        return cuts.by_share(plan.validation, share)
    if plan.strategy == "time":
        found = cuts.in_order(rows.blocks, (rows.open - validation - test, validation, test))
        _enough_times(rows, plan, 3 if share else 2)
        return found
    strata, order = _strata(rows, plan)
    unseen = _unseen(rows, len(strata)) if rows.marked else strata
    if (there := int(unseen.sum())) < fewest_unseen(test):
        raise DataRejected(
            f"split.exclude_seen: the champion learned from all but {there} of {rows.open} rows, too few to "
            f"choose {test} test rows from",
            fix="add rows, or promote another version by hand: modelyard promote",
        )
    return cuts.by_hash(rows.blocks, strata, unseen, order, validation, test)


def _unseen(rows: _Rows, count: int) -> np.ndarray:
    unseen = np.zeros(count, dtype=np.int64)
    for keys, codes in rows.blocks():
        unseen += np.bincount(codes[keys < SEEN], minlength=count)
    return unseen


def _enough_times(rows: _Rows, plan: SplitPlan, needed: int) -> None:
    times = cuts.distinct(rows.blocks, rows.open, needed)
    if times < needed:
        raise DataRejected(
            f"split.column: {quoted(str(plan.column))} holds {times} distinct times in {rows.open} rows, "
            f"and {needed} parts need as many",
            fix="use a finer time, or another split.strategy",
        )


def _write(rows: _Rows, cut: Cuts, file: Path | None) -> SplitResult:
    """Write the part of every row to assign beside the fixed ones, and count them."""
    met = conflicts.find(rows.blocks, cut)
    counts, digest = np.zeros(len(PARTS), dtype=np.int64), hashlib.sha256()
    names, at, (positions, ids) = [np.zeros(0, "U1")], 0, rows.sample
    with nullcontext() if file is None else ArrayWriter(file, rows.spool.rows, (), np.uint8) as writer:
        for keys, strata, fixed in rows.spool.read("keys", "codes", "fixed"):
            codes = np.where(fixed == OPEN, met.settle(keys, cut.codes(keys, strata)), fixed)
            counts += np.bincount(codes, minlength=len(PARTS))
            digest.update(codes.tobytes())
            if writer is not None:
                writer.write(codes)
            start, end = np.searchsorted(positions, [at, at + len(codes)])
            names.append(np.array(PARTS)[codes[positions[start:end] - at]])
            at += len(codes)
    _none_empty(counts, rows.open)
    index = pd.Index(ids, name="row")
    return SplitResult(
        pd.Series(np.concatenate(names), index=index, name="part"),
        dict(zip(PARTS, counts.tolist(), strict=True)),
        parts.joint_hash(rows.ids, digest.hexdigest()),
    )


def _none_empty(counts: np.ndarray, assigned: int) -> None:
    if not counts.all():
        shown = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts, strict=True))
        raise DataRejected(
            f"split: {counts.sum()} rows ({assigned} to assign) would give {shown}, and no part may be empty",
            fix="use more rows, or change split.strategy, split.validation or split.test; rows with equal "
            "features stay together",
        )
