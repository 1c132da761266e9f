"""Boosted trees: what they ask, what they answer, and that nothing but the examples decides it."""

from __future__ import annotations

import pytest
import torch

from tasks.networks import InputSpec, trees
from tasks.networks.trees import Trees


def made(rows: int = 400, outputs: int = 1) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Three numbers and a category, and a target that needs two of them together."""
    drawn = torch.Generator().manual_seed(3)
    numbers = torch.randn(rows, 3, generator=drawn)
    codes = torch.randint(2, 6, (rows, 1), generator=drawn)
    goal = (numbers[:, 0] > 0) * (codes[:, 0] > 3) * 2.0 + 0.5 * numbers[:, 1].sign()
    return (numbers, codes), goal if outputs == 1 else (goal * 2 + 1).round().long().clamp(0, outputs - 1)


def grown(outputs: int = 1, count: int = 200) -> Trees:
    forest = Trees(1, InputSpec(outputs=outputs, numbers=3, levels=(6,)), count)
    forest.grow(*made(outputs=outputs))
    return forest


def test_they_learn_what_two_features_say_together() -> None:
    inputs, goal = made()
    errors = [(grown(count=count)(*inputs)[0, :, 0] - goal).square().mean() for count in (1, 20, 200)]
    assert goal.var() > errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02 * goal.var()


@pytest.mark.parametrize("outputs", [2, 3, 5])
def test_they_answer_logits_of_classes(outputs: int) -> None:
    inputs, labels = made(outputs=outputs)
    answers = grown(outputs)(*inputs)[0]
    assert answers.shape == (400, outputs)
    assert (answers.argmax(1) == labels).float().mean() > 0.97


def test_a_forest_without_a_tree_yet_answers_the_mean() -> None:
    inputs, goal = made()
    forest = grown(count=1)
    forest.value.zero_()
    torch.testing.assert_close(forest(*inputs)[0, :, 0], goal.mean().expand(400))


def test_a_question_is_the_one_that_leaves_the_smallest_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "SHRUNK", 1e-6)
    drawn = torch.Generator().manual_seed(1)
    bins = torch.randint(0, 5, (60, 4), generator=drawn).byte()
    left = torch.randn(60, 2, generator=drawn)
    (column, cut), *_ = trees._questions(bins, left, torch.ones_like(left))

    def error(of: int, after: int) -> float:
        yes = bins[:, of] > after
        parts = [left[part] for part in (yes, ~yes) if part.any()]
        return sum(float((part - part.mean(0)).square().sum()) for part in parts)

    every = {(of, after): error(of, after) for of in range(4) for after in range(5)}
    assert every[column, cut] == pytest.approx(min(every.values()))


def test_bins_keep_what_a_threshold_says() -> None:
    values = torch.cat([torch.zeros(300), torch.randn(700), torch.full((1,), 1e9)]).view(-1, 1)
    read = trees._Binned.of(torch.cat([values, values.sign()], dim=1))
    assert int(read.bins.max()) < trees.BINS
    for cut in range(trees.BINS - 1):
        assert torch.equal(read.bins[:, 0] > cut, values[:, 0] > read.edges[0, cut])
    assert read.edges[1].isfinite().sum() == 2


def test_the_same_examples_give_the_same_forest_whatever_was_drawn_before() -> None:
    torch.manual_seed(1)
    one = grown(count=20)
    torch.manual_seed(2)
    other = grown(count=20)
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in one.state_dict().items())


def test_each_member_learns_from_its_own_rows() -> None:
    (numbers, codes), goal = made()
    forest = Trees(2, InputSpec(outputs=1, numbers=3, levels=(6,)), 50)
    inputs = (torch.stack([numbers, numbers]), torch.stack([codes, codes]))
    forest.grow(inputs, torch.stack([goal, -goal]))
    answers = forest(numbers, codes)[:, :, 0]
    assert torch.equal(answers, forest(*inputs)[:, :, 0])
    assert (answers[0] - goal).square().mean() < 0.2 * goal.var()
    assert (answers[1] + goal).square().mean() < 0.2 * goal.var()


def test_a_level_that_training_never_saw_counts_as_the_mean() -> None:
    forest, (_, goal) = grown(), made()
    assert forest.means[0, [0, 1], 0].tolist() == pytest.approx([goal.mean().item()] * 2)


def test_they_are_weights_that_load_and_no_parameters() -> None:
    first, inputs = grown(), made()[0]
    second = Trees(1, InputSpec(outputs=1, numbers=3, levels=(6,)), 200)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs), second(*inputs))
    assert not list(first.parameters())
