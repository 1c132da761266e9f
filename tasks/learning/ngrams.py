"""Words and n-grams of texts by arithmetic on whole arrays, n-grams as hashes that are the same anywhere.

Texts are laid end to end, a blank around each. A sequence of letters hashes to a polynomial on its code
points modulo 2**64; with sums P of the terms from the front, the letters from s to e have the hash
(P[e] - P[s]) * B**-s wherever they stand (Karp & Rabin, 1987). No Python loop runs over n-grams: a million
letters with their two million n-grams take half a second. numpy only: the module travels inside the model.
"""

from __future__ import annotations

import base64
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.features.hashing import mix

CHUNK = 2_000_000
"""Letters that are worked on at once: about 400 MB at most."""
BASE = 0x9E3779B97F4A7C15
"""B of the polynomial: odd, so that it has an inverse modulo 2**64."""
CHARACTERS = 1 << 31
"""This bit tells the hash of a sequence of characters from that of a sequence of words."""
BLANK, JOINS, ALONE, SIGN = 0, 1, 2, 3
"""What a character is: between words, part of a word, a word by itself, a punctuation mark."""
_SCRIPTS_WITHOUT_BLANKS = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF),
                           (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))  # fmt: skip
"""Thai and Lao, Burmese, Khmer, kana, ideographs: nothing marks where a word ends."""


