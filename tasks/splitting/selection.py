"""Exact ranks among more keys than fit into memory: a radix selection over their bits.

Each pass reads all keys and settles the next bits of every key that is asked for. Memory goes by the number
of questions, not of keys, and the answers are those of a sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

CELLS = 2**21
"""Counters of a pass, at most: 16 MiB."""

Blocks = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Reads keys, uint64 (n,), and strata, (n,), block by block, from the first to the last."""


@dataclass(frozen=True)
class Ranked:
    """The keys at some ranks.

    Attributes:
        keys: uint64 (q,).
        below: Rows of the same stratum with a smaller key, int64 (q,).
        count: Rows of the same stratum with the same key, int64 (q,).
    """

    keys: np.ndarray
    below: np.ndarray
    count: np.ndarray


def select(blocks: Blocks, strata: np.ndarray, ranks: np.ndarray) -> Ranked:
    """Find the keys at some ranks.

    Args:
        blocks: All keys.
        strata: The stratum (q,) in which each rank is meant.
        ranks: Ranks (q,) from 0; each below the number of its stratum's rows.
    """
    groups, nodes = np.unique(strata, return_inverse=True)
    keys, below, count = np.zeros(len(ranks), np.uint64), np.zeros(len(ranks), np.int64), ranks
    first = np.full(int(groups.max(initial=0)) + 1, -1, dtype=np.int64)
    first[groups] = np.arange(len(groups))
    levels, left = [_Level(64, 0, first)], 64
    while left and len(ranks):
        bits = min(left, max(1, (CELLS // (int(nodes.max()) + 1)).bit_length() - 1), 16)
        left -= bits
        counts = _count(blocks, levels, left, bits, int(nodes.max()) + 1)
        sums = np.cumsum(counts, axis=1)
        wanted = ranks - below
        digits = np.array([np.searchsorted(sums[n], w, "right") for n, w in zip(nodes, wanted, strict=True)])
        count = counts[nodes, digits]
        below = below + sums[nodes, digits] - count
        keys |= digits.astype(np.uint64) << np.uint64(left)
        cells, following = np.unique(nodes * 2**bits + digits, return_inverse=True)
        table = np.full(counts.size, -1, dtype=np.int64)
        table[cells] = np.arange(len(cells))
        levels.append(_Level(left, bits, table))
        nodes = following
    return Ranked(keys, below, count)


@dataclass(frozen=True)
class _Level:
    """How rows go on: from a node and the next bits of the key to a node of the next level, or to none."""

    shift: int
    bits: int
    table: np.ndarray

    def descend(self, keys: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        if not self.bits:
            known = nodes < len(self.table)
            return np.where(known, self.table[np.where(known, nodes, 0)], -1)
        return np.asarray(self.table[_cells(keys, nodes, self.shift, self.bits)])


def _cells(keys: np.ndarray, nodes: np.ndarray, shift: int, bits: int) -> np.ndarray:
    digits = (keys >> np.uint64(shift)) & np.uint64(2**bits - 1)
    return (nodes << bits) + digits.astype(np.int64)


def _count(blocks: Blocks, levels: list[_Level], shift: int, bits: int, nodes: int) -> np.ndarray:
    """Rows (nodes, 2**bits) of each node by the next bits of their keys."""
    counts = np.zeros(nodes << bits, dtype=np.int64)
    for every, strata in blocks():
        keys, at = every, strata.astype(np.int64)
        for level in levels:
            at = level.descend(keys, at)
            if (at < 0).any():
                keys, at = keys[at >= 0], at[at >= 0]
        counts += np.bincount(_cells(keys, at, shift, bits), minlength=len(counts))
    return counts.reshape(nodes, -1)
