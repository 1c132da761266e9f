"""Where the ordered rows of each stratum are cut into parts.

Rows with the same key stay together, so a cut lies between two keys: the ones nearest to the exact shares. A
key that stands for more rows than the largest part but train may hold goes to train as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.splitting.parts import TEST, TRAIN, VALIDATION
from tasks.splitting.quotas import quotas
from tasks.splitting.selection import Blocks, Ranked, select
from tasks.splitting.spool import among

ALL = np.uint64(2**64 - 1)
"""A bound above every key."""


@dataclass(frozen=True)
class Cuts:
    """Bounds of the parts in each stratum.

    Attributes:
        parts: The parts in the order of the keys.
        bounds: For each stratum and each part but the last, uint64 (s, parts - 1): the part takes the keys
            below its bound that no earlier part took.
        giants: Sorted keys that are train rows in every stratum, uint64.
    """

    parts: tuple[int, ...]
    bounds: np.ndarray
    giants: np.ndarray

    def codes(self, keys: np.ndarray, strata: np.ndarray) -> np.ndarray:
        """The part, uint8 (n,), of rows with `keys` in `strata`."""
        place = np.zeros(len(keys), dtype=np.uint8)
        for bound in self.bounds.T:
            place += keys >= (bound[strata] if len(bound) > 1 else bound[0])
        codes = np.array(self.parts, dtype=np.uint8)[place]
        codes[among(keys, self.giants)] = TRAIN
        return codes


def by_share(validation: float, test: float) -> Cuts:
    """Cuts at fixed places in the order of all hashes: no other row has a say."""
    ends = [min(round(share * 2**64), 2**64 - 1) for share in (test, test + validation)]
    return Cuts((TEST, VALIDATION, TRAIN), np.array([ends], dtype=np.uint64), np.zeros(0, np.uint64))


def in_order(blocks: Blocks, sizes: tuple[int, int, int]) -> Cuts:
    """Cuts of one stratum ordered by time: `sizes` train, validation and test rows, oldest first."""
    return _one_stratum(blocks, (TRAIN, VALIDATION, TEST), sizes, np.zeros(0, np.uint64))


def by_hash(
    blocks: Blocks, strata: np.ndarray, unseen: np.ndarray, order: np.ndarray, validation: int, test: int
) -> Cuts:
    """Cuts of strata whose rows are ordered by hashes.

    Args:
        blocks: Keys and strata of the rows to assign.
        strata: Rows (s,) of each stratum, none of it zero.
        unseen: Rows (s,) of each stratum that may become test rows; their keys come first.
        order: Values (s,) that decide which strata get a row more where shares leave it open.
        validation: Validation rows.
        test: Test rows.
    """
    kept = np.maximum(strata - 1, 0)  # a row of each stratum stays in train
    tests = quotas(strata, test, np.minimum(kept, unseen), order)
    validations = quotas(strata, validation, kept - tests, order)
    giants = _giants(blocks, strata, np.maximum(tests, validations))
    if len(strata) > 1:
        return _many_strata(blocks, strata, tests, validations, np.unique(giants.keys))
    wanted = (validation > 0) + (test > 0)
    keys = _giants_but(blocks, giants, int(strata[0]), wanted)
    sizes = (int(tests[0]), int(validations[0]), int(strata[0] - tests[0] - validations[0]))
    return _one_stratum(blocks, (TEST, VALIDATION, TRAIN), sizes, keys)


# --- keys of very many rows ---------------------------------------------------------------------------


def _giants(blocks: Blocks, strata: np.ndarray, limits: np.ndarray) -> Ranked:
    """Keys that more rows of a stratum share than a part of it may hold."""
    limits = np.maximum(limits, 1)
    # Such a key holds a rank that is a multiple of the limit, since it covers more ranks than that.
    ranks = [np.arange(0, rows, limit) for rows, limit in zip(strata, limits, strict=True)]
    which = np.repeat(np.arange(len(strata)), [len(some) for some in ranks])
    found = select(blocks, which, np.concatenate(ranks))
    _, first = np.unique(np.column_stack([which.astype(np.uint64), found.keys]), axis=0, return_index=True)
    large = first[found.count[first] > limits[which[first]]]
    return Ranked(found.keys[large], found.below[large], found.count[large])


def _giants_but(blocks: Blocks, giants: Ranked, rows: int, wanted: int) -> np.ndarray:
    """Sorted giants, but for the smallest if no other keys are there to fill `wanted` parts."""
    if not len(giants.keys):
        return giants.keys
    order = np.lexsort((giants.keys, giants.count))
    for spared in range(min(wanted, len(order)) + 1):
        keys = np.sort(giants.keys[order[spared:]])
        left = rows - int(giants.count[order[spared:]].sum())
        if distinct(without(blocks, keys), left, wanted) >= wanted:
            break
    return keys


def distinct(blocks: Blocks, rows: int, most: int) -> int:
    """How many keys the rows of one stratum have, counted up to `most`."""
    found, covered = 0, 0
    while covered < rows and found < most:
        next_key = select(blocks, np.array([0]), np.array([covered]))
        covered, found = int(next_key.below[0] + next_key.count[0]), found + 1
    return found


def without(blocks: Blocks, keys: np.ndarray) -> Blocks:
    """The blocks without rows of some sorted keys."""
    if not len(keys):
        return blocks

    def others() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for some, strata in blocks():
            out = among(some, keys)
            yield some[~out], strata[~out]

    return others


# --- several strata -----------------------------------------------------------------------------------


def _many_strata(
    blocks: Blocks, strata: np.ndarray, tests: np.ndarray, validations: np.ndarray, giants: np.ndarray
) -> Cuts:
    blocks = without(blocks, giants)
    left = strata
    if len(giants):
        left = np.zeros(len(strata), dtype=np.int64)
        for _, codes in blocks():
            left += np.bincount(codes, minlength=len(strata))
    ends = np.column_stack([tests, tests + validations])
    bounds = np.full(ends.shape, ALL, dtype=np.uint64)
    which, part = np.nonzero(ends < left[:, None])
    found = select(blocks, which, ends[which, part])
    # Not even a tie may empty the train part of a stratum.
    bounds[which, part], _ = _nearest(found, ends[which, part], strata[which])
    return Cuts((TEST, VALIDATION, TRAIN), bounds, giants)


def _nearest(found: Ranked, wanted: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (q,) next to some ranks and the rows (q,) below them, fewer than `rows` if possible."""
    after = found.below + found.count
    up = (after - wanted < wanted - found.below) & (after < rows)
    return found.keys + up.astype(np.uint64), np.where(up, after, found.below)


