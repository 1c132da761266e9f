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
from tasks.predictions import Predictions

TRIED = 60
"""Words of a text that are left out in turn; the rest of a longer one is not shown."""
NAMED = 3
"""Words that are named with what the answer is without them."""
STRONGEST = 55
"""Percent of the colour behind the word with the largest effect."""
FAINT, PALE = 0.05, 0.2
"""An effect below this share of the largest has no colour; log-odds of that many are called large."""
LEAST = 1e-300
"""A probability that is as good as none, so that every one has a logarithm."""


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Of each class against all others together, (n, classes); what is all but certain still differs."""
    others = 1 - probabilities
    rows, first = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    rest = probabilities.copy()
    rest[rows, first] = 0
    others[rows, first] = rest.sum(axis=1)  # exact where 1 - probability is not
    return np.asarray(np.log(np.maximum(probabilities, LEAST)) - np.log(np.maximum(others, LEAST)))


def marked(scorer: Scorer, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Texts in pieces, with the colour of each, and in words what moved the answer most.

    A word's effect is what the answer loses without it: in the log-odds of the class that was answered, or
    in the number that was, in its own units.

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
    column = scorer.manifest["columns"][0]["name"]
    answers, _ = scorer.predict_each(pd.DataFrame({column: asked}))
    shown, at = [], 0
    for text, found in zip(flat, spans, strict=True):
        own = answers.take(np.arange(at, at + 1 + len(found)))
        shown.append(_shown(text, found, *_without(own)))
        at += 1 + len(found)
    return shown


def _flat(text: str) -> str:
    """A text on one line; in lower case only where that moves its letters."""
    line = " ".join(text.split())
    return line if len(line.lower()) == len(line) else line.lower()


def _spans(text: str) -> list[tuple[int, int]]:
    """Where the first words of a text on one line begin and end."""
    letters = Letters.of([text])
    spans = zip((letters.start - 1).tolist(), (letters.end - 1).tolist(), letters.is_word, strict=True)
    return [(start, end) for start, end, is_word in spans if is_word][:TRIED]


def _without(answers: Predictions) -> tuple[np.ndarray, list[str], float]:
    """Of the answers to a text and to it without each word (1 + words).

    Returns:
        The words' effects (words,), the answer without each in words, and an effect that is large.
    """
    if answers.probabilities is None:
        values = np.asarray(answers.values, dtype=np.float64)
        return values[0] - values[1:], [wording.number(float(value)) for value in values[1:]], 0.0
    assert answers.classes is not None, "probabilities are those of classes"
    said = answers.classes.tolist().index(answers.values.tolist()[0])
    odds = log_odds(answers.probabilities)[:, said]
    return odds[0] - odds[1:], [wording.share(p, 1) for p in answers.probabilities[1:, said].tolist()], PALE


def _shown(
    text: str, spans: list[tuple[int, int]], effects: np.ndarray, without: list[str], large: float
) -> dict[str, Any]:
    largest = float(np.abs(effects).max(initial=large))
    pieces, at = [], 0
    for (start, end), effect in zip(spans, effects.tolist(), strict=True):
        share = effect / largest if largest else 0.0
        what = "" if abs(share) < FAINT else "hit" if share > 0 else "miss"
        pieces += [(text[at:start], "", 0), (text[start:end], what, round(STRONGEST * abs(share)))]
        at = end
    pieces.append((text[at:] if len(spans) < TRIED else " …", "", 0))
    best = [i for i in np.argsort(-np.abs(effects), kind="stable")[:NAMED] if abs(effects[i]) > FAINT * large]
    named = [f"without {text[slice(*spans[i])]} {without[i]}" for i in best]
    return {"pieces": [piece for piece in pieces if piece[0]], "words": ", ".join(named)}
