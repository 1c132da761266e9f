"""Random changes to training images, drawn from torch's own generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tasks.config import Augment

Inputs = tuple[Tensor, ...]


def changes(settings: Augment) -> Callable[[Inputs], Inputs]:
    """What `fit.augment` does to the inputs of a training batch, of which the first are pixels."""

    def changed(inputs: Inputs) -> Inputs:
        pixels = inputs[0]
        pixels = shift_images(pixels, settings.shift) if settings.shift else pixels
        pixels = mirror_images(pixels) if settings.mirror else pixels
        return (pixels, *inputs[1:])

    return changed


def shift_images(pixels: Tensor, most: int) -> Tensor:
    """Each image moved by its own random offset, zeros coming in at the edge.

    Args:
        pixels: (batch, height, width) or (batch, height, width, channels), any dtype.
        most: Largest shift in pixels, either way, in either direction.

    Returns:
        The same shape. One gather for the whole batch: a view of all offsets is indexed.
    """
    rows, height, width = pixels.shape[:3]
    padded = nn.functional.pad(pixels, (0, 0) * (pixels.dim() - 3) + (most, most, most, most))
    windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # (batch, 2m+1, 2m+1, [c,] h, w)
    down, right = torch.randint(0, 2 * most + 1, (2, rows), device=pixels.device)
    moved = windows[torch.arange(rows, device=pixels.device), down, right]
    return moved.permute(0, 2, 3, 1) if pixels.dim() == 4 else moved


def mirror_images(pixels: Tensor) -> Tensor:
    """About half of the images, each by its own coin, with left and right exchanged.

    Args:
        pixels: (batch, height, width) or (batch, height, width, channels), any dtype.

    Returns:
        The same shape.
    """
    coins = torch.rand(len(pixels), device=pixels.device) < 0.5
    return torch.where(coins.view(-1, *(1,) * (pixels.dim() - 1)), pixels.flip(2), pixels)
