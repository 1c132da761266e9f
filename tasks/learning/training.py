"""The training loop: forward, error, backward, small change, again, and knowing when to stop.

Examples are tensors held in memory and sliced; nothing is fed item by item (the stock DataLoader
over a TensorDataset costs 2.4 times this loop's epoch for a small network). Every epoch reseeds its
own randomness, so a run that is taken up from a checkpoint ends in the same bits as one that never
stopped. Same seed, same kind of CPU, same `fit.threads`: same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from tasks.config import Fit
from tasks.errors import TrainingDiverged
from tasks.learning import checkpoints, hooks
from tasks.learning.devices import threads
from tasks.learning.schedule import learning_rate, planned_epochs
from tasks.records import Epoch

Watcher = Callable[[Epoch, int], None]
"""Called after each epoch with its record and the number of epochs planned."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs (batch, k) or (members, batch, k), targets (batch,)) -> scalar."""

_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())

EVALUATION_BATCH = 2048


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within this block every training reports its epochs to `watcher`, such as a progress bar."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Within this block trainings report to nobody."""
    token = _watchers.set(())
    try:
        yield
    finally:
        _watchers.reset(token)


@dataclass(frozen=True)
class Examples:
    """Encoded examples: inputs, each (n, ...), and targets (n,), int64 classes or float32 numbers."""

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __add__(self, other: Examples) -> Examples:
        """These examples, then the others; padded rows become as wide as the widest."""
        inputs = tuple(_stacked(*pair) for pair in zip(self.inputs, other.inputs, strict=True))
        return Examples(inputs, torch.cat([self.targets, other.targets]))

    def to(self, device: str) -> Examples:
        """The same examples in the memory of `device`."""
        return Examples(tuple(x.to(device) for x in self.inputs), self.targets.to(device))


@dataclass(frozen=True)
class Task:
    """What the loop optimises and what it is judged by.

    Attributes:
        loss: What each step lowers.
        metric: (outputs (n, k) on CPU) -> value on the validation examples.
        higher_is_better: Direction of the metric.
        augment: Changes a training batch's inputs; drawn from torch's own generator.
    """

    loss: Loss
    metric: Callable[[Tensor], float]
    higher_is_better: bool
    augment: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = field(default=lambda inputs: inputs)


@dataclass(frozen=True)
class Trained:
    """Best weights (on CPU) and how training went."""

    weights: dict[str, Tensor]
    history: tuple[Epoch, ...]
    best_epoch: int
    stopped: str
    seconds: float
    taken_up: int = 0
    """Epochs of an earlier process, from whose checkpoint this one went on."""


def train(
    network: nn.Module,
    examples: Examples,
    validation: Examples,
    task: Task,
    settings: Fit,
    *,
    seed: int,
    device: str,
    precision: str,
    checkpoint: Path,
    stop_at: int | None = None,
) -> Trained:
    """Trains `network` in place and returns its best weights by the validation metric.

    Args:
        network: Moved to `device`; its initial weights are the caller's.
        examples: Train rows.
        validation: Rows that pick the best epoch and stop the training; never trained on.
        task: Loss, metric, augmentation.
        settings: The `fit:` section.
        seed: Order of rows, dropout and augmentation derive from it and the number of the epoch.
        device: cpu, cuda or mps.
        precision: float32 or bfloat16.
        checkpoint: Folder of checkpoints; a whole one from the same inputs is taken up.
        stop_at: Lays the schedule over so many epochs instead of the planned ones and returns the last
            weights, whatever the validation metric says. `fit.minutes` cuts this short, too.

    Raises:
        TrainingDiverged: A loss or a gradient stopped being finite.
    """
    with threads(settings.threads):
        loop = _Loop(
            network.to(device),
            examples.to(device),
            validation.to(device),
            task,
            settings,
            seed,
            precision,
            stop_at,
        )
        loop.resume(checkpoint)
        taken_up = len(loop.history)
        if not taken_up:
            hooks.prime(loop.network, loop.examples.inputs, loop.examples.targets)
        began = time.perf_counter() - loop.spent
        loop.deadline = began + 60 * (settings.minutes or math.inf)
        while (stopped := loop.finished()) is None:
            epoch = loop.run_epoch()
            loop.spent = time.perf_counter() - began
            if not loop.cut:  # a checkpoint holds whole epochs
                checkpoints.save(checkpoint, loop.state(), len(loop.history))
            for watcher in _watchers.get():
                watcher(epoch, loop.epochs)
    best = {name: tensor.cpu() for name, tensor in loop.best.items()}
    return Trained(best, tuple(loop.history), loop.best_epoch, stopped, loop.spent, taken_up)


