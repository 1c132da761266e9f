"""Parts that read which n-grams a text holds: naive Bayes, a scaled linear map, a bag of embeddings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec

ROWS = 1024
"""Examples that are counted at once."""
SHARPNESS = torch.logspace(-1.5, 1.5, 121).tolist()
"""Factors of a score that are tried, a sixteenth apart."""


class NaiveBayes(nn.Module):
    """Multinomial naive Bayes on which sequences of words occur; no parameters, all in closed form.

    `prime` counts, and then scores each training row as if it had not been counted itself. From these
    scores it knows how large scores of new rows are, and how far they can be trusted: `sharpness` is the
    factor that makes probabilities of them with the least cross-entropy.

    Args:
        spec: `word_grams` ids are read, whatever is above them is passed over.
        alpha: Rows that are added to every count (Laplace's smoothing).

    Example:
        >>> NaiveBayes(InputSpec(outputs=2, word_grams=9))(torch.zeros(3, 5, dtype=torch.int32)).shape
        torch.Size([3, 2])
    """

    def __init__(self, spec: InputSpec, alpha: float = 1.0) -> None:
        super().__init__()
        self.classes, self.alpha = spec.outputs, alpha
        self.table: Tensor
        self.prior: Tensor
        self.spread: Tensor
        self.sharpness: Tensor
        self.register_buffer("table", torch.zeros(max(spec.word_grams, 1), spec.outputs))
        self.register_buffer("prior", torch.zeros(spec.outputs))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("sharpness", torch.ones(()))

    @torch.no_grad()
    def prime(self, ngrams: Tensor, targets: Tensor) -> None:
        """Counts the n-grams (n, K) of rows of classes (n,)."""
        targets = targets.cpu()
        counts = class_counts(ngrams, targets, len(self.table), self.classes)
        total = counts.sum(0) + self.alpha * (len(self.table) - 1)
        table = torch.log(counts + self.alpha) - torch.log(total)
        table[0] = 0.0
        rows = torch.bincount(targets, minlength=self.classes).double()
        prior = torch.log(rows.clamp(min=0.5) / rows.sum())
        self.table.copy_(centred(table))
        self.prior.copy_(centred(prior))
        scores = centred(self._left_out(ngrams, targets, counts, table, total) + prior)
        self.spread.copy_(size_of(scores))
        losses = [
            float(nn.functional.cross_entropy(f * scores / self.spread.cpu(), targets)) for f in SHARPNESS
        ]
        self.sharpness.fill_(SHARPNESS[losses.index(min(losses))])

    def _left_out(
        self, ngrams: Tensor, targets: Tensor, counts: Tensor, table: Tensor, total: Tensor
    ) -> Tensor:
        """(n, classes) log likelihoods, each row's own class without the row itself."""
        found = []
        for all_ids, own in chunks(ngrams, targets):
            ids = self._words(all_ids)
            scores = sum_rows(ids, table)
            times = counts[ids, own[:, None]]  # (rows, K): rows of the class that hold the n-gram
            less = torch.log((times - 1).clamp(min=0) + self.alpha) - torch.log(times + self.alpha)
            here = ids > 0
            length, all_of_class = here.sum(1), total[own]
            change = (less * here).sum(1) + length * (all_of_class.log() - (all_of_class - length).log())
            found.append(scores.scatter_add(1, own[:, None], change[:, None]))
        return torch.cat(found)

    def _words(self, ngrams: Tensor) -> Tensor:
        return trimmed(ngrams.masked_fill(ngrams >= len(self.table), 0))

    def forward(self, ngrams: Tensor) -> Tensor:
        """(batch, K) -> (batch, classes), log likelihoods around their mean, of about unit size."""
        return (sum_rows(self._words(ngrams), self.table) + self.prior) / self.spread


class ScaledLinear(nn.Module):
    """A linear map of the n-grams that occur: words by their rarity, characters by what they tell.

    A sequence of words weighs the logarithm of its inverse frequency. A sequence of characters weighs the
    size of its naive Bayes log ratio (Wang & Manning, 2012), the root mean square over classes; for a
    number to predict, its rarity too. The words of a row, and its characters, have a length of one
    together, so short and long texts count alike.

    Args:
        spec: `buckets` n-grams are read, of which the first `word_grams` are sequences of words.
        alpha: Rows that are added to every count before the ratio is taken.
    """

    def __init__(self, spec: InputSpec, alpha: float = 1.0) -> None:
        super().__init__()
        self.words, self.outputs, self.alpha = spec.word_grams, spec.outputs, alpha
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(spec.buckets))
        self.weight = nn.Parameter(torch.zeros(spec.buckets, spec.outputs))
        self.bias = nn.Parameter(torch.zeros(spec.outputs))

    @torch.no_grad()
    def prime(self, ngrams: Tensor, targets: Tensor) -> None:
        """Sets the scales from n-grams (n, K) and classes, or numbers, (n,)."""
        targets, classes = targets.cpu(), self.outputs
        labels = targets if classes > 1 else torch.zeros(len(targets), dtype=torch.int64)
        counts = class_counts(ngrams, labels, len(self.scale), classes)
        scale = torch.log((1 + len(targets)) / (1 + counts.sum(1))) + 1
        if classes > 1:
            smooth = counts[self.words :] + self.alpha
            ratio = centred(smooth.log() - smooth.sum(0).log())
            scale[self.words :] = ratio.square().mean(1).sqrt()
            shares = torch.bincount(labels, minlength=classes).clamp(min=1) / len(labels)
            self.bias.copy_(centred(shares.log()))
        scale[0] = 0.0
        self.scale.copy_(scale)

    def forward(self, ngrams: Tensor) -> Tensor:
        """(batch, K) -> (batch, outputs)."""
        ids = trimmed(ngrams)
        values = self.scale[ids]
        is_word = ids < self.words
        lengths = [nn.functional.normalize(values * part, dim=1) for part in (is_word, ~is_word)]
        return sum_rows(ids, self.weight, lengths[0] + lengths[1]) + self.bias


