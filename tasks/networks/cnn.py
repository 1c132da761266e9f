"""Convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec

SMALLEST = 20
"""Least height and width, in pixels, that three convolutions and two halvings leave something of."""

AT_ONCE = 512
"""Images that are answered at once: 4096 take twice the time, and a gigabyte where every pixel is read."""


class Cnn(nn.Module):
    """Three 3x3 convolutions, the largest response of each filter, a dense layer.

    Folding 2x2 pixels into channels first does the work of an early pooling layer at a quarter of the
    cost, which is all that digits need. Richer pictures are told apart better where every pixel is
    convolved, the responses are pooled after, and residual convolutions (He et al., 2016) follow; on so few
    pixels those are cheap. Convolutions without padding save a third. Batch
    normalisation after each allows learning rates of 0.01.

    Args:
        spec: `image` is (channels, height, width); an odd side is padded with one row of zeros, and a
            side below 20 pixels with as many as it lacks.
        widths: Filters of the three convolutions.
        fold: Whether 2x2 pixels are folded into channels first; otherwise the first convolution is
            pooled.
        residual: Further convolutions of the last width, whose responses are added to what they are given.
        mirror: Whether left and right mean nothing: a coin decides which of an image and its mirror image
            training shows, and the answer is the mean of those to both, which takes twice as long.

    Example:
        >>> Cnn(InputSpec(outputs=10, image=(1, 28, 28)))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        widths: Sequence[int] = (24, 48, 96),
        fold: bool = True,
        residual: int = 0,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        if spec.image is None:
            raise ValueError("network.kind 'cnn' needs images; use 'mlp' for tables and 'wide' for texts")
        if len(widths) != 3:
            raise ValueError(f"network.widths: got {len(widths)} numbers; expected 3")
        channels, height, width = spec.image
        self.padding = (0, _lacking(width), 0, _lacking(height))
        self.fold, self.mirror = fold, mirror
        first, second, third = widths
        self.conv1 = nn.Conv2d(4 * channels if fold else channels, first, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, 3, bias=False)
        self.norm3 = nn.BatchNorm2d(third)
        self.further = nn.ModuleList(_further(third) for _ in range(residual))
        self.output = nn.Linear(third, spec.outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs)."""
        if not self.training:
            return torch.cat([self._told(some) for some in torch.split(images, AT_ONCE)])
        if not self.mirror:
            return self._answer(images)
        coins = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        return self._answer(torch.where(coins, images.flip(3), images))

    def _told(self, images: Tensor) -> Tensor:
        answer = self._answer(images)
        return (answer + self._answer(images.flip(3))) / 2 if self.mirror else answer

    def _answer(self, images: Tensor) -> Tensor:
        x = nn.functional.pad(images, self.padding)
        x = nn.functional.pixel_unshuffle(x, 2) if self.fold else x
        # Unshuffling and padding forget channels-last, and convolutions then cost a third more.
        x = self.conv1(x.contiguous(memory_format=torch.channels_last))
        # Pooled before it is normalised: that is a quarter of the numbers.
        x = torch.relu(self.norm1(x if self.fold else nn.functional.max_pool2d(x, 2)))
        x = torch.relu(self.norm2(nn.functional.max_pool2d(self.conv2(x), 2)))
        x = torch.relu(self.norm3(self.conv3(x)))
        for further in self.further:
            x = x + torch.relu(further(x))
        strongest = nn.functional.adaptive_max_pool2d(x, 1).flatten(1)
        answer: Tensor = self.output(strongest)
        return answer


def _further(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))


def _lacking(side: int) -> int:
    return max(SMALLEST - side, side % 2)
