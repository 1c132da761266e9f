"""Parts that read a table: piecewise-linear bins, embeddings of categories, a linear model; and dropout.

All have members. Where every member reads the same rows, numbers are (batch, p) and codes (batch, q); where
each has rows of its own, (members, batch, p) and (members, batch, q).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec


def dropped(x: Tensor, share: float) -> Tensor:
    """X with a share of its values set to zero, to the nearest 256th, and the rest scaled up by as much.

    A random byte for each value; torch's own draws a float for each, which took 12 to 18 % of a training
    step on a CPU, and this takes a quarter of that.
    """
    if x.device.type != "cpu":
        return nn.functional.dropout(x, share)
    least = min(255, round(256 * share))
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= least
    return x * kept.to(x.dtype).mul_(256 / (256 - least))


class Linear(nn.Module):
    """A linear model of plain numbers and of categories, one weight a level: -> (members, batch, outputs)."""

    def __init__(self, members: int, spec: InputSpec) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, spec.numbers, spec.outputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, spec.outputs))
        self.levels = Embeddings(members, spec.levels, spec.outputs) if spec.levels else None
        if self.levels is not None:
            nn.init.zeros_(self.levels.table)

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Numbers (batch, p) and codes (batch, q)."""
        total: Tensor = numbers @ self.weight + self.bias
        if self.levels is None or codes is None:
            return total
        apart: Tensor = self.levels(codes)
        return total + apart.view(*total.shape[:2], codes.shape[-1], -1).sum(2)

    def solve(self, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
        """Ridge or logistic regression by L-BFGS: a squared weight costs as much as a row's squared error."""
        steps = torch.optim.LBFGS(self.parameters(), max_iter=100, line_search_fn="strong_wolfe")
        weights = [parameter for name, parameter in self.named_parameters() if name != "bias"]

        def closure() -> Tensor:
            steps.zero_grad()
            outputs = self(*inputs)
            members, rows = outputs.shape[:2]
            many = targets.expand(members, rows)
            if targets.is_floating_point():
                loss = (outputs.squeeze(2) - many).square().sum() / 2
            else:
                loss = nn.functional.cross_entropy(outputs.flatten(0, 1), many.flatten(), reduction="sum")
            penalty = torch.stack([weight.square().sum() for weight in weights]).sum() / 2
            mean: Tensor = (loss + penalty) / rows
            mean.backward()  # type: ignore[no-untyped-call]
            return mean

        with torch.enable_grad():
            steps.step(closure)  # type: ignore[no-untyped-call]


class Embeddings(nn.Module):
    """All categories in one table: codes (batch, q), or (members, batch, q) -> (members, batch, q * width).

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
        rows, columns = codes.shape[-2:]
        if codes.dim() == 3:
            # The same table as one of all members' levels, of which each looks up its own.
            apart = self.table.view(-1, self.members, self.width).flatten(0, 1)
            own = torch.arange(self.members, device=codes.device).view(-1, 1, 1)
            looked = nn.functional.embedding((codes + self.starts) * self.members + own, apart)
            return looked.flatten(2)
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
        self.start: Tensor
        self.rate: Tensor
        self.register_buffer("start", -edges[:-1] / edges.diff(), persistent=False)
        self.register_buffer("rate", 1 / edges.diff(), persistent=False)
        self.slope = nn.Parameter(torch.empty(members, 1, numbers, width).uniform_(-1, 1))
        self.shift = nn.Parameter(torch.empty(members, 1, numbers, width).uniform_(-1, 1))
        self.mix = nn.Parameter(torch.zeros(numbers, bins, members * width))

    def forward(self, numbers: Tensor) -> Tensor:
        """See the class."""
        rows, columns = numbers.shape[-2:]
        members, width = self.slope.shape[0], self.slope.shape[3]
        filled = torch.addcmul(self.start, numbers.unsqueeze(-1), self.rate).clamp_(
            0.0, 1.0
        )  # ([members,] batch, p, bins)
        linear = numbers.unsqueeze(-1) * self.slope + self.shift  # (members, batch, p, width)
        if numbers.dim() == 3:
            mix = self.mix.view(columns, -1, members, width).permute(2, 0, 1, 3)  # (members, p, bins, width)
            mixed = (filled.transpose(1, 2) @ mix).transpose(1, 2)
        else:
            together = torch.bmm(filled.transpose(0, 1), self.mix).view(columns, rows, members, width)
            mixed = together.permute(2, 1, 0, 3)
        return (linear + mixed).reshape(members, rows, columns * width)
