"""The training loop: forward, error, backward, small change, again, and knowing when to stop.

Examples are tensors held in memory and sliced; nothing is fed item by item (the stock DataLoader
over a TensorDataset costs 2.4 times this loop's epoch for a small network). Every epoch reseeds its
own randomness, so a run that is taken up from a checkpoint ends in the same bits as one that never
stopped. Same seed, same kind of CPU, same `fit.threads` and `fit.processes`: same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.config import Fit
from tasks.learning import checkpoints, hooks
from tasks.learning.devices import fits, threads
from tasks.learning.loop.memory import RowsAtOnce, in_halves
from tasks.learning.loop.ranks import ALONE, Ranks
from tasks.learning.loop.steps import Steps, guard
from tasks.learning.loop.watchers import Watcher, unwatched, watchers, watching
from tasks.learning.schedule import learning_rate, planned_epochs
from tasks.records import Epoch

__all__ = ["Examples", "Loss", "Task", "Trained", "Watcher", "train", "unwatched", "watching"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs (batch, k) or (members, batch, k), targets (batch,)) -> scalar."""

EVALUATION_BATCH = 2048
TOGETHER = 16
"""Batches after which several processes ask each other whether the time is up."""


@dataclass(frozen=True)
class Examples:
    """Encoded examples: inputs, each (n, ...), and targets (n,), int64 classes or float32 numbers."""

    inputs: tuple[Tensor, ...]
    targets: Tensor
    own: Tensor | None = None
    """(members, n) positions of the examples that each member of a network is given; None: all are."""

    def __len__(self) -> int:
        """Examples that a member is given."""
        return len(self.targets) if self.own is None else self.own.shape[1]

    def take(self, rows: Tensor | slice) -> tuple[tuple[Tensor, ...], Tensor]:
        """Inputs (batch, ...) and targets (batch,); (members, batch, ...) where each member has its own."""
        at = rows if self.own is None else self.own[:, rows]
        return tuple(x[at] for x in self.inputs), self.targets[at]

    def __add__(self, other: Examples) -> Examples:
        """These examples, then the others; padded rows become as wide as the widest."""
        inputs = tuple(_stacked(*pair) for pair in zip(self.inputs, other.inputs, strict=True))
        return Examples(inputs, torch.cat([self.targets, other.targets]))

    @property
    def shown(self) -> Examples:
        """What a network may look at before the first epoch: all of them."""
        return self

    def batches(self, size: int, long: Tensor | None) -> Iterable[Tensor]:
        """Positions of every example once, in random batches; see `hooks.batches`."""
        return hooks.batches(len(self), size, long)

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(tensor.nbytes for tensor in (*self.inputs, self.targets))

    def to(self, device: str) -> Examples:
        """The same examples in the memory of `device`."""
        own = None if self.own is None else self.own.to(device)
        return Examples(tuple(x.to(device) for x in self.inputs), self.targets.to(device), own)


