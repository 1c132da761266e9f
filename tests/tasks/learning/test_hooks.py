from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tasks.config import Fit, WideDeep
from tasks.learning import hooks, training
from tasks.learning.training import Examples, Task, Trained
from tasks.networks import InputSpec, build
from tasks.records import Epoch

SETTINGS = Fit(epochs=3, batch_size=8, learning_rate=0.01, schedule="one_cycle")


def texts(rows: int = 40, width: int = 12) -> Examples:
    generator = torch.Generator().manual_seed(3)
    count = torch.randint(1, width + 1, (rows, 1), generator=generator)
    words = torch.randint(1, 20, (rows, width), generator=generator, dtype=torch.int32)
    words[torch.arange(width) >= count] = 0
    grams = words.clone().sort(dim=1, descending=True).values
    return Examples((words, grams), torch.randint(0, 2, (rows,), generator=generator))


def trained(folder: Path, data: Examples | None = None, network: nn.Module | None = None) -> Trained:
    data = data or texts()
    torch.manual_seed(0)
    spec = InputSpec(outputs=2, vocabulary=20, buckets=20, word_grams=12)
    network = network or build(WideDeep(hidden=4, embedding=4).model_dump(), spec)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        many = targets.expand(outputs.shape[:-1])
        return nn.functional.cross_entropy(outputs.flatten(0, -2), many.flatten())

    task = Task(loss, lambda outputs: float(loss(outputs, data.targets)), higher_is_better=False)
    return training.train(
        network, data, data, task, SETTINGS, seed=0, device="cpu", precision="float32", checkpoint=folder
    )


def test_a_text_network_has_the_same_bits_again_and_after_an_interruption(tmp_path: Path) -> None:
    whole, again = trained(tmp_path / "a"), trained(tmp_path / "b")

    def interrupt(epoch: Epoch, planned: int) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), training.watching(interrupt):
        trained(tmp_path / "c")
    resumed = trained(tmp_path / "c")
    assert resumed.taken_up == 2
    for other in (again, resumed):
        assert whole.weights.keys() == other.weights.keys()
        assert all(torch.equal(whole.weights[name], other.weights[name]) for name in whole.weights)
        assert [e.train_loss for e in whole.history] == [e.train_loss for e in other.history]


class Wishful(nn.Module):
    """A network that notes what the loop does with its wishes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 2))
        self.bias = nn.Parameter(torch.zeros(2))
        self.primed: list[int] = []
        self.longest: list[list[int]] = []

    def prime(self, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
        self.primed.append(len(targets))

    def lengths(self, inputs: tuple[Tensor, ...]) -> Tensor:
        return (inputs[0] > 0).sum(1)

    def optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        self.asked = (learning_rate, weight_decay)
        self.made = torch.optim.SGD([{"params": [self.weight]}, {"params": [self.bias], "scale": 0.0}], 1.0)
        return self.made

    def forward(self, words: Tensor, ngrams: Tensor) -> Tensor:
        if self.training:
            self.longest.append((words > 0).sum(1).tolist())
        return words[:, :1].float() @ self.weight + self.bias


def test_the_loop_does_what_a_network_asks_for(tmp_path: Path) -> None:
    net = Wishful()
    result = trained(tmp_path, texts(rows=200), net)
    assert net.primed == [200]
    assert net.asked == (SETTINGS.learning_rate, SETTINGS.weight_decay)
    rates = [group["lr"] for group in net.made.param_groups]
    assert rates == [result.history[-1].learning_rate, 0.0]
    assert torch.equal(net.bias, torch.zeros(2))
    assert net.weight.abs().sum() > 0
    spread = [max(batch) - min(batch) for batch in net.longest]
    assert sum(spread) / len(spread) < 3  # of 12, which a random batch has almost whole
    trained(tmp_path, texts(rows=200), net)  # taken up at its end: nothing is primed again
    assert net.primed == [200]


@pytest.mark.parametrize("rows", [1, 7, 64, 200])
def test_batches_hold_every_example_once(rows: int) -> None:
    long = torch.arange(rows) % 9
    torch.manual_seed(0)
    batches = hooks.batches(rows, 4, long)
    assert torch.equal(torch.cat(list(batches)).sort().values, torch.arange(rows))
    assert len(batches) == -(-rows // 4)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(batches, hooks.batches(rows, 4, long), strict=True))


def test_padded_examples_of_two_widths_are_put_together() -> None:
    wide, narrow = texts(rows=5, width=9), texts(rows=3, width=4)
    for both in (wide + narrow, narrow + wide):
        assert both.inputs[0].shape == (8, 9)
    assert torch.equal((wide + narrow).inputs[1][5:, :4], narrow.inputs[1])
    assert not (wide + narrow).inputs[1][5:, 4:].any()
    pixels = Examples((torch.zeros(2, 5, 5, dtype=torch.uint8),), torch.zeros(2))
    assert (pixels + pixels).inputs[0].shape == (4, 5, 5)


@pytest.mark.parametrize("long", [None, torch.arange(65) % 9])
def test_no_example_is_left_over_alone(long: torch.Tensor | None) -> None:
    """Batch normalisation can't be fed with one."""
    assert sorted(map(len, hooks.batches(65, 4, long))) == [4] * 15 + [5]
    assert list(map(len, hooks.batches(1, 4, None if long is None else long[:1]))) == [1]
    assert list(map(len, hooks.batches(3, 1, None if long is None else long[:3]))) == [1, 1, 1]