# --- one stratum --------------------------------------------------------------------------------------


def _one_stratum(blocks: Blocks, parts: tuple[int, ...], sizes: tuple[int, ...], giants: np.ndarray) -> Cuts:
    """Cuts nearest to the sizes that leave no part empty, if that can be; a size of zero is left out."""
    blocks = without(blocks, giants)
    left = sum(len(keys) for keys, _ in blocks())
    kept = [part for part, size in zip(parts, sizes, strict=True) if size]
    bounds = _bounds(blocks, [size for size in sizes if size], left, bool(len(giants)))
    return Cuts(tuple(kept), np.array([bounds], dtype=np.uint64), giants)


def _bounds(blocks: Blocks, sizes: list[int], rows: int, open_end: bool) -> list[int]:
    """Bounds of all parts but the last, which may stay empty if the end is open."""

    def at(*ranks: int) -> Ranked:
        return select(blocks, np.zeros(len(ranks), np.int64), np.array(ranks, dtype=np.int64))

    wanted = np.cumsum(sizes)[:-1]
    within = wanted[wanted < rows]
    bounds, below = _nearest(at(*within), within, np.full(len(within), rows + 1))
    nearest = [*zip(bounds.tolist(), below.tolist(), strict=True)]
    nearest += [(int(ALL), rows)] * (len(wanted) - len(within))
    ends: list[tuple[int, int]] = []  # a bound, and the rows below it
    for end in nearest:
        before = ends[-1][1] if ends else 0
        if end[1] <= before < rows:  # an empty part takes the next key
            found = at(before)
            ends.append((int(found.keys[0]) + 1, int(found.below[0] + found.count[0])))
        else:
            ends.append(end)
    limit = rows + open_end
    for index in reversed(range(len(ends))):
        if ends[index][1] >= limit > 0:  # nothing is left for the part after it: stop before the last key
            found = at(limit - 1)
            ends[index] = int(found.keys[0]), int(found.below[0])
        limit = ends[index][1]
    return [bound for bound, _ in ends]