@dataclass(frozen=True)
class Task:
    """What the loop optimises and what it is judged by.

    Attributes:
        loss: What each step lowers.
        metric: (outputs (n, k) on CPU) -> value on the validation examples.
        higher_is_better: Direction of the metric.
        augment: Changes a training batch's inputs; drawn from torch's own generator.
        weight: (targets) -> what they count together in the mean that the loss is. By it the losses of a
            batch's parts add up to the batch's.
    """

    loss: Loss
    metric: Callable[[Tensor], float]
    higher_is_better: bool
    augment: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = field(default=lambda inputs: inputs)
    weight: Callable[[Tensor], Tensor | float] = field(default=torch.numel)


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
    rows_at_once: int | None = None
    """Rows of a batch that were computed at once, where memory did not suffice for all of it."""
    restarts: int = 0
    """How often a group of processes began again from its last checkpoint, since one of them had ended."""


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
    ranks: Ranks = ALONE,
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
        ranks: Which of several processes this is; all call this with the same arguments. Where
            `fit.processes` asks for several and this is the only one, it starts them and waits.

    Raises:
        TrainingDiverged: A loss or a gradient stopped being finite.
        ConfigError: There are not as many devices as processes.
        ResourceLimit: One of several processes ended again and again.
    """
    how: dict[str, Any] = {
        "seed": seed, "device": device, "precision": precision, "checkpoint": checkpoint,
    }  # fmt: skip
    if settings.processes > 1 and ranks.alone:
        from tasks.learning.loop import group  # noqa: PLC0415 - it calls this function

        return group.train(
            network, examples, validation, task, settings, **how, stop_at=stop_at, watchers=watchers()
        )
    with threads(settings.threads):
        loop = _Loop(network.to(device), examples, validation, task, settings, stop_at, ranks, **how)
        began = time.perf_counter() - loop.spent
        loop.deadline = began + 60 * (settings.minutes or math.inf)
        saver = checkpoints.Saver(checkpoint, loop.state, done=len(loop.history))
        while (stopped := loop.finished()) is None:
            epoch = loop.run_epoch()
            loop.spent = ranks.agreed(time.perf_counter() - began)
            if ranks.rank == 0 and not loop.cut:  # a checkpoint holds whole epochs
                saver.offer()
            try:
                for watcher in watchers():
                    watcher(epoch, loop.epochs)
            except BaseException:
                if not loop.cut:
                    saver.save()  # whoever stops a training between two epochs loses none
                raise
    best = {name: tensor.cpu() for name, tensor in loop.best.items()}
    history, at_once = tuple(loop.history), loop.rows_at_once.limit
    return Trained(best, history, loop.best_epoch, stopped, loop.spent, loop.taken_up, at_once)


class _Loop:
    """State of one training between epochs: all that a checkpoint has to hold."""

    def __init__(
        self,
        network: nn.Module,
        examples: Examples,
        validation: Examples,
        task: Task,
        settings: Fit,
        stop_at: int | None,
        ranks: Ranks,
        *,
        seed: int,
        device: str,
        precision: str,
        checkpoint: Path,
    ) -> None:
        self.stop_at, self.ranks = stop_at, ranks
        self.network, self.validation = network, validation.to(device)
        self.task, self.settings, self.seed = task, settings, seed
        self.device = torch.device(device)
        # What does not fit is copied a batch at a time.
        self.examples = examples.to(device) if fits(examples.size, self.device) else examples
        self.half = precision == "bfloat16"
        self.epochs = stop_at or planned_epochs(settings, len(examples))
        self.batches = math.ceil(len(examples) / settings.batch_size)
        self.optimizer = hooks.optimizer(network, settings)
        self.lengths = hooks.lengths(network, examples.shown.inputs)
        self.rows_at_once = RowsAtOnce(checkpoint, again=ranks.alone)
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.best_value = -math.inf
        self.spent = 0.0
        self.deadline = math.inf
        self.cut = False
        self._resume(checkpoint)
        self.taken_up = ranks.same(len(self.history))
        if not self.taken_up:
            hooks.prime(network, *self.examples.shown.take(slice(None)))
        self.model = ranks.wrapped(network, self.device)

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
        batches = self.examples.batches(self.settings.batch_size, self.lengths)
        self.ranks.scatter()
        self.network.train()
        steps = Steps(number, (number - 1) * self.batches, self.settings, self.ranks)
        for index, rows in enumerate(self._placed(batches)):
            self.cut = self._is_late(index)
            if self.cut:
                break
            steps.add(*self._step(rows, (number - 1) * self.batches + index), len(rows))
        train_loss = steps.mean()
        outputs, targets = self.answers(self.validation)
        loss = float(self.task.loss(outputs, targets))
        epoch = Epoch(
            epoch=number,
            train_loss=train_loss,
            validation_loss=loss,
            validation_metric=self.task.metric(outputs.flatten(0, -2).cpu()),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=round(time.perf_counter() - began, 4),
        )
        epoch = self.ranks.agreed(epoch)
        self._keep_if_best(epoch)
        self.history.append(epoch)
        return epoch

    def _placed(self, batches: Iterable[Tensor]) -> Iterable[Tensor]:
        """Positions in the memory where the examples lie."""
        place = self.examples.targets.device
        if place.type == "cpu":
            return batches
        known = [*batches]  # in one copy: one for each batch would wait for the device
        return torch.split(torch.cat(known).to(place), [len(rows) for rows in known])

    def _is_late(self, index: int) -> bool:
        """Whether the time was up before this batch of an epoch; of several processes the first decides."""
        if not index or math.isinf(self.deadline) or (index % TOGETHER and not self.ranks.alone):
            return False
        return self.ranks.agreed(time.perf_counter() > self.deadline)

    def _step(self, rows: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        """One small change; the batch's loss before it, and the norm of its gradient where it is clipped."""
        rate = learning_rate(step, self.epochs * self.batches, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        own = self.ranks.share(rows)
        loss = self.rows_at_once.within(len(own), lambda: self._gradients(rows, own))
        norm = None
        if self.settings.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.step()
        return loss, norm

    def _gradients(self, rows: Tensor, own: Tensor) -> Tensor:
        """Leaves the gradients of a batch's mean loss in the network; returns that loss.

        Args:
            rows: The batch.
            own: The rows of it that this process computes; the loss is its addend then.
        """
        counted = own if len(own) else rows[:1]  # all have to take part, if only with something times zero
        found, targets = self._taken(counted)
        inputs, axis = self.task.augment(found), targets.dim() - 1
        parts = self.rows_at_once.parts(len(counted))
        whole = len(own) == len(rows) and len(parts) == 1
        total = 1.0 if whole else self.task.weight(self._taken(rows)[1])
        losses: list[Tensor] = []
        for part in parts:
            with self.ranks.adding(self.model, last=part is parts[-1]):
                at = (slice(None),) * axis + (part,)
                loss = self._loss(tuple(x[at] for x in inputs), targets[at])
                if not whole:
                    loss = loss * (self.task.weight(targets[at]) / total if len(own) else 0.0)
                if not losses:
                    # Given back before the forward pass, their memory would leave the heap and cost as many
                    # page faults again: 2 % of a small network's step.
                    self.optimizer.zero_grad(set_to_none=True)
                # Several processes' gradients are averaged, and these are addends.
                scaled = loss if self.ranks.alone else loss * self.ranks.size
                scaled.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _loss(self, inputs: tuple[Tensor, ...], targets: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            outputs = self.model(*inputs)
        return self.task.loss(outputs.float(), targets)

    def _taken(self, rows: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Inputs and targets in the memory of the device, perhaps still on their way."""
        inputs, targets = self.examples.take(rows)
        if targets.device.type == self.device.type:
            return inputs, targets
        *inputs_there, there = (x.pin_memory().to(self.device, non_blocking=True) for x in (*inputs, targets))
        return tuple(inputs_there), there

    def _keep_if_best(self, epoch: Epoch) -> None:
        loss, last = epoch.validation_loss, self.batches * epoch.epoch - 1
        guard(loss, "validation loss", epoch.epoch, last, self.settings)
        value = (1 if self.task.higher_is_better else -1) * epoch.validation_metric
        # An undefined metric (one class among few rows) never wins; the loss stands in for it.
        value = -loss if math.isnan(value) else value
        # Metrics that count rows take few values: among equal ones the smaller loss decides.
        smaller = value == self.best_value and loss < self.history[self.best_epoch - 1].validation_loss
        if value > self.best_value or smaller or not self.best or self.stop_at is not None:
            self.best_value, self.best_epoch = value, epoch.epoch
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    @torch.no_grad()
    def answers(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Outputs ([members,] n, k) float32 in eval mode, and the targets ([members,] n) beside them."""
        self.network.eval()
        own = self.ranks.span(len(examples))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            parts = [
                in_halves(lambda rows: self.network(*examples.take(rows)[0]).float(), start, stop)
                for start in range(own.start, own.stop, EVALUATION_BATCH)
                for stop in (min(start + EVALUATION_BATCH, own.stop),)
            ]
        return self.ranks.joined(parts).to(self.device), examples.take(slice(None))[1]

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

    def _resume(self, folder: Path) -> None:
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