@dataclass(frozen=True)
class Letters:
    """Texts end to end, lower case, one blank between words and around each text.

    Attributes:
        text: All of them.
        row: (size,) the text that each character is of.
        start: (tokens,) where each word or punctuation mark begins.
        end: (tokens,) one past its last character.
        is_word: (tokens,) False for punctuation marks.
    """

    text: str
    row: np.ndarray
    start: np.ndarray
    end: np.ndarray
    is_word: np.ndarray

    @staticmethod
    def of(texts: Sequence[str]) -> Letters:
        """Lays texts end to end and finds their words."""
        padded = [f" {' '.join(text.lower().split())} " for text in texts]
        text = "".join(padded)
        kind = _kinds(_codes(text))
        joins = kind == JOINS
        by_itself = kind > JOINS
        start = np.flatnonzero(by_itself | (joins & ~np.concatenate(([False], joins[:-1]))))
        end = np.flatnonzero(by_itself | (joins & ~np.concatenate((joins[1:], [False])))) + 1
        row = np.repeat(np.arange(len(padded)), [len(each) for each in padded])
        return Letters(text, row, start, end, kind[start] != SIGN)

    def tokens(self) -> list[str]:
        """Every word and punctuation mark, in order."""
        spans = zip(self.start.tolist(), self.end.tolist(), strict=True)
        return [self.text[start:end] for start, end in spans]

    def sizes(self) -> np.ndarray:
        """Number of words and punctuation marks of each text."""
        return np.bincount(self.row[self.start], minlength=int(self.row[-1]) + 1)

    def hashes(self, words: int, characters: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """N-grams of each text: (text, hash), both (m,) int64, in order, each pair once.

        Args:
            words: Longest sequence of words; punctuation is passed over.
            characters: Shortest and longest sequence of characters. They stay inside what stands between
                blanks and the two blanks around it, as scikit-learn's `char_wb` has it.
        """
        codes = _codes(self.text)
        powers = _powers(BASE, len(codes))
        sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum(mix(codes.astype(np.uint64) + np.uint64(BASE)) * powers, out=sums[1:])
        back = _powers(pow(BASE, -1, 2**64), len(codes))
        blanks = np.concatenate(([0], np.cumsum(codes == 32)))
        keys = [np.zeros(0, dtype=np.int64)]
        for length in range(characters[0], characters[1] + 1):
            start = _inside(blanks, length)
            hashes = (sums[start + length] - sums[start]) * back[start]
            keys.append(self.row[start] << 32 | _short(hashes, length) | CHARACTERS)
        start, end = self.start[self.is_word], self.end[self.is_word]
        word, row = mix((sums[end] - sums[start]) * back[start]), self.row[start]
        hashes = word
        for length in range(1, words + 1):
            if length > 1:
                hashes = hashes[:-1] * np.uint64(0x2545F4914F6CDD1D) + word[length - 1 :]
            within = row[: len(hashes)] == row[length - 1 :]
            keys.append(row[: len(hashes)][within] << 32 | _short(hashes[within], length))
        key = np.sort(np.concatenate(keys))
        key = key[np.concatenate(([True], key[1:] != key[:-1]))] if len(key) else key
        return key >> 32, key & 0xFFFFFFFF


def chunks(texts: Sequence[str]) -> Iterator[Letters]:
    """Texts end to end, as many at once as memory should hold."""
    start = size = 0
    for i, text in enumerate(texts):
        size += len(text) + 2
        if size > CHUNK:
            yield Letters.of(texts[start : i + 1])
            start, size = i + 1, 0
    if start < len(texts):
        yield Letters.of(texts[start:])


def texts_with(texts: Sequence[str], *, signs: bool = True) -> Counter[str]:
    """In how many texts each word stands, and unless `signs` is off each punctuation mark."""
    counts: Counter[str] = Counter()
    for letters in chunks(texts):
        row = letters.row[letters.start].tolist()
        found = set(zip(row, letters.tokens(), letters.is_word.tolist(), strict=True))
        counts.update(token for _, token, is_word in found if is_word or signs)
    return counts


def known_hashes(texts: Sequence[str], words: int, characters: tuple[int, int], most: int) -> np.ndarray:
    """Hashes of the n-grams that occur in most texts, at most `most` of them: sorted, uint32.

    A table of what was seen has no collisions to speak of (one n-gram in five thousand, at 400,000 of
    them); hashing to 2**18 numbers instead cost naive Bayes 1.5 points of accuracy.
    """
    found, times = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for letters in chunks(texts):
        hashes, counts = np.unique(letters.hashes(words, characters)[1], return_counts=True)
        found, where = np.unique(np.concatenate([found, hashes]), return_inverse=True)
        times = np.bincount(where, np.concatenate([times, counts]), len(found)).astype(np.int64)
    return np.sort(found[np.lexsort((found, -times))[:most]]).astype(np.uint32)


def packed(hashes: np.ndarray) -> str:
    """Sorted uint32 hashes as text: base64 of their little-endian bytes."""
    return base64.b64encode(hashes.astype("<u4").tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """What `packed` wrote, as int64 (n,)."""
    return np.frombuffer(base64.b64decode(text), dtype="<u4").astype(np.int64)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _kinds(codes: np.ndarray) -> np.ndarray:
    """(size,) what each character is."""
    present = np.flatnonzero(np.bincount(codes, minlength=1))
    table = np.zeros(present[-1] + 1, dtype=np.int8)
    table[present] = [_kind(int(code)) for code in present]
    return np.asarray(table[codes])


def _kind(code: int) -> int:
    character = chr(code)
    if character == " ":
        return BLANK
    # Python's \w leaves out the marks that Devanagari and Arabic write their vowels with.
    if not (character.isalnum() or character in "'_" or unicodedata.category(character)[0] == "M"):
        return SIGN
    return ALONE if any(first <= code <= last for first, last in _SCRIPTS_WITHOUT_BLANKS) else JOINS


def _inside(blanks: np.ndarray, length: int) -> np.ndarray:
    """Where a sequence of `length` characters with no blank but at its ends begins.

    Args:
        blanks: (size + 1,) number of blanks before each character.
        length: At least 1.
    """
    start = np.arange(max(0, len(blanks) - length))
    inner = blanks[start + max(1, length - 1)] - blanks[start + 1]
    all_blank = blanks[start + length] - blanks[start] == length
    return np.asarray(start[(inner == 0) & ~all_blank])


def _short(hashes: np.ndarray, length: int) -> np.ndarray:
    """31 of the 64 bits, salted with the length of the n-gram."""
    salt = mix(np.full(1, length, dtype=np.uint64))
    return (mix(hashes + salt) >> np.uint64(33)).astype(np.int64)


def _powers(base: int, count: int) -> np.ndarray:
    """base**0 .. base**(count - 1) modulo 2**64, uint64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)