class _Loop:
    """State of one training between epochs: all that a checkpoint has to hold."""

    def __init__(
        self,
        network: nn.Module,
        examples: Examples,
        validation: Examples,
        task: Task,
        settings: Fit,
        seed: int,
        precision: str,
        stop_at: int | None,
    ) -> None:
        self.stop_at = stop_at
        self.network, self.examples, self.validation = network, examples, validation
        self.task, self.settings, self.seed = task, settings, seed
        self.device = examples.targets.device
        self.half = precision == "bfloat16"
        self.epochs = stop_at or planned_epochs(settings, len(examples))
        self.batches = math.ceil(len(examples) / settings.batch_size)
        self.optimizer = hooks.optimizer(network, settings)
        self.lengths = hooks.lengths(network, examples.inputs)
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.best_value = -math.inf
        self.spent = 0.0
        self.deadline = math.inf
        self.cut = False

    def finished(self) -> str | None:
        """Why training is over, or None while it is not."""
        done, settings = len(self.history), self.settings
        if self.cut:
            return "minutes"
        if done >= self.epochs:
            return "epochs"
        if self.stop_at is not None:
            return None
        if settings.patience and done - self.best_epoch >= settings.patience:
            return "early"
        if settings.minutes and done and self.spent * (done + 1) / done > settings.minutes * 60:
            return "minutes"
        return None

    def run_epoch(self) -> Epoch:
        """One pass over the train rows, cut short where the time is up, and one over the validation rows."""
        number, began = len(self.history) + 1, time.perf_counter()
        # Derived anew for each epoch: what came before, or on which run, leaves no trace.
        torch.manual_seed((self.seed * 1_000_003 + number) % 2**63)
        batches = hooks.batches(len(self.examples), self.settings.batch_size, self.lengths)
        self.network.train()
        total, seen = 0.0, 0
        for index, rows in enumerate(batches):
            self.cut = index > 0 and time.perf_counter() > self.deadline
            if self.cut:
                break
            step = (number - 1) * self.batches + index
            total += self._step(rows.to(self.device), number, step) * len(rows)
            seen += len(rows)
        outputs = self.answers(self.validation.inputs)
        loss = float(self.task.loss(outputs, self.validation.targets))
        value = self.task.metric(outputs.cpu())
        epoch = Epoch(
            epoch=number,
            train_loss=total / seen,
            validation_loss=loss,
            validation_metric=value,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=round(time.perf_counter() - began, 4),
        )
        self._keep_if_best(epoch)
        self.history.append(epoch)
        return epoch

    def _step(self, rows: Tensor, epoch: int, step: int) -> float:
        """One small change; the batch's loss before it."""
        rate = learning_rate(step, self.epochs * self.batches, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        inputs = self.task.augment(tuple(x[rows] for x in self.examples.inputs))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            outputs = self.network(*inputs)
        loss = self.task.loss(outputs.float(), self.examples.targets[rows])
        value = float(loss.detach())
        self._guard(value, "loss", epoch, step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self._guard(float(norm), "norm of the gradient", epoch, step)
        self.optimizer.step()
        return value

    def _guard(self, value: float, what: str, epoch: int, step: int) -> None:
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the {what} became {value} in epoch {epoch}, step {step + 1}",
                fix=f"lower fit.learning_rate (now {self.settings.learning_rate:g}) or set fit.clip; "
                "nothing was registered",
            )

    def _keep_if_best(self, epoch: Epoch) -> None:
        self._guard(epoch.validation_loss, "validation loss", epoch.epoch, self.batches * epoch.epoch - 1)
        value = epoch.validation_metric if self.task.higher_is_better else -epoch.validation_metric
        # An undefined metric (one class among few rows) never wins; the loss stands in for it.
        value = -epoch.validation_loss if math.isnan(value) else value
        if value > self.best_value or not self.best or self.stop_at is not None:
            self.best_value, self.best_epoch = value, epoch.epoch
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    @torch.no_grad()
    def answers(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Outputs (n, k) float32 in eval mode."""
        self.network.eval()
        parts = []
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            for start in range(0, len(inputs[0]), EVALUATION_BATCH):
                batch = tuple(x[start : start + EVALUATION_BATCH] for x in inputs)
                parts.append(self.network(*batch).float())
        return torch.cat(parts)

    def state(self) -> checkpoints.State:
        """What a checkpoint holds."""
        return checkpoints.State(
            network=self.network.state_dict(),
            best=self.best,
            optimizer=self.optimizer.state_dict(),
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            best_value=self.best_value,
            spent=self.spent,
        )

    def resume(self, folder: Path) -> None:
        """Takes up the newest whole checkpoint, if there is one."""
        state = checkpoints.load(folder)
        if state is None:
            return
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(state.optimizer)
        self.best = {name: tensor.to(self.device) for name, tensor in state.best.items()}
        self.history, self.best_epoch = list(state.history), state.best_epoch
        self.best_value, self.spent = state.best_value, state.spent


def _stacked(above: Tensor, below: Tensor) -> Tensor:
    """Two inputs, one after the other; the narrower of two-dimensional ones gets zeros at its right."""
    if above.dim() == 2:
        width = max(above.shape[1], below.shape[1])
        above, below = (nn.functional.pad(x, (0, width - x.shape[1])) for x in (above, below))
    return torch.cat([above, below])
