"""Optimizers of networks of which one part learns otherwise than another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Joined(torch.optim.Optimizer):
    """Several optimizers as one: their groups end to end, one state, one step.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> joined = Joined(torch.optim.SGD([net.weight], 0.1), torch.optim.AdamW([net.bias], 0.01))
        >>> [group["lr"] for group in joined.param_groups]
        [0.1, 0.01]
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        self._share()

    def _share(self) -> None:
        """Groups and state belong to the parts as well: what is set here, such as a rate, is set there."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of each; a closure is not called."""
        del closure
        for part in self.parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()


def adamw(parameters: Iterable[tuple[str, nn.Parameter]], rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW over named parameters; only matrices decay: shrinking biases and norms regularises nothing."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in parameters:
        adds = parameter.dim() <= 1 or name.endswith(("bias", "shift"))
        (others if adds else matrices).append(parameter)
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)
