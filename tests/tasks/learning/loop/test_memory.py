from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tasks.config import Fit
from tasks.learning import training
from tasks.learning.loop import memory
from tasks.learning.training import Examples, Task, Trained

SETTINGS = Fit(epochs=3, batch_size=32, learning_rate=0.01)


class Full(nn.Module):
    """A network that has memory for so many rows, and then raises what torch would.

    Args:
        room: Rows of a batch that fit.
        error: What it raises for more.
    """

    def __init__(self, room: int, error: Exception) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.room, self.error = room, error
        self.asked: list[int] = []

    def forward(self, numbers: Tensor) -> Tensor:
        self.asked.append(len(numbers))
        if len(numbers) > self.room:
            torch.rand(7)  # whatever it drew is drawn again
            raise self.error
        return self.inner(numbers)


def examples() -> Examples:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(83, 3, generator=generator)
    return Examples((numbers,), (numbers[:, 0] > 0).long())


def trained(folder: Path, room: int, error: Exception, batch: int = 32) -> tuple[Trained, Full]:
    data, weights = examples(), torch.tensor([3.0, 1.0])
    torch.manual_seed(0)
    network = Full(room, error)
    task = Task(
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets, weights),
        metric=lambda outputs: float((outputs.argmax(1) == data.targets).float().mean()),
        higher_is_better=True,
        augment=lambda inputs: (inputs[0] + 0.1 * torch.randn(inputs[0].shape),),
        weight=lambda targets: weights[targets].sum(),
    )
    settings = SETTINGS.model_copy(update={"batch_size": batch})
    how: dict = {"seed": 0, "device": "cpu", "precision": "float32", "checkpoint": folder}
    return training.train(network, data, data, task, settings, **how), network


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_computed_in_parts_to_the_same_end(
    tmp_path: Path, error: Exception
) -> None:
    whole, _ = trained(tmp_path / "whole", 100, error)
    parts, network = trained(tmp_path / "parts", 9, error)
    assert (whole.rows_at_once, parts.rows_at_once) == (None, 8)
    assert network.asked[:6] == [32, 16, 8, 8, 8, 8]  # the first step, tried thrice, is one step
    for name, weight in whole.weights.items():
        torch.testing.assert_close(parts.weights[name], weight, rtol=1e-4, atol=1e-6)
    for in_parts, at_once in zip(parts.history, whole.history, strict=True):
        assert in_parts.train_loss == pytest.approx(at_once.train_loss, rel=1e-5)
        assert in_parts.validation_loss == pytest.approx(at_once.validation_loss, rel=1e-4)


def test_a_training_that_is_taken_up_begins_with_what_fitted(tmp_path: Path) -> None:
    trained(tmp_path, 9, MemoryError())
    for checkpoint in tmp_path.glob("epoch-*"):
        checkpoint.unlink()
    _, network = trained(tmp_path, 9, MemoryError())
    assert network.asked[:4] == [8, 8, 8, 8]
    (tmp_path / memory.FILE).write_text("-3")
    _, network = trained(tmp_path / "again", 100, MemoryError())
    assert network.asked[0] == 32


def test_a_single_row_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        trained(tmp_path, 0, MemoryError())
    assert not list(tmp_path.glob("epoch-*"))


def test_another_error_is_not_tried_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        trained(tmp_path, 9, RuntimeError("shapes do not match"))
    assert not (tmp_path / memory.FILE).exists()


def test_a_process_among_others_leaves_the_smaller_number_and_fails(tmp_path: Path) -> None:
    """The others wait for its gradients; all begin again, and then with this."""
    rows = memory.RowsAtOnce(tmp_path, again=False)

    def full() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        rows.within(20, full)
    assert memory.RowsAtOnce(tmp_path, again=False).parts(25) == [slice(0, 10), slice(10, 20), slice(20, 30)]
