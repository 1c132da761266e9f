"""Equal rows of different strata, which the strata's cuts would place in different parts.

Rows with the same features must not come into two parts though their targets differ. Most never do, since
the cuts of all strata lie close together; those between them are looked up, and go where train is nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.splitting.cuts import Cuts
from tasks.splitting.selection import Blocks
from tasks.splitting.spool import among

TOGETHER = 2**21
"""Rows that are sorted at a time, about."""


@dataclass(frozen=True)
class Conflicts:
    """Sorted keys, uint64 (c,), that stand in several parts, and the part, uint8 (c,), that takes them."""

    keys: np.ndarray
    codes: np.ndarray

    def settle(self, keys: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The parts (n,) of rows, `codes` but for the keys in conflict."""
        met = among(keys, self.keys)
        if not met.any():
            return codes
        codes = codes.copy()
        codes[met] = self.codes[np.searchsorted(self.keys, keys[met])]
        return codes


def find(blocks: Blocks, cuts: Cuts) -> Conflicts:
    """Find the keys that the cuts of different strata place in different parts."""
    none = Conflicts(np.zeros(0, np.uint64), np.zeros(0, np.uint8))
    if len(cuts.bounds) < 2:
        return none
    rows = sum(len(keys) for keys, _ in _between(blocks, cuts))
    turns = rows // TOGETHER + 1
    found = [_repeated(blocks, cuts, turn, turns) for turn in range(turns)]
    keys = np.concatenate([one.keys for one in found])
    order = np.argsort(keys)
    return Conflicts(keys[order], np.concatenate([one.codes for one in found])[order])


def _between(blocks: Blocks, cuts: Cuts) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Keys and codes of rows on whose part the strata disagree."""
    low, high = cuts.bounds.min(axis=0), cuts.bounds.max(axis=0)
    for keys, strata in blocks():
        torn = np.zeros(len(keys), dtype=bool)
        for start, end in zip(low, high, strict=True):
            torn |= (keys >= start) & (keys < end)
        yield keys[torn], cuts.codes(keys[torn], strata[torn])


def _repeated(blocks: Blocks, cuts: Cuts, turn: int, turns: int) -> Conflicts:
    """The conflicts among the keys of one turn."""
    keys, codes = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint8)]
    for some, theirs in _between(blocks, cuts):
        now = some % np.uint64(turns) == turn
        keys.append(some[now])
        codes.append(theirs[now])
    every = np.concatenate(keys)
    if not len(every):
        return Conflicts(keys[0], codes[0])
    order = np.argsort(every, kind="stable")
    ordered, parts = every[order], np.concatenate(codes)[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    # Train comes first among the parts: a class that has train rows keeps them.
    lowest, highest = np.minimum.reduceat(parts, starts), np.maximum.reduceat(parts, starts)
    differ = lowest != highest
    return Conflicts(ordered[starts[differ]], lowest[differ])
