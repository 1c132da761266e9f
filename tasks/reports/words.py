"""What a network of texts has learned: the words that tell it most, and the words that it takes for alike.

Each frequent word is put to the model as a text of that word alone, so this holds for a network of any
kind. Where the network embeds words, those with like embeddings are named too.

Words are shown whatever `validate.show_values` says: each stands in several train texts, and quotes none
of them. Whole texts are cells, and only shown where that setting is on; see `tasks.reports.moved`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from tasks import wording
from tasks.learning import ngrams
from tasks.learning.scoring import Scorer
from tasks.learning.words import TextInputs
from tasks.reports import plots
from tasks.reports.exhibits import inline
from tasks.reports.moved import log_odds

FEWEST, MOST = 5, 1500
"""Words that are asked: those of at least so many train texts, and the most frequent of them."""
TOLD, CENTRES, NEAREST, DRAWN = 10, 12, 6, 150
"""Words shown a class, words with their neighbours, neighbours of each, words of the map."""
RARE = 20
"""A word of so many train texts counts half: what moved the answer in a few may be chance."""
CLASSES = 30
"""Most classes whose words are listed."""


@dataclass(frozen=True)
class Words:
    """Frequent words and what the model answers to each alone.

    Attributes:
        names: The n words, the most frequent first.
        texts: (n,) in how many of `looked` texts each stands.
        looked: Number of texts.
        leans: (n, sides) how far the answer lies on each side of the usual one: the log-odds of a class
            beyond their median over all words, or the number below and above the median, in its own units.
        sides: What the sides are: classes, or "lower" and "higher".
    """

    names: tuple[str, ...]
    texts: np.ndarray
    looked: int
    leans: np.ndarray
    sides: tuple[str, ...]

    @property
    def telling(self) -> np.ndarray:
        """(n, sides) what is most worth showing: words that move the answer far and are no rarity."""
        return np.asarray(self.leans * (self.texts / (self.texts + RARE))[:, None])

    def order(self) -> np.ndarray:
        """(n,) the words, the most telling of all sides first."""
        return np.argsort(-self.telling.max(axis=1), kind="stable")


def learned(scorer: Scorer, texts: Sequence[str]) -> dict[str, Any] | None:
    """The words that tell most on each side, their neighbours and a map; None where too few words recur.

    Args:
        scorer: A model whose only raw column is the text.
        texts: Cleaned train texts.
    """
    words = ask(scorer, texts)
    if words is None:
        return None
    vectors = embedded(scorer, words.names)
    order = words.order()
    return {
        "fewest": FEWEST,
        "looked": words.looked,
        "asked": len(words.names),
        "sides": _sides(words),
        "more": max(0, len(words.sides) - CLASSES),
        "neighbours": [] if vectors is None else _neighbours(words, vectors),
        "map": None if vectors is None else _map(words, vectors, order[:DRAWN]),
        "two": words.sides if len(words.sides) == 2 else None,
    }


def ask(scorer: Scorer, texts: Sequence[str]) -> Words | None:
    """Puts every frequent word of some texts to the model; None where there are fewer than two."""
    counts, looked = _frequent(texts)
    if len(counts) < 2:
        return None
    names, texts_of_word = zip(*counts, strict=True)
    column = scorer.manifest["columns"][0]["name"]
    answers, _ = scorer.predict_each(pd.DataFrame({column: names}))
    sides: tuple[str, ...]
    if answers.probabilities is None:
        beyond = answers.values - np.median(answers.values)
        leans, sides = np.column_stack([-beyond, beyond]), ("lower", "higher")
    else:
        assert answers.classes is not None
        odds = log_odds(answers.probabilities)
        leans = odds - np.median(odds, axis=0)
        sides = tuple(str(name) for name in answers.classes)
    return Words(names, np.array(texts_of_word), looked, leans, sides)


def embedded(scorer: Scorer, names: Sequence[str]) -> np.ndarray | None:
    """(n, width) the network's embedding of each word; None where it has no table of words."""
    inputs = scorer.encoder.inputs
    if not isinstance(inputs, TextInputs):
        return None
    layers = [layer for layer in scorer.network.modules() if isinstance(layer, nn.Embedding)]
    tables = [layer for layer in layers if layer.num_embeddings == inputs.words]
    if not tables:
        return None
    ids = inputs.encode(pd.DataFrame({inputs.column: names}))[0][:, 0]
    return np.asarray(tables[0].weight.detach().float().numpy()[ids])


def _frequent(texts: Sequence[str]) -> tuple[list[tuple[str, int]], int]:
    """Words with the number of texts that they stand in, and how many texts were looked at.

    Two million characters are enough to know what is frequent; of more, every nth text is taken.
    """
    step = math.ceil(sum(map(len, texts)) / ngrams.CHUNK) or 1
    chosen = texts[::step]
    counts = ngrams.texts_with(chosen, signs=False)
    kept = [(word, count) for word, count in counts.items() if count >= FEWEST]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:MOST], len(chosen)


def _sides(words: Words) -> list[tuple[str, list[tuple[str, int]]]]:
    """Each side with the words that lean to it most, and in how many texts they stand."""
    listed = []
    for side, name in enumerate(words.sides[:CLASSES]):
        telling = words.telling[:, side]
        best = [i for i in np.argsort(-telling, kind="stable")[:TOLD] if telling[i] > 0]
        listed.append((name, [(words.names[i], int(words.texts[i])) for i in best]))
    return listed


def _neighbours(words: Words, vectors: np.ndarray) -> list[dict[str, Any]]:
    """The most telling words of all sides in turn, each with the words of the likest embeddings."""
    ranked = np.argsort(-words.telling, axis=0, kind="stable")  # (n, sides)
    centres = list(dict.fromkeys(int(i) for i in ranked.flatten()))[:CENTRES]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    likeness = units[centres] @ units.T
    likeness[np.arange(len(centres)), centres] = -np.inf
    found = []
    for centre, row in zip(centres, likeness, strict=True):
        near = np.argsort(-row, kind="stable")[: min(NEAREST, len(row) - 1)]
        found.append(
            {
                "word": words.names[centre],
                "texts": int(words.texts[centre]),
                "side": words.sides[int(words.leans[centre].argmax())],
                "near": [(words.names[i], f"{row[i]:.2f}".replace("-", wording.MINUS)) for i in near],
            }
        )
    return found


def _map(words: Words, vectors: np.ndarray, chosen: np.ndarray) -> dict[str, Any]:
    """The chosen words on the two directions in which their embeddings differ most."""
    centred = vectors[chosen] - vectors[chosen].mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(chosen), 2))
    flat[:, : len(spread)] = (left * spread)[:, :2]
    flat *= np.where(flat[np.abs(flat).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)  # the signs mean nothing
    side = words.leans[chosen].argmax(axis=1) if len(words.sides) == 2 else None
    names = [words.names[i] for i in chosen]
    seen = float((spread[:2] ** 2).sum() / ((spread**2).sum() or 1.0))
    alt = f"Map of {len(names)} words by their embeddings, the most telling first: {', '.join(names[:12])}"
    return {"figure": inline(plots.words(flat, names, side), alt), "count": len(names), "seen": seen}
