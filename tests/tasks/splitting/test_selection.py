"""Ranks among keys in blocks are those of a sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.splitting import selection
from tasks.splitting.quotas import quotas
from tasks.splitting.selection import select

KEYS = st.one_of(st.integers(0, 2**64 - 2), st.integers(0, 5), st.integers(2**63 - 2, 2**63 + 2))


@given(
    rows=st.lists(st.tuples(KEYS, st.integers(0, 3)), min_size=1, max_size=60),
    width=st.integers(1, 20),
    cells=st.sampled_from([8, 64, 2**21]),
)
def test_every_rank_is_that_of_a_sort(rows, width, cells):
    keys, strata = np.array([k for k, _ in rows], np.uint64), np.array([s for _, s in rows])
    there = np.unique(strata)
    which = np.concatenate([np.full((strata == s).sum(), s) for s in there])
    ranks = np.concatenate([np.arange((strata == s).sum()) for s in there])

    def blocks():
        for at in range(0, len(keys), width):
            yield keys[at : at + width], strata[at : at + width]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "CELLS", cells)
        found = select(blocks, which, ranks)
    assert found.keys.tolist() == np.concatenate([np.sort(keys[strata == s]) for s in there]).tolist()
    for key, s, below, count in zip(found.keys, which, found.below, found.count, strict=True):
        assert below == ((strata == s) & (keys < key)).sum()
        assert count == ((strata == s) & (keys == key)).sum()


def test_no_question_has_no_answer():
    found = select(lambda: iter([]), np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert len(found.keys) == len(found.below) == len(found.count) == 0


def test_quotas_go_to_the_largest_remainders_and_ties_to_the_first_in_order():
    assert quotas(np.array([10, 11, 12]), 7, np.array([9, 9, 9]), np.arange(3)).tolist() == [2, 2, 3]
    assert quotas(np.array([5, 5, 5]), 4, np.array([4, 4, 4]), np.array([2, 0, 1])).tolist() == [1, 2, 1]


def test_quotas_stop_at_what_a_stratum_can_give():
    assert quotas(np.array([1, 9]), 5, np.array([0, 8]), np.arange(2)).tolist() == [0, 5]
    assert quotas(np.array([2, 2]), 4, np.array([1, 1]), np.arange(2)).tolist() == [1, 1]
