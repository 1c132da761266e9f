"""Feed-forward network over numbers and embedded categories, as one or several members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist

import torch
from torch import Tensor, nn

from tasks.networks.ngrams import Bag
from tasks.networks.spec import InputSpec


class Mlp(nn.Module):
    """Dense layers with ReLU; `members` independent networks are computed as one batch of matrices.

    Numbers enter plain, or through piecewise-linear bins; categories through embeddings. Images are
    flattened. Texts enter as the mean of their n-grams' embeddings. Members share nothing but the data and
    its order.

    Args:
        spec: What goes in and out.
        hidden: Width of each hidden layer.
        dropout: Share of hidden values that training zeroes.
        members: Networks trained side by side; in eval mode their mean is the answer.
        bins: Piecewise-linear bins for each number, 0 for none.
        bin_width: Outputs for each number's bins.
        embedding: Width of the embedding of a category, or of an n-gram.

    Example:
        >>> net = Mlp(InputSpec(outputs=1, numbers=3), hidden=(4, 2), dropout=0.0)
        >>> net(torch.zeros(5, 3)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        hidden: Sequence[int] = (256, 256),
        dropout: float = 0.2,
        members: int = 1,
        bins: int = 0,
        bin_width: int = 12,
        embedding: int = 8,
    ) -> None:
        super().__init__()
        numbers = spec.numbers if spec.image is None else math.prod(spec.image)
        self.members = members
        self.bins = Bins(members, numbers, bins, bin_width) if bins and numbers else None
        self.embed = Embeddings(members, spec.levels, embedding) if spec.levels else None
        self.bag = Bag(members, spec, embedding) if spec.buckets else None
        width = (
            embedding
            if self.bag
            else numbers * (bin_width if self.bins else 1)
            + len(spec.levels) * (embedding if self.embed else 0)
        )
        sizes = [width, *hidden]
        self.hidden = nn.ModuleList(MemberLinear(members, a, b) for a, b in pairwise(sizes))
        self.output = MemberLinear(members, sizes[-1], spec.outputs)
        self.dropout = dropout

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Numbers (batch, p) and codes (batch, q), or images, or words and n-grams -> (batch, outputs).

        In training mode with several members: (members, batch, outputs).
        """
        x = self.bag(codes) if self.bag else self._table(numbers.flatten(1), codes)
        for layer in self.hidden:
            x = nn.functional.dropout(torch.relu(layer(x)), self.dropout, self.training)
        answers: Tensor = self.output(x)
        return answers if self.training and self.members > 1 else answers.mean(dim=0)

    def _table(self, numbers: Tensor, codes: Tensor | None) -> Tensor:
        x: Tensor = self.bins(numbers) if self.bins else numbers.expand(self.members, *numbers.shape)
        if self.embed is None or codes is None:
            return x
        return torch.cat([x, self.embed(codes)], dim=2)


class MemberLinear(nn.Module):
    """One dense layer for each member: (members, batch, inputs) -> (members, batch, outputs).

    Initialised as torch's own Linear: uniform within 1 / sqrt(inputs).
    """

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(inputs, 1))
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.baddbmm(self.bias, x, self.weight)


class Embeddings(nn.Module):
    """All categories in one table: codes (batch, q) -> (members, batch, q * width).

    Code 0, a level that training never saw, starts at zero and stays there.
    """

    def __init__(self, members: int, levels: Sequence[int], width: int) -> None:
        super().__init__()
        self.members, self.width = members, width
        self.table = nn.Parameter(torch.randn(sum(levels), members * width) * 0.3)
        starts = torch.tensor([0, *levels[:-1]], dtype=torch.int64).cumsum(0)
        with torch.no_grad():
            self.table[starts] = 0.0
        self.starts: Tensor
        self.register_buffer("starts", starts, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """See the class."""
        rows, columns = codes.shape
        found = nn.functional.embedding(codes + self.starts, self.table)
        wide = found.view(rows, columns, self.members, self.width)
        return wide.permute(2, 0, 1, 3).reshape(self.members, rows, columns * self.width)


class Bins(nn.Module):
    """Piecewise-linear embedding of numbers: (batch, p) -> (members, batch, p * width).

    Each number becomes its linear map plus a learned mix of how far it has come through each bin
    (Gorishniy et al., "On Embeddings for Numerical Features", 2022: the variant that starts as the
    linear map, without activation). Numbers arrive as normal scores, so the edges of equally full
    bins are the quantiles of the normal distribution and need not be learned from data.
    """

    def __init__(self, members: int, numbers: int, bins: int, width: int) -> None:
        super().__init__()
        normal = NormalDist()
        inner = [normal.inv_cdf(i / bins) for i in range(1, bins)]
        edges = torch.tensor([-3.5, *inner, 3.5])
        self.low: Tensor
        self.span: Tensor
        self.register_buffer("low", edges[:-1].clone(), persistent=False)
        self.register_buffer("span", edges.diff(), persistent=False)
        self.slope = nn.Parameter(torch.empty(members, 1, numbers, width).uniform_(-1, 1))
        self.shift = nn.Parameter(torch.empty(members, 1, numbers, width).uniform_(-1, 1))
        self.mix = nn.Parameter(torch.zeros(numbers, bins, members * width))

    def forward(self, numbers: Tensor) -> Tensor:
        """See the class."""
        rows, columns = numbers.shape
        members, width = self.slope.shape[0], self.slope.shape[3]
        filled = ((numbers.unsqueeze(2) - self.low) / self.span).clamp(0.0, 1.0)  # (batch, p, bins)
        mixed = torch.bmm(filled.transpose(0, 1), self.mix).view(columns, rows, members, width)
        linear = numbers.unsqueeze(2) * self.slope + self.shift  # (members, batch, p, width)
        return (linear + mixed.permute(2, 1, 0, 3)).reshape(members, rows, columns * width)
