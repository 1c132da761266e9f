"""Convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec

SMALLEST = 8
"""Least height and width, in pixels, that three layers and two halvings leave something of."""


class Cnn(nn.Module):
    """Three 3x3 convolutions over 2x2 pixel blocks, the largest response of each filter, a dense layer.

    Folding 2x2 pixels into channels first does the work of an early pooling layer at a quarter of the
    cost; batch normalisation after each convolution allows learning rates of 0.01.

    Args:
        spec: `image` is (channels, height, width); an odd side is padded with one row of zeros.
        widths: Filters of the three convolutions.

    Example:
        >>> Cnn(InputSpec(outputs=10, image=(1, 28, 28)))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, spec: InputSpec, *, widths: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        if spec.image is None:
            raise ValueError("network.kind 'cnn' needs images; use 'mlp' for tables")
        channels, height, width = spec.image
        if min(height, width) < SMALLEST:
            raise ValueError(f"network.kind 'cnn' needs at least {SMALLEST}x{SMALLEST} pixels")
        if len(widths) != 3:
            raise ValueError(f"network.widths: got {len(widths)} numbers; expected 3")
        first, second, third = widths
        self.features = nn.Sequential(
            nn.ZeroPad2d((0, width % 2, 0, height % 2)),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, first, 3, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, padding=1, bias=False),
            nn.BatchNorm2d(third),
            nn.ReLU(),
        )
        self.output = nn.Linear(third, spec.outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs)."""
        found: Tensor = self.features(images)
        answer: Tensor = self.output(torch.amax(found, dim=(2, 3)))
        return answer
