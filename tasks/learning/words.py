"""Texts as numbers: ids of words in their order, and ids of the n-grams that occur.

Fitted on train texts. Ids of words: 0 padding, 1 a word that is not known, 2.. the known ones by falling
frequency; punctuation marks are words, too. Ids of n-grams: 0 padding, then sequences of words, then
sequences of characters; one that train texts did not show has no id and is passed over.
numpy and pandas only: the module travels inside the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.learning import ngrams
from tasks.learning.features import texts_of

UNKNOWN, FIRST_WORD = 1, 2
"""Ids of a word that training did not know, and of the first that it knew."""


@dataclass(frozen=True)
class TextInputs:
    """Ids of words (n, words) int32, and of n-grams (n, n-grams) int32, each row padded with zeros.

    Attributes:
        column: Name of the column of texts.
        vocabulary: Known words.
        hashes: Sorted hashes of the known n-grams, packed.
        length: Most words of a text that are read.
        characters: Most characters of a text that are read.
        word_grams: Longest sequence of words that is an n-gram.
        character_grams: Shortest and longest sequence of characters that is one.
    """

    column: str
    vocabulary: tuple[str, ...]
    hashes: str
    length: int
    characters: int
    word_grams: int
    character_grams: tuple[int, int]

    @staticmethod
    def fit(
        rows: pd.DataFrame,
        column: str,
        *,
        vocabulary: int,
        min_rows: int,
        length: int,
        characters: int,
        word_grams: int,
        character_grams: tuple[int, int],
        grams: int,
    ) -> TextInputs:
        """Learns from train rows; the options are those of `encode.words`."""
        texts = [text[:characters] for text in _texts(rows, column)]
        return TextInputs(
            column,
            tuple(_frequent(texts, vocabulary, min_rows)),
            ngrams.packed(ngrams.known_hashes(texts, word_grams, character_grams, grams)),
            length,
            characters,
            word_grams,
            character_grams,
        )

    @property
    def words(self) -> int:
        """Number of ids of words, padding and unknown included."""
        return FIRST_WORD + len(self.vocabulary)

    @property
    def grams(self) -> tuple[int, int]:
        """Number of ids of n-grams: sequences of words with the padding, and all of them."""
        known = _known(self.hashes)
        return 1 + int(np.searchsorted(known, ngrams.CHARACTERS)), 1 + len(known)

    def encode(self, rows: pd.DataFrame) -> tuple[np.ndarray, ...]:
        """Rows to (words (n, L), n-grams (n, K)), int32, as wide as the longest row needs.

        25,000 film reviews of 1,300 characters take 0.6 GB.
        """
        parts = [self._ids(letters) for letters in ngrams.chunks(self._read(rows))]
        return _padded([words for words, _ in parts]), _padded([grams for _, grams in parts])

    def cut_share(self, rows: pd.DataFrame) -> float:
        """Share of texts of which the end is not read by a network that reads words in order."""
        longer = [len(text) > self.characters for text in _texts(rows, self.column)]
        words = [letters.sizes() > self.length for letters in ngrams.chunks(self._read(rows))]
        return float(np.mean(np.concatenate(words) | longer)) if longer else 0.0

    def _read(self, rows: pd.DataFrame) -> list[str]:
        return [text[: self.characters] for text in _texts(rows, self.column)]

    def _ids(self, letters: ngrams.Letters) -> tuple[_Ragged, _Ragged]:
        """Ids of the words and of the n-grams of some texts."""
        ids = _places(self.vocabulary)
        tokens = np.array([ids.get(token, UNKNOWN) for token in letters.tokens()], dtype=np.int32)
        sizes = letters.sizes()
        place = np.arange(len(tokens)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        known = _known(self.hashes)
        row, hashes = letters.hashes(self.word_grams, self.character_grams)
        at = np.searchsorted(known, hashes)
        there = np.append(known, -1)[at] == hashes
        return (
            _Ragged(np.minimum(sizes, self.length), tokens[place < self.length]),
            _Ragged(np.bincount(row[there], minlength=len(sizes)), (at[there] + 1).astype(np.int32)),
        )


class _Ragged(NamedTuple):
    """Rows of different lengths: sizes (n,) and all values, end to end."""

    sizes: np.ndarray
    values: np.ndarray


def _padded(parts: Sequence[_Ragged]) -> np.ndarray:
    """(n, K) int32, each row's values and then zeros; K is at least 1."""
    sizes = np.concatenate([np.zeros(0, dtype=np.int64), *(part.sizes for part in parts)])
    out = np.zeros((len(sizes), max(1, int(sizes.max(initial=0)))), dtype=np.int32)
    start = 0
    for part in parts:
        rows = np.repeat(np.arange(len(part.sizes)), part.sizes)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(part.sizes) - part.sizes, part.sizes)
        out[start + rows, place] = part.values
        start += len(part.sizes)
    return out


def _texts(rows: pd.DataFrame, column: str) -> list[str]:
    """A column's texts; what is missing is an empty one."""
    return list(texts_of(rows[column]).fillna(""))


def _frequent(texts: Sequence[str], most: int, min_rows: int) -> list[str]:
    """The words that occur in most texts, and in at least `min_rows` of them."""
    counts = ngrams.texts_with(texts)
    kept = [word for word, rows in counts.items() if rows >= min_rows]
    return sorted(kept, key=lambda word: (-counts[word], word))[:most]


@lru_cache(maxsize=8)
def _places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {word: FIRST_WORD + i for i, word in enumerate(vocabulary)}


@lru_cache(maxsize=8)
def _known(hashes: str) -> np.ndarray:
    return ngrams.unpacked(hashes)
