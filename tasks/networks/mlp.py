"""Feed-forward network over numbers and embedded categories, as one or several members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.networks.ngrams import Bag
from tasks.networks.spec import InputSpec
from tasks.networks.tables import Bins, Embeddings, Linear, dropped
from tasks.networks.trees import Trees


class Mlp(nn.Module):
    """Dense layers with ReLU; `members` independent networks are computed as one batch of matrices.

    Numbers enter plain, or through piecewise-linear bins; categories through embeddings. Images are
    flattened. Texts enter as the mean of their n-grams' embeddings. Members share nothing but the data,
    and where each is given rows of its own, not even these.

    Args:
        spec: What goes in and out.
        hidden: Width of each hidden layer.
        dropout: Share of hidden values that training zeroes.
        members: Networks trained side by side; in eval mode their mean is the answer.
        bins: Piecewise-linear bins for each number, 0 for none.
        bin_width: Outputs for each number's bins.
        embedding: Width of the embedding of a category, or of an n-gram.
        linear: Whether each member's answer is the sum of its dense layers and a linear model of a table's
            numbers and categories. With few rows most of what can be learned is linear, so training starts
            from that model's optimum, and the dense layers learn what it leaves over.
        trees: Boosted trees that each member grows on its rows of a table, before training and apart from it,
            0 for none. In eval mode a member's answer is the mean of its network's and its trees'.

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
        linear: bool = False,
        trees: int = 0,
    ) -> None:
        super().__init__()
        numbers = spec.numbers if spec.image is None else math.prod(spec.image)
        self.members = members
        self.reads_table = spec.image is None and not spec.buckets
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
        for name, asked in (("linear", linear), ("trees", trees)):
            if asked and not self.reads_table:
                raise ValueError(f"network.{name} is for tables")
        self.linear = Linear(members, spec) if linear else None
        self.trees = Trees(members, spec, trees) if trees else None

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Numbers (batch, p) and codes (batch, q), or images, or words and n-grams -> (batch, outputs).

        In training mode with several members: (members, batch, outputs). So it is in any mode where each
        member is given rows of its own, numbers (members, batch, p) and codes (members, batch, q).
        """
        own = numbers.dim() == 3
        x = self.bag(codes) if self.bag else self._table(numbers if own else numbers.flatten(1), codes)
        for layer in self.hidden:
            x = torch.relu(layer(x))
            x = dropped(x, self.dropout) if self.training and self.dropout else x
        answers: Tensor = self.output(x)
        if self.linear is not None:
            answers = answers + self.linear(numbers, codes)
        if self.trees is not None and not self.training:
            answers = (answers + self.trees(numbers, codes)) / 2
        return answers if own or (self.training and self.members > 1) else answers.mean(dim=0)

    def prime(self, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
        """Grows the trees. Sets the linear model to its optimum on all inputs, and what the dense layers add
        to zero.
        """
        if self.trees is not None:
            self.trees.grow(inputs, targets)
        if self.linear is not None:
            self.linear.solve(inputs, targets)
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def _table(self, numbers: Tensor, codes: Tensor | None) -> Tensor:
        x: Tensor = self.bins(numbers) if self.bins else numbers.expand(self.members, *numbers.shape[-2:])
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
