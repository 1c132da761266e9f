"""The single weighted unit: inputs times weights, summed, compared with a threshold."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from tasks.networks.ngrams import sum_rows, trimmed
from tasks.networks.spec import InputSpec


class Neuron(nn.Module):
    """One weighted sum an output: a logistic or linear regression, trained like any network.

    The bias is the threshold with its sign turned: the unit fires where inputs @ weights + bias > 0.
    Categories enter as one weight a level; images as their flattened pixels; texts as their n-grams.

    Example:
        >>> unit = Neuron(InputSpec(outputs=1, numbers=3))
        >>> unit(torch.zeros(2, 3), torch.zeros(2, 0, dtype=torch.int64)).shape
        torch.Size([2, 1])
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        inputs = spec.numbers if spec.image is None else spec.image[0] * spec.image[1] * spec.image[2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # without numbers there are no weights to draw
            self.sum = nn.Linear(inputs, spec.outputs)
        self.levels = nn.Embedding(max(sum(spec.levels), 1), spec.outputs)
        nn.init.zeros_(self.levels.weight)
        starts = torch.tensor([0, *spec.levels[:-1]], dtype=torch.int64).cumsum(0)[: len(spec.levels)]
        self.starts: Tensor
        self.register_buffer("starts", starts, persistent=False)
        self.grams = nn.Parameter(torch.zeros(spec.buckets, spec.outputs)) if spec.buckets else None

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Numbers (batch, p) and codes (batch, q), or pixels (batch, c, h, w), or words and n-grams.

        Returns:
            (batch, outputs)
        """
        if self.grams is not None and codes is not None:
            ids = trimmed(codes)
            count = (ids > 0).sum(1, keepdim=True).clamp(min=1)
            return sum_rows(ids, self.grams) / count.sqrt() + self.sum.bias
        total: Tensor = self.sum(numbers.flatten(1))
        if codes is None or codes.shape[1] == 0:
            return total
        weights: Tensor = self.levels(codes + self.starts)
        return total + weights.sum(dim=1)
