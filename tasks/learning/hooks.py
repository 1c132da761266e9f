"""What a network may ask of the training loop, and what happens where it does not ask.

All are optional methods of the network:

- `prime(inputs, targets)`: once, before the first epoch, with the inputs and targets of all training
  examples. It may set buffers and weights in closed form; they are stored with the model.
- `lengths(inputs)`: how long each example is, (n,). Batches are then put together from examples of like
  length, so that little of what is computed is padding.
- `optimizer(learning_rate, weight_decay)`: an optimizer of its own instead of AdamW. A parameter group's
  key `scale` multiplies the scheduled learning rate.
- In training mode a network may answer (members, batch, outputs); each member has a loss of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.config import Fit

BLOCK = 16
"""Batches whose examples are sorted by length together: enough for little padding, and still well mixed."""


def prime(network: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
    """Lets the network set what it takes from the training examples as a whole."""
    if hasattr(network, "prime"):
        with torch.no_grad():
            network.prime(inputs, targets)


def lengths(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """(n,) length of each example on the CPU, or None where batches need no sorting."""
    if not hasattr(network, "lengths"):
        return None
    found: Tensor = network.lengths(inputs)
    return found.cpu()


def batches(count: int, size: int, long: Tensor | None) -> Sequence[Tensor]:
    """Positions of every example once, in random batches drawn from torch's own generator.

    Args:
        count: Number of examples.
        size: Examples of a batch; the last may have fewer.
        long: See `lengths`.
    """
    order = torch.randperm(count)
    if long is None:
        return torch.split(order, size)
    blocks = [block[torch.argsort(long[block], stable=True)] for block in torch.split(order, BLOCK * size)]
    sorted_batches = [batch for block in blocks for batch in torch.split(block, size)]
    return [sorted_batches[i] for i in torch.randperm(len(sorted_batches)).tolist()]


def optimizer(network: nn.Module, settings: Fit) -> torch.optim.Optimizer:
    """The network's own, or AdamW; only matrices decay: shrinking biases and norms regularises nothing."""
    if hasattr(network, "optimizer"):
        own: torch.optim.Optimizer = network.optimizer(settings.learning_rate, settings.weight_decay)
        return own
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        adds = parameter.dim() <= 1 or name.endswith(("bias", "shift"))
        (others if adds else matrices).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
