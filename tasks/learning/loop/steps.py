"""What the steps of an epoch leave behind, kept on the device until somebody looks.

Looking waits for the device. On a GPU that is done once an epoch; on the CPU it is free, and more often.
"""

from __future__ import annotations

import math
from itertools import zip_longest

import torch
from torch import Tensor

from tasks.config import Fit
from tasks.errors import TrainingDiverged
from tasks.learning.loop.ranks import Ranks

LOOK = 64
"""Steps after which the CPU looks whether losses are finite."""


class Steps:
    """Losses and norms of gradients of one epoch's steps.

    Args:
        epoch: Its number, from 1.
        before: Steps of the epochs before it.
        settings: The `fit:` section.
        ranks: Each process holds its addend of every loss.
    """

    def __init__(self, epoch: int, before: int, settings: Fit, ranks: Ranks) -> None:
        self._epoch, self._before, self._settings, self._ranks = epoch, before, settings, ranks
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._sizes: list[int] = []
        self._seen: list[float] = []

    def add(self, loss: Tensor, norm: Tensor | None, rows: int) -> None:
        """Notes one step: scalars that are still being computed, perhaps, and the batch's rows."""
        self._sizes.append(rows)
        self._losses.append(loss)
        if norm is not None:
            self._norms.append(norm)
        if loss.device.type == "cpu" and self._ranks.alone and len(self._losses) == LOOK:
            self.look()

    def look(self) -> None:
        """Fetches what was noted.

        Raises:
            TrainingDiverged: Something in it is not finite; the first such step is named.
        """
        losses = self._ranks.summed(torch.stack(self._losses)).tolist() if self._losses else []
        norms = torch.stack(self._norms).tolist() if self._norms else []
        for loss, norm in zip_longest(losses, norms, fillvalue=0.0):
            step = self._before + len(self._seen)
            guard(loss, "loss", self._epoch, step, self._settings)
            guard(norm, "norm of the gradient", self._epoch, step, self._settings)
            self._seen.append(loss)
        self._losses.clear()
        self._norms.clear()

    def mean(self) -> float:
        """The mean loss of the rows so far."""
        self.look()
        return sum(loss * rows for loss, rows in zip(self._seen, self._sizes, strict=True)) / sum(self._sizes)


def guard(value: float, what: str, epoch: int, step: int, settings: Fit) -> None:
    """Raises TrainingDiverged unless `value` is finite; `step` counts from 0."""
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"the {what} became {value} in epoch {epoch}, step {step + 1}",
            fix=f"lower fit.learning_rate (now {settings.learning_rate:g}) or set fit.clip; "
            "nothing was registered",
        )
