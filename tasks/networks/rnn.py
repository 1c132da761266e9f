"""Recurrent network over words in their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.networks.ngrams import trimmed
from tasks.networks.spec import InputSpec

UNKNOWN = 1
"""Id of a word that is not known; training hides words behind it."""


class Rnn(nn.Module):
    """Embedding, GRU or LSTM, largest and mean state over time, one linear layer.

    Rows are padded, and batches of like length made of them, since packing costs three times as much on
    a CPU. What reads from the end begins at a row's last word, not at the padding behind it, so a row has
    the same answer among longer ones as alone.

    Args:
        spec: `vocabulary` ids of words are read.
        cell: gru or lstm.
        embedding: Width of a word's embedding.
        hidden: Width of the state in each direction.
        layers: Cells on top of each other.
        both_ways: Whether a second cell reads each layer from the end.
        dropout: Share of embedded and of final values that training zeroes.
        word_dropout: Share of words that training hides.

    Example:
        >>> net = Rnn(InputSpec(outputs=2, vocabulary=9, buckets=5))
        >>> net(torch.ones(3, 4, dtype=torch.int32), torch.zeros(3, 1, dtype=torch.int32)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        cell: str = "gru",
        embedding: int = 64,
        hidden: int = 64,
        layers: int = 1,
        both_ways: bool = True,
        dropout: float = 0.5,
        word_dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not spec.vocabulary:
            raise ValueError("network.kind 'rnn' needs texts: name their column in columns.text")
        self.dropout, self.word_dropout = dropout, word_dropout
        self.embedding = nn.Embedding(spec.vocabulary, embedding, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.1)
        make = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        width = hidden * (1 + both_ways)
        inputs = [embedding] + [width] * (layers - 1)
        self.forwards = nn.ModuleList(make(size, hidden, batch_first=True) for size in inputs)
        self.backwards = nn.ModuleList(
            make(size, hidden, batch_first=True) for size in (inputs if both_ways else [])
        )
        self.output = nn.Linear(2 * width, spec.outputs)

    def lengths(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """(n,) number of words of each row."""
        return (inputs[0] > 0).sum(1)

    def forward(self, words: Tensor, ngrams: Tensor | None = None) -> Tensor:
        """Words (batch, L) -> (batch, outputs); n-grams are not read."""
        del ngrams
        words = trimmed(words)
        here = words > 0
        if self.training and self.word_dropout:
            hides = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(hides & here, UNKNOWN)
        x = nn.functional.dropout(self.embedding(words), self.dropout, self.training)
        x = self._read(x, here.sum(1))
        shown, count = here.unsqueeze(2), here.sum(1, keepdim=True)
        mean = (x * shown).sum(1) / count.clamp(min=1)
        # States lie between -1 and 1; a row without words has none.
        largest = x.masked_fill(~shown, -1.0).amax(1) * (count > 0)
        answer: Tensor = self.output(
            nn.functional.dropout(torch.cat([largest, mean], dim=1), self.dropout, self.training)
        )
        return answer

    def _read(self, x: Tensor, count: Tensor) -> Tensor:
        """(batch, L, embedding) -> states (batch, L, width) of the last layer."""
        place = torch.arange(x.shape[1], device=x.device)
        mirror = count.unsqueeze(1) - 1 - place  # (batch, L): the k-th word from the end
        mirror = torch.where(mirror >= 0, mirror, place)
        for i, ahead in enumerate(self.forwards):
            states = [ahead(x)[0]]
            if self.backwards:
                states.append(_gather(self.backwards[i](_gather(x, mirror))[0], mirror))
            x = torch.cat(states, dim=2)
        return x


def _gather(x: Tensor, place: Tensor) -> Tensor:
    return x.gather(1, place.unsqueeze(2).expand(-1, -1, x.shape[2]))
