"""The key of each row: a number that orders rows of one stratum, and that follows from the row alone.

For most strategies it is a hash of cells and the seed, so that a row keeps its place in the order, in [0, 1),
whatever other rows there are; for `time` it is the time itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tasks.errors import ConfigError, DataRejected, quoted
from tasks.splitting.parts import PARTS, TEST, TRAIN
from tasks.splitting.plan import SplitPlan
from tasks.tables import cells, hashing

OPEN = 255
"""Stands for the part of a row that is still to be assigned."""

LARGEST = np.uint64(2**64 - 2)
"""Keys stay below 2**64 - 1, so that an exclusive bound can lie above all of them."""

_SIGN = np.uint64(2**63)


class Piece(Protocol):
    """Neighbouring rows of a table."""

    def batches(self) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """Row ids, int64 (n,), and the columns that were asked for, typed, some rows at a time."""


@dataclass(frozen=True)
class PieceKeys:
    """What the split has to know of a piece's rows.

    Attributes:
        ids: Row ids, int64 (n,).
        keys: Order within a stratum, uint64 (n,).
        strata: Hash of the class, or the number in an order of its own, uint64 (n,); None if all rows are
            of one stratum.
        fixed: The part (n,) uint8 of rows that have one, else `OPEN`.
        gaps: Rows without a value in the plan's column.
    """

    ids: np.ndarray
    keys: np.ndarray
    strata: np.ndarray | None
    fixed: np.ndarray
    gaps: int


def read(plan: SplitPlan, piece: Piece) -> PieceKeys:
    """Read the keys of a piece; raises ConfigError if the plan's column holds no times."""
    read = [(ids, *_of_batch(plan, batch)) for ids, batch in piece.batches()]
    if not read:
        none = np.zeros(0, np.uint64)
        return PieceKeys(
            np.zeros(0, np.int64), none, none if plan.stratified else None, np.zeros(0, np.uint8), 0
        )
    ids, keys, strata, fixed, gaps = zip(*read, strict=True)
    return PieceKeys(
        np.concatenate(ids),
        np.concatenate(keys),
        np.concatenate(strata) if plan.stratified else None,
        np.concatenate(fixed),
        sum(gaps),
    )


def _of_batch(plan: SplitPlan, batch: pa.Table) -> tuple[np.ndarray, Any, np.ndarray, int]:
    """Keys, strata, fixed parts, and how many rows lack a value in the plan's column."""
    keys = np.minimum(_KEYS[plan.strategy](plan, batch), LARGEST)
    by_column = plan.column is not None and plan.strategy in ("group", "time", "key")
    gaps = int(cells.missing(cells.of(batch, str(plan.column))).sum()) if by_column else 0
    return keys, _strata(plan, batch) if plan.stratified else None, _fixed(plan, batch), gaps


def _fixed(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    fixed = np.full(batch.num_rows, OPEN, dtype=np.uint8)
    if plan.strategy == "column":
        named = parts_named(str(plan.column), batch)
        fixed = np.where((named == TRAIN) & plan.carve, OPEN, named).astype(np.uint8)
    if plan.official is not None:
        fixed[_words(cells.of(batch, plan.official), {"test": TEST}) == TEST] = TEST
    return fixed


def parts_named(name: str, batch: pa.Table) -> np.ndarray:
    """The part that each row names in a column, int64 (n,); -1 if it names none."""
    return _words(cells.of(batch, name), {part: code for code, part in enumerate(PARTS)})


def _words(column: pa.Array, codes: dict[str, int]) -> np.ndarray:
    if not cells.is_text(column):
        return np.full(len(column), -1, dtype=np.int64)
    known = [codes.get(text.lower(), -1) for text in column.dictionary.to_pylist()]
    return cells.by_text(column, np.array(known, dtype=np.int64), -1)


# --- keys ---------------------------------------------------------------------------------------------


def _by_content(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    return hashing.rows(batch, sorted(plan.content), plan.seed)


def _by_column(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    return hashing.rows(batch, [str(plan.column)], plan.seed)


def _by_key(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    return (_by_column if plan.column else _by_content)(plan, batch)


def _by_time(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    name = str(plan.column)
    column = cells.of(batch, name)
    if cells.is_text(column):
        raise ConfigError(
            f"split.column: {quoted(name)} holds text, not times",
            fix=f"put {{types: {{{name}: date}}}} into clean",
        )
    return ordered(column)


def _by_name(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    return _by_content(plan, batch) if plan.carve else np.zeros(batch.num_rows, dtype=np.uint64)


_KEYS: dict[str, Callable[[SplitPlan, pa.Table], np.ndarray]] = {
    "random": _by_content,
    "stratified": _by_content,
    "group": _by_column,
    "time": _by_time,
    "key": _by_key,
    "column": _by_name,
}


# --- strata -------------------------------------------------------------------------------------------


def _strata(plan: SplitPlan, batch: pa.Table) -> np.ndarray:
    if plan.task == "classification":
        return hashing.rows(batch, [plan.target], plan.seed)
    return ordered(cells.of(batch, plan.target))


def ordered(column: pa.Array) -> np.ndarray:
    """Numbers or times as uint64 (n,) in the same order; gaps come last."""
    if pa.types.is_timestamp(column.type) or pa.types.is_integer(column.type):
        values = column.cast(pa.int64()).fill_null(np.iinfo(np.int64).max)
        return np.asarray(values.to_numpy(zero_copy_only=False)).view(np.uint64) ^ _SIGN
    bits = (cells.numbers(column) + 0.0).view(np.uint64)  # adding zero makes minus zero plain
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


# --- before anything is read --------------------------------------------------------------------------


def count_names(name: str, piece: Piece) -> np.ndarray:
    """Rows (5,) of a piece that name each part, that name another, and that name none."""
    counts = np.zeros(len(PARTS) + 2, dtype=np.int64)
    for _, batch in piece.batches():
        named, gaps = parts_named(name, batch), cells.missing(cells.of(batch, name))
        codes = np.where(named >= 0, named, np.where(gaps, len(PARTS) + 1, len(PARTS)))
        counts += np.bincount(codes, minlength=len(counts))
    return counts


def refuse_names(name: str, counts: np.ndarray) -> None:
    """Raise DataRejected if some rows name no part in a column."""
    others, gaps = counts[len(PARTS) :].tolist()
    if not others + gaps:
        return
    shown = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts.tolist(), strict=False))
    raise DataRejected(
        f"split.column: {quoted(name)} names no part in {others + gaps} of {counts.sum()} rows "
        f"({gaps} empty, {others} other words; {shown})",
        fix="every row must say train, validation or test",
    )
