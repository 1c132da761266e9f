"""Boosted trees as tensors: grown once, before the first epoch, and then a part of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec

DEPTH = 6
RATE, GROWTH, FASTEST = 0.05, 0.35, 0.2
"""What a tree adds is a part of what would be best for it alone: that of up to 2,000 rows, the power of their
number by which it grows, and the largest. Many rows hold more than so many small changes could learn."""
BINS = 256
"""Values of a feature that a tree can tell apart."""
CHUNK = 256
"""Rows that are answered at once: what each tree says of them stays in the cache."""
COLUMNS, FEWEST = 0.3, 9
"""Share of the features that a tree may ask for, and their least number."""
ROWS, MOST = 0.8, 50_000
"""Share of the rows, and most rows, that a tree is grown on."""
SHRUNK = 3.0
"""Rows with no error that are added to each leaf."""
PRIOR = 10.0
"""Rows of the mean target that are added to each level of a category."""


class Trees(nn.Module):
    """Gradient boosting of symmetric trees, one forest a member: -> (members, batch, outputs).

    All nodes of a level ask the same question, so a tree is six features, six thresholds and 64 answers
    (Prokhorenkova et al., "CatBoost", 2018), and its answer is looked up, not walked to. A category is read
    as the mean target of its level. Forests hold no parameters: they are grown by `grow` alone.

    Example:
        >>> trees = Trees(1, InputSpec(outputs=1, numbers=1), count=100)
        >>> x = torch.arange(64.0).view(-1, 1)
        >>> trees.grow((x,), (x[:, 0] > 31).float())
        >>> trees(x)[0, [0, 63], 0].round().abs()
        tensor([0., 1.])
    """

    def __init__(self, members: int, spec: InputSpec, count: int) -> None:
        super().__init__()
        self.members, self.outputs = members, spec.outputs
        goals = _goals(spec.outputs)
        starts = [0, *spec.levels[:-1]] if spec.levels else []
        self.starts: Tensor
        self.means: Tensor
        self.feature: Tensor
        self.threshold: Tensor
        self.value: Tensor
        self.base: Tensor
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64).cumsum(0), persistent=False)
        self.register_buffer("means", torch.zeros(members, sum(spec.levels), goals))
        self.register_buffer("feature", torch.zeros(members, count, DEPTH, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(members, count, DEPTH))
        self.register_buffer("value", torch.zeros(members, count, 2**DEPTH, spec.outputs))
        self.register_buffer("base", torch.zeros(members, spec.outputs))

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Numbers (batch, p) and codes (batch, q), or (members, batch, p) and (members, batch, q)."""
        found = []
        for member in range(self.members):
            read = self._read(member, *_of(member, numbers, codes)).T.contiguous()
            found.append(torch.cat([self._answer(member, part) for part in torch.split(read, CHUNK, dim=1)]))
        return torch.stack(found)

    def _answer(self, member: int, read: Tensor) -> Tensor:
        """Features (features, batch) -> (batch, outputs)."""
        feature, threshold = self.feature[member], self.threshold[member]
        leaf = torch.zeros(len(feature), read.shape[1], dtype=torch.uint8, device=read.device)
        for level in range(DEPTH):
            leaf = leaf * 2 + (read[feature[:, level]] > threshold[:, level : level + 1])
        at, value = leaf.long(), self.value[member]
        added = [value[:, :, output].gather(1, at).sum(0) for output in range(self.outputs)]
        return self.base[member] + torch.stack(added, dim=1)

    @torch.no_grad()
    def grow(self, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
        """Grows all forests on all examples, or each on its member's; the same examples give the same ones.

        On the CPU whatever the device: sums in a GPU's order differ from one time to the next.
        """
        place, drawn = self.value.device, torch.Generator().manual_seed(0)
        self.cpu()
        for member in range(self.members):
            numbers, codes = _of(member, *(x.cpu() for x in inputs), *([None] if len(inputs) == 1 else []))
            own = (targets if targets.dim() == 1 else targets[member]).cpu()
            goal = own.view(-1, 1) if own.is_floating_point() else nn.functional.one_hot(own, self.outputs)
            goal = goal.float()
            if codes is not None:
                self._count(member, codes, goal)
            self._boost(member, _Binned.of(self._read(member, numbers, codes)), goal, drawn)
        self.to(place)

    def _read(self, member: int, numbers: Tensor, codes: Tensor | None) -> Tensor:
        """Numbers, and the means of the levels: (batch, features)."""
        if codes is None or not len(self.starts):
            return numbers
        return torch.cat([numbers, self.means[member][codes + self.starts].flatten(1)], dim=1)

    def _count(self, member: int, codes: Tensor, goal: Tensor) -> None:
        """The mean target of each level, drawn towards that of all rows where a level has few."""
        goal = goal[:, -self.means.shape[2] :]
        at, overall = (codes + self.starts).flatten(), goal.mean(0)
        sums = torch.zeros_like(self.means[member])
        sums.index_add_(0, at, goal.repeat_interleave(codes.shape[1], dim=0))
        rows = torch.bincount(at, minlength=len(sums)).unsqueeze(1)
        self.means[member] = (sums + PRIOR * overall) / (rows + PRIOR)

    def _boost(self, member: int, read: _Binned, goal: Tensor, drawn: torch.Generator) -> None:
        """Tree after tree on what the ones before leave over."""
        share = goal.mean(0)
        known = share if self.outputs == 1 else share.clamp_min(1e-6).log()
        self.base[member] = known
        score, count = known.repeat(len(goal), 1), len(goal)
        some = max(1, min(round(ROWS * count), MOST))
        wide = max(FEWEST, round(COLUMNS * read.bins.shape[1]))
        rate = min(FASTEST, RATE * max(1.0, count / 2_000) ** GROWTH)
        for tree in range(self.feature.shape[1]):
            rows = torch.randperm(count, generator=drawn)[:some]
            columns = torch.randperm(read.bins.shape[1], generator=drawn)[:wide]
            chance = score.softmax(1) if self.outputs > 1 else score
            left, steep = goal - chance, chance * (1 - chance) if self.outputs > 1 else torch.ones_like(score)
            chosen = _questions(read.bins[rows][:, columns], left[rows], steep[rows])
            features = columns[[column for column, _ in chosen]]
            cuts = torch.tensor([cut for _, cut in chosen])
            leaf = torch.zeros(count, dtype=torch.int64)
            for column, cut in zip(features.tolist(), cuts.tolist(), strict=True):
                leaf = leaf * 2 + (read.bins[:, column] > cut)
            value = rate * _sums(leaf[rows], left[rows]) / (_sums(leaf[rows], steep[rows]) + SHRUNK)
            score += value[leaf]
            self.feature[member, tree] = features.int()
            self.threshold[member, tree] = read.edges[features, cuts]
            self.value[member, tree] = value


@dataclass(frozen=True)
class _Binned:
    """Features by the bins that their values fall into.

    Attributes:
        bins: (n, features) uint8.
        edges: (features, BINS) upper edges; a feature with fewer values has infinite ones at its end.
    """

    bins: Tensor
    edges: Tensor

    @staticmethod
    def of(read: Tensor) -> _Binned:
        """Bins that hold about as many rows each, or one value each."""
        edges = torch.full((read.shape[1], BINS), torch.inf)
        bins = torch.empty(read.shape, dtype=torch.uint8)
        for column in range(read.shape[1]):
            ordered = read[:, column].sort().values
            values: Tensor = ordered.unique_consecutive()  # type: ignore[no-untyped-call]
            if len(values) > BINS:
                at = torch.linspace(0, len(ordered) - 1, BINS + 1)[1:-1].round().long()
                values = ordered[at].unique_consecutive()  # type: ignore[no-untyped-call]
            middles = (values[:-1] + values[1:]) / 2
            edges[column, : len(middles)] = middles
            bins[:, column] = torch.bucketize(read[:, column].contiguous(), edges[column, : len(middles)])
        return _Binned(bins, edges)


def _questions(bins: Tensor, left: Tensor, steep: Tensor) -> list[tuple[int, int]]:
    """The feature, and the last bin that answers no, of each level: those that leave the smallest error."""
    rows, wide = bins.shape
    place = torch.arange(wide) * BINS + bins  # (rows, features)
    leaf = torch.zeros(rows, 1, dtype=torch.int64)
    chosen = []
    for level in range(DEPTH):
        at, shape = (leaf * (wide * BINS) + place).flatten(), (2**level, wide, BINS)
        gain = torch.zeros(wide, BINS)
        for output in range(left.shape[1]):
            sums, rest = (_histogram(at, x[:, output], wide, shape) for x in (left, steep))
            gain += _score(sums, rest).sum(0)
        gain[:, -1] = -torch.inf  # where all answer no, nothing is asked
        column, cut = divmod(int(gain.argmax()), BINS)
        chosen.append((column, cut))
        leaf = leaf * 2 + (bins[:, column : column + 1] > cut)
    return chosen


def _histogram(at: Tensor, values: Tensor, wide: int, shape: tuple[int, int, int]) -> Tensor:
    """Sums by leaf, feature and bin, cumulated over the bins."""
    size = shape[0] * shape[1] * shape[2]
    weights = values.repeat_interleave(wide)
    return torch.bincount(at, weights, minlength=size).view(shape).cumsum(2).float()


def _score(sums: Tensor, rest: Tensor) -> Tensor:
    """How much of the squared error goes where a leaf is cut after each bin."""
    all_sums, all_rest = sums[..., -1:], rest[..., -1:]
    other = all_sums - sums
    return sums.square() / (rest + SHRUNK) + other.square() / (all_rest - rest + SHRUNK)


def _sums(leaf: Tensor, values: Tensor) -> Tensor:
    """(leaves, outputs)."""
    return torch.zeros(2**DEPTH, values.shape[1]).index_add_(0, leaf, values)


def _goals(outputs: int) -> int:
    """Columns that say how a category's levels differ: of two classes one suffices."""
    return outputs if outputs > 2 else 1


def _of(member: int, numbers: Tensor, codes: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A member's rows."""
    if numbers.dim() == 2:
        return numbers, codes
    return numbers[member], None if codes is None else codes[member]
