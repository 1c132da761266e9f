from __future__ import annotations

import torch

from tasks.learning.loop import bagging
from tasks.learning.training import Examples


def pool(rows: int = 10) -> Examples:
    return Examples((torch.arange(rows),), torch.arange(rows) * 2.0)


def test_every_member_learns_from_what_it_does_not_hold_out() -> None:
    learned, out = bagging.deal(pool(), members=3, held_out=4, seed=0)
    assert learned.own is not None
    assert out.own is not None
    for kept, held in zip(learned.own.tolist(), out.own.tolist(), strict=True):
        assert sorted(kept + held) == list(range(10))
    assert len(learned) == 6
    assert len(out) == 4


def test_no_row_is_held_out_twice_before_every_row_has_been_once() -> None:
    held = bagging.deal(pool(), members=5, held_out=4, seed=1)[1].own
    assert held is not None
    counts = torch.bincount(held.flatten(), minlength=10)
    assert counts.tolist() == [2] * 10


def test_of_many_rows_no_more_are_held_out_than_an_epoch_is_chosen_by() -> None:
    learned, out = bagging.deal(pool(20_000), members=2, held_out=3000, seed=0)
    assert (len(learned), len(out)) == (18_000, bagging.MOST)


def test_members_see_different_rows_at_the_same_positions() -> None:
    learned = bagging.deal(pool(50), members=4, held_out=5, seed=2)[0].own
    assert learned is not None
    assert (learned[0] == learned[1]).float().mean() < 0.3


def test_taken_rows_have_an_axis_for_members_and_targets_of_their_own() -> None:
    learned, _ = bagging.deal(pool(), members=2, held_out=3, seed=0)
    assert learned.own is not None
    (numbers,), targets = learned.take(torch.tensor([0, 5]))
    assert torch.equal(numbers, learned.own[:, [0, 5]])
    assert torch.equal(targets, numbers * 2.0)
    (numbers,), targets = pool().take(slice(2, 4))
    assert numbers.tolist() == [2, 3]
    assert targets.tolist() == [4.0, 6.0]


def test_the_same_seed_deals_the_same_rows() -> None:
    first, second, other = (bagging.deal(pool(), 2, 3, seed)[0].own for seed in (0, 0, 1))
    assert first is not None
    assert second is not None
    assert other is not None
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