class Bag(nn.Module):
    """Embeddings of the n-grams of a text, their mean for each member: (batch, K) -> (members, batch, width).

    Args:
        members: Networks side by side.
        spec: `buckets` n-grams are read.
        width: Of a member's embedding.
    """

    def __init__(self, members: int, spec: InputSpec, width: int) -> None:
        super().__init__()
        self.members, self.width = members, width
        self.table = nn.Parameter(torch.randn(spec.buckets, members * width) / math.sqrt(width))

    def forward(self, ngrams: Tensor) -> Tensor:
        """See the class."""
        ids = trimmed(ngrams)
        means = nn.functional.embedding_bag(ids, self.table, mode="mean", padding_idx=0)
        return means.view(len(ids), self.members, self.width).transpose(0, 1)


def trimmed(ids: Tensor) -> Tensor:
    """(batch, K) ids without the columns at the right that are padding in every row."""
    return ids[:, : max(1, int(ids.amax(0).count_nonzero()))]


def sum_rows(ids: Tensor, table: Tensor, weights: Tensor | None = None) -> Tensor:
    """(batch, K) ids, (ids, width) table, weights (batch, K) or none -> (batch, width); id 0 adds nothing."""
    return nn.functional.embedding_bag(ids, table, mode="sum", per_sample_weights=weights, padding_idx=0)


def chunks(ngrams: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """N-grams (n, K) and targets (n,) on the CPU, some rows at once, ids int64."""
    for start in range(0, len(targets), ROWS):
        yield trimmed(ngrams[start : start + ROWS]).cpu().long(), targets[start : start + ROWS]


def class_counts(ngrams: Tensor, labels: Tensor, size: int, classes: int) -> Tensor:
    """(size, classes) float64: rows of the class that hold the n-gram; ids from `size` on are passed over."""
    counts = torch.zeros(size * classes, dtype=torch.int64)
    for ids, own in chunks(ngrams, labels):
        held = trimmed(ids.masked_fill(ids >= size, 0)) * classes + own[:, None]
        counts += torch.bincount(held.flatten(), minlength=size * classes)
    table = counts.view(size, classes).double()
    table[0] = 0.0  # padding, and what was passed over
    return table


def centred(scores: Tensor) -> Tensor:
    """Scores (..., classes) around their mean, which a softmax does not see."""
    return scores - scores.mean(-1, keepdim=True)


def size_of(scores: Tensor) -> Tensor:
    """Root mean square of scores, a scalar that is never 0."""
    return scores.square().mean().sqrt().clamp(min=1e-6)
