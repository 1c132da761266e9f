"""The loss that a network's weights are changed by."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.learning.targets import Labels, Scale
from tasks.learning.training import Loss


def class_weights(target: Labels | Scale) -> Tensor | None:
    """Weight of each class in the loss (k,), or None where all count the same."""
    weights = target.weights if isinstance(target, Labels) else None
    return None if weights is None else torch.tensor(weights, dtype=torch.float32)


def make_loss(target: Labels | Scale) -> Loss:
    """Cross-entropy over classes, weighted as the labels say, or squared error of the standardised target.

    The loss is the mean over members.
    """
    weights = class_weights(target)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if isinstance(target, Scale):
            return nn.functional.mse_loss(outputs.squeeze(-1), targets.expand(outputs.shape[:-1]))
        many = targets.expand(outputs.shape[:-1]).flatten()
        weight = None if weights is None else weights.to(outputs.device)
        return nn.functional.cross_entropy(outputs.flatten(0, -2), many, weight)

    return loss
