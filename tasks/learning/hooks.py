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

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tasks.config import Fit
from tasks.networks.optimizers import adamw

BLOCK = 16
"""Batches whose examples are sorted by length together: enough for little padding, and still well mixed."""


def prime(network: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
    """Lets the network set what it takes from the training examples as a whole."""
    asked: Callable[..., None] | None = getattr(network, "prime", None)
    if asked is not None:
        with torch.no_grad():
            asked(inputs, targets)


def lengths(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """(n,) length of each example on the CPU, or None where batches need no sorting."""
    asked: Callable[..., Tensor] | None = getattr(network, "lengths", None)
    return None if asked is None else asked(inputs).cpu()


def batches(
    count: int, size: int, long: Tensor | None, generator: torch.Generator | None = None
) -> Sequence[Tensor]:
    """Positions of every example once, in random batches drawn from torch's own generator.

    Args:
        count: Number of examples.
        size: Examples of a batch; the last may have fewer, or one more.
        long: See `lengths`.
        generator: Where the order comes from, if not from torch's own.
    """
    order = torch.randperm(count, generator=generator)
    if long is None:
        return _split(order, size)
    blocks = [block[torch.argsort(long[block], stable=True)] for block in _split(order, BLOCK * size)]
    sorted_batches = [batch for block in blocks for batch in _split(block, size)]
    return [sorted_batches[i] for i in torch.randperm(len(sorted_batches)).tolist()]


def _split(order: Tensor, size: int) -> Sequence[Tensor]:
    # Batch normalisation has nothing to normalise in an example that is left over alone.
    found = torch.split(order, size)
    return (*found[:-2], torch.cat(found[-2:])) if len(found) > 1 and len(found[-1]) == 1 < size else found


def optimizer(network: nn.Module, settings: Fit) -> torch.optim.Optimizer:
    """The network's own, or AdamW."""
    own: Callable[..., torch.optim.Optimizer] | None = getattr(network, "optimizer", None)
    if own is not None:
        return own(settings.learning_rate, settings.weight_decay)
    return adamw(network.named_parameters(), settings.learning_rate, settings.weight_decay)
