"""Networks over the n-grams of a text and, joined with it, over its words in their order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.networks.ngrams import NaiveBayes, ScaledLinear, centred, size_of
from tasks.networks.optimizers import Joined, adamw
from tasks.networks.rnn import Rnn
from tasks.networks.spec import InputSpec

MEMORY = 0.05
"""Share of a batch in the running size of a member's scores."""
DECAY = 0.005
"""Weight decay of the linear member, as a multiple of the other's: its rate is a thousandfold."""
NUMBER = 0.1
"""Learning rate of the linear member for a number: squared error is steeper than cross-entropy, and ever
more so, and with the full rate it diverges."""
BIAS = 1 / 30
"""Learning rate of its bias, as a multiple of its weights', which see much smaller inputs."""


class WideDeep(nn.Module):
    """Naive Bayes, a scaled linear classifier and perhaps a recurrent network, their scores added.

    Each member has a loss of its own, so that none leans on how well another knows the train rows by
    heart. The answer is the sum of the members' scores, each brought to unit size and times its weight;
    how sharp the probabilities are comes from naive Bayes' scores of rows that it has not counted. A
    number is predicted by the weighted mean of the other members.

    Args:
        spec: What goes in and out.
        bayes: Weight of naive Bayes; 0 leaves it out.
        linear: Weight of the linear member.
        recurrent: Weight of the recurrent member; 0 leaves it out.
        rate: Learning rate of the linear member, as a multiple of the network's.
        reading: Options of the recurrent member.

    Example:
        >>> net = WideDeep(InputSpec(outputs=2, vocabulary=9, buckets=5, word_grams=3), recurrent=0.5)
        >>> net.eval()(torch.ones(4, 6, dtype=torch.int32), torch.ones(4, 2, dtype=torch.int32)).shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        bayes: float = 1.0,
        linear: float = 1.5,
        recurrent: float = 0.0,
        rate: float = 1000.0,
        **reading: object,
    ) -> None:
        super().__init__()
        if not spec.buckets:
            kind = "wide_deep" if recurrent else "wide"
            raise ValueError(f"network.kind '{kind}' needs texts: name their column in columns.text")
        self.rate, self.classes = rate, spec.outputs > 1
        members: dict[str, nn.Module] = {}
        if bayes and self.classes:
            members["bayes"] = NaiveBayes(spec)
        members["linear"] = ScaledLinear(spec)
        if recurrent:
            members["recurrent"] = Rnn(spec, **reading)  # type: ignore[arg-type]
        self.members = nn.ModuleDict(members)
        weights = {"bayes": bayes, "linear": linear, "recurrent": recurrent}
        shares = torch.tensor([weights[name] for name in members])
        self.weights: Tensor
        self.spread: Tensor
        self.seen: Tensor
        self.register_buffer("weights", shares / shares.sum(), persistent=False)
        self.register_buffer("spread", torch.ones(len(members)))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def prime(self, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
        """Sets what the members have in closed form from all n-grams (n, K) and targets (n,)."""
        for name in ("bayes", "linear"):
            if name in self.members:
                self.members[name].prime(inputs[1], targets)  # type: ignore[operator]

    def lengths(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """(n,) number of words of each row."""
        return (inputs[0] > 0).sum(1)

    def optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        """Gradient steps with momentum for the linear member, AdamW for the recurrent one."""
        linear = self.members["linear"]
        # The loss is the mean over members.
        scale = self.rate * (1 + ("recurrent" in self.members)) * (1.0 if self.classes else NUMBER)
        groups = [
            {"params": [linear.weight], "weight_decay": weight_decay * DECAY, "scale": scale},
            {"params": [linear.bias], "scale": scale * BIAS},
        ]
        steps = torch.optim.SGD(groups, learning_rate, momentum=0.9, nesterov=True)
        if "recurrent" not in self.members:
            return steps
        recurrent = self.members["recurrent"].named_parameters()
        return Joined(adamw(recurrent, learning_rate, weight_decay), steps)

    def forward(self, words: Tensor, ngrams: Tensor) -> Tensor:
        """Words (batch, L) and n-grams (batch, K) -> (batch, outputs).

        In training mode the scores of the members that learn: (members, batch, outputs).
        """
        asked = [name for name in self.members if not (self.training and name == "bayes")]
        scores = [self.members[name](words if name == "recurrent" else ngrams).float() for name in asked]
        if self.training:
            self._remember(scores)
            return torch.stack(scores)
        parts = torch.stack(scores)  # (members, batch, outputs)
        if self.classes:
            parts = self._sharpness() * centred(parts) / self.spread.view(-1, 1, 1)
        return (parts * self.weights.view(-1, 1, 1)).sum(0)

    def _sharpness(self) -> Tensor:
        for member in self.members.values():
            if isinstance(member, NaiveBayes):
                return member.sharpness
        return torch.ones(())

    @torch.no_grad()
    def _remember(self, scores: list[Tensor]) -> None:
        """Keeps the running size of each score; naive Bayes, the first, has unit size already."""
        self.seen += 1
        share = (1 / self.seen).clamp(min=MEMORY)
        learning = self.spread[-len(scores) :]
        sizes = torch.stack([size_of(centred(score)) for score in scores])
        learning += share * (sizes - learning)
