"""What a network is told about its inputs, and the first layer of every image network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class InputSpec:
    """Sizes of what goes in and out.

    Attributes:
        outputs: Classes, or 1 for regression.
        numbers: p, numeric inputs of a table.
        levels: Number of codes of each category of a table.
        image: (channels, height, width), or None.
        vocabulary: Number of word ids of a text, padding and unknown included; 0 where there is no text.
        buckets: Number of n-gram ids of a text, padding included.
        word_grams: Those of them, padding included, that stand for sequences of words; they come first.
        architecture: config.json of a pretrained text encoder, or None.
    """

    outputs: int
    numbers: int = 0
    levels: tuple[int, ...] = ()
    image: tuple[int, int, int] | None = None
    vocabulary: int = 0
    buckets: int = 0
    word_grams: int = 0
    architecture: Mapping[str, Any] | None = None


class Standardise(nn.Module):
    """Stored pixels to a network's input: uint8 (batch, h, w[, c]) -> float32 (batch, c, h, w).

    Images stay uint8 in memory, a quarter of float32, and each batch is standardised by the mean and
    spread of the train pixels. Channels last in memory is 1.4 to 1.8 times faster on CPU.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", 1.0 / torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        wide = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2)
        floats = (wide.float() - self.mean) * self.scale
        return floats.contiguous(memory_format=torch.channels_last)
