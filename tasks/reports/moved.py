"""Which words of a text moved the model's answer: each is left out in turn, and the rest is asked again.

Exact, and the same for a network of any kind: it takes one answer a word (occlusion, after Zeiler and
Fergus, 2014). What two words do together only shows in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks import wording
from tasks.learning.ngrams import Letters
from tasks.learning.scoring import Scorer

TRIED = 60
"""Words of a text that are left out in turn; the rest of a longer one is not shown."""
NAMED = 3
"""Words that are named with what they did."""
STRONGEST = 55
"""Percent of the colour behind the word with the largest effect."""
FAINT = 0.05
"""An effect below this share of the text's largest is not coloured."""


def marked(scorer: Scorer, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Texts in pieces, with the colour of each, and in words what moved the answer most.

    A word's effect is what the answer loses without it: in the probability of the class that was answered,
    or in the number that was, in its own units.

    Args:
        scorer: A model whose only raw column is the text.
        texts: n cleaned texts.

    Returns:
        n times `pieces`, (text, what for, strength in percent), and `words`. What for is "hit" where the
        word spoke for the answer, "miss" where against it, and empty where it did nothing to speak of.
    """
    flat = [_flat(text) for text in texts]
    spans = [_spans(text) for text in flat]
    asked = []
    for text, found in zip(flat, spans, strict=True):
        asked += [text, *(f"{text[:start]} {text[end:]}" for start, end in found)]
    effects = _effects(scorer, asked, [len(found) for found in spans])
    places = None if scorer.manifest["classes"] is None else 2
    return [_shown(*each, places) for each in zip(flat, spans, effects, strict=True)]


def _flat(text: str) -> str:
    """A text on one line; in lower case only where that moves its letters."""
    line = " ".join(text.split())
    return line if len(line.lower()) == len(line) else line.lower()


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the first words of a text on one line begin and end."""
    letters = Letters.of([text])
    spans = zip((letters.start - 1).tolist(), (letters.end - 1).tolist(), letters.is_word, strict=True)
    return [(start, end) for start, end, is_word in spans if is_word][:TRIED]


def _effects(scorer: Scorer, asked: list[str], sizes: list[int]) -> list[np.ndarray]:
    """For each text what its answer loses without each word; `asked` are the texts, each before its own."""
    column = scorer.manifest["columns"][0]["name"]
    answers, _ = scorer.predict_each(pd.DataFrame({column: asked}))
    effects, at = [], 0
    for size in sizes:
        if answers.probabilities is None:
            said = answers.values[at : at + size + 1]
        else:
            said = answers.probabilities[at : at + size + 1, answers.probabilities[at].argmax()]
        effects.append(said[0] - said[1:])
        at += size + 1
    return effects


def _shown(
    text: str, spans: list[tuple[int, int]], effects: np.ndarray, places: int | None
) -> dict[str, Any]:
    least = 0.0 if places is None else 0.5 * 10**-places
    largest = float(np.abs(effects).max(initial=2 * least))  # tiny effects stay pale
    pieces, at = [], 0
    for (start, end), effect in zip(spans, effects.tolist(), strict=True):
        share = effect / largest if largest else 0.0
        what = "" if abs(share) < FAINT else "hit" if share > 0 else "miss"
        pieces += [(text[at:start], "", 0), (text[start:end], what, round(STRONGEST * abs(share)))]
        at = end
    pieces.append((text[at:] if len(spans) < TRIED else " …", "", 0))
    best = np.argsort(-np.abs(effects), kind="stable")[:NAMED]
    moved = [(text[slice(*spans[i])], float(effects[i])) for i in best if abs(effects[i]) > least]
    named = [f"{word} {wording.signed(effect, places)}" for word, effect in moved]
    return {"pieces": [piece for piece in pieces if piece[0]], "words": ", ".join(named)}
