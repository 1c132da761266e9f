"""Sets of rows, one bit each: they do what Python's sets do, and none of them takes memory for nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.tables.bits import Bits

COUNT = 45
rows = st.sets(st.integers(0, COUNT - 1))


def of(members: set[int], count: int = COUNT) -> Bits:
    bits = Bits(count)
    bits.add(np.array(sorted(members), dtype=np.int64))
    return bits


@given(rows, rows)
def test_they_are_sets(some: set[int], others: set[int]) -> None:
    a, b = of(some), of(others)
    assert set((a | b).positions()) == some | others
    assert set(a.without(b).positions()) == some - others
    assert a.total() == len(some)
    everything = np.arange(COUNT)
    assert a.of(everything).tolist() == a.mask(0, COUNT).tolist() == [row in some for row in range(COUNT)]
    assert a.mask(9, 20).tolist() == [row in some for row in range(9, 29)]
    assert set(a.positions()) == some, "nothing was changed on the way"


def test_a_row_is_in_it_once() -> None:
    rng = np.random.default_rng(0)
    bits, chosen = Bits(1001), np.unique(rng.integers(0, 1001, 300))
    bits.add(chosen)
    bits.add(chosen[:5])
    assert bits.total() == len(chosen)
    assert list(bits.positions()) == chosen.tolist()
    for start in (0, 3, 8, 990):
        expected = np.isin(np.arange(start, min(start + 111, 1001)), chosen)
        assert (bits.mask(start, len(expected)) == expected).all()
    assert bits.without(bits).total() == 0


@given(rows, st.integers(0, COUNT))
def test_pieces_make_up_the_whole(members: set[int], cut: int) -> None:
    whole = Bits(COUNT)
    for start, end in ((0, cut), (cut, COUNT)):
        piece = Bits.of_piece(start, end - start)
        piece.add(np.array([row for row in members if start <= row < end], dtype=np.int64))
        whole.include(piece)
    assert set(whole.positions()) == members


@pytest.mark.parametrize("start", [0, 5, 8, 4091])
def test_a_pieces_bits_lie_where_the_whole_has_them(start):
    rng = np.random.default_rng(start)
    chosen = start + np.unique(rng.integers(0, 500, 90))
    piece, whole = Bits.of_piece(start, 500), Bits(5000)
    piece.add(chosen)
    whole.add(np.array([0, 4999]))
    whole.include(piece)
    assert list(piece.positions()) == chosen.tolist()
    assert piece.of(chosen).all()
    assert piece.mask(start, 500).sum() == piece.total() == len(chosen)
    assert set(whole.positions()) == {0, 4999, *chosen.tolist()}


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    for number, members in enumerate((set[int](), {0, 7, 44})):
        path = tmp_path / f"{number}.npy"
        of(members).save(path)
        assert set(Bits.load(path, COUNT).positions()) == members


def test_nobody_takes_no_memory() -> None:
    none = Bits(10**15)  # a hundred terabytes could not be had
    none.add(np.zeros(0, dtype=np.int64))
    none.include(Bits.of_piece(0, 100))
    assert none.untouched and (none | none.empty()).untouched and none.without(none.empty()).untouched
    assert none.total() == 0 and list(none.positions()) == []
    assert not none.of(np.array([10**14])).any() and not none.mask(10**14, 3).any()
