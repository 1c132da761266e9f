from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from tasks.config import Words
from tasks.learning import ngrams
from tasks.learning.encode import Encoder
from tasks.learning.targets import Labels
from tasks.learning.words import FIRST_WORD, UNKNOWN, TextInputs

TEXTS = [
    "A warm, warm film: the actors' best.",
    "the film isn't   good\nnot good at all",
    "Dull!",
    "",
    "the best actors in a dull film",
]


def rows(texts: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype="str"), "label": ["x"] * len(texts)})


def fitted(texts: list[Any], **changes: Any) -> TextInputs:
    return TextInputs.fit(rows(texts), "text", **{**Words().model_dump(), "min_rows": 1, **changes})


def counted(texts: list[str], words: int, characters: tuple[int, int]) -> np.ndarray:
    """(n,) n-grams of each text by scikit-learn, each once."""
    total = np.zeros(len(texts), dtype=np.int64)
    for how in (
        {"ngram_range": (1, words), "token_pattern": r"[\w']+"},
        {"analyzer": "char_wb", "ngram_range": characters},
    ):
        total += CountVectorizer(binary=True, **how).fit_transform([*texts, "x"]).sum(axis=1).A1[:-1]
    return total


def sizes(encoded: np.ndarray) -> np.ndarray:
    return (encoded > 0).sum(axis=1)


def test_ngrams_are_those_of_scikit_learn() -> None:
    _, grams = fitted(TEXTS).encode(rows(list(TEXTS)))
    np.testing.assert_array_equal(sizes(grams), counted(TEXTS, 2, (2, 5)))
    known = [
        CountVectorizer(ngram_range=(1, 2), token_pattern=r"[\w']+").fit(TEXTS).vocabulary_,
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)).fit(TEXTS).vocabulary_,
    ]
    assert fitted(TEXTS).grams == (1 + len(known[0]), 1 + len(known[0]) + len(known[1]))


@given(st.lists(st.text("ab c'.-\n9éß", max_size=25), min_size=1, max_size=6), st.integers(1, 3))
def test_ngrams_of_any_text_are_those_of_scikit_learn(texts: list[str], words: int) -> None:
    _, grams = fitted(list(texts), word_grams=words, character_grams=(2, 4)).encode(rows(list(texts)))
    np.testing.assert_array_equal(sizes(grams), counted(texts, words, (2, 4)))


def test_equal_ngrams_have_equal_ids_wherever_they_stand() -> None:
    inputs = fitted(TEXTS)
    _, grams = inputs.encode(rows(["dull", "so very dull", "Dull", "DULL dull dull"]))
    first = set(grams[0]) - {0}
    assert first <= set(grams[1])
    np.testing.assert_array_equal(grams[0], grams[2])
    words = first & set(range(1, inputs.grams[0]))
    assert len(words) == 1  # one sequence of words, the others are of characters
    assert all((np.diff(row[row > 0]) > 0).all() for row in grams)


def test_words_are_numbered_by_the_rows_that_they_occur_in() -> None:
    inputs = fitted(TEXTS)
    assert inputs.vocabulary[:2] == ("film", "the")  # both in three rows
    words, _ = inputs.encode(rows(["the film, never", "the"]))
    assert words[0].tolist()[:2] == [FIRST_WORD + 1, FIRST_WORD]
    assert words[0, 2] == FIRST_WORD + inputs.vocabulary.index(",")
    assert words[0, 3] == UNKNOWN
    assert words[1].tolist() == [FIRST_WORD + 1, 0, 0, 0]
    assert words.dtype == np.int32


def test_rare_words_are_unknown() -> None:
    inputs = fitted(TEXTS, min_rows=2, vocabulary=3)
    assert len(inputs.vocabulary) == 3
    words, _ = inputs.encode(rows(["isn't the film"]))
    assert words[0].tolist() == [UNKNOWN, FIRST_WORD + 1, FIRST_WORD]


def test_what_is_missing_or_empty_is_a_row_of_padding() -> None:
    words, grams = fitted(TEXTS).encode(rows(["", None, " \n"]))
    assert words.shape == grams.shape == (3, 1)
    assert not words.any()
    assert not grams.any()
    assert [x.shape for x in fitted(TEXTS).encode(rows([]))] == [(0, 1), (0, 1)]
    assert fitted(["", ""]).grams == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Фильм не удался!", ["фильм", "не", "удался", "!"]),
        ("यह फ़िल्म बहुत अच्छी है", ["यह", "फ़िल्म", "बहुत", "अच्छी", "है"]),
        ("هَذَا فِيلْم", ["هَذَا", "فِيلْم"]),
        ("好看的电影。", ["好", "看", "的", "电", "影", "。"]),
        ("映画カメラ", ["映", "画", "カ", "メ", "ラ"]),
        ("영화 좋아요", ["영화", "좋아요"]),
        ("it's 3-D 😀", ["it's", "3", "-", "d", "😀"]),
        ("İstanbul\u2003x", ["i̇stanbul", "x"]),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert ngrams.Letters.of([text]).tokens() == words


def test_only_the_most_frequent_ngrams_are_kept() -> None:
    inputs = fitted(["ab", "ab", "ab", "cd"], character_grams=(2, 2), word_grams=1, grams=4)
    assert inputs.grams == (2, 5)
    _, grams = inputs.encode(rows(["cd", "ab"]))
    assert sizes(grams).tolist() == [0, 4]


def test_long_texts_are_cut_and_the_share_is_told() -> None:
    inputs = fitted(TEXTS, length=5, characters=30)
    words, _ = inputs.encode(rows(["the " * 6, "a film"]))
    assert sizes(words).tolist() == [5, 2]
    assert inputs.cut_share(rows(["the " * 6, "a film"])) == 0.5
    assert inputs.cut_share(rows(["x" * 31])) == 1.0
    assert inputs.cut_share(rows([])) == 0.0
    again, grams = inputs.encode(rows(["a film " + " " * 30 + "dull"]))
    assert sizes(again).tolist() == [2]
    np.testing.assert_array_equal(grams, inputs.encode(rows(["a film"]))[1])


def test_parts_that_are_worked_on_apart_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(TEXTS)
    expected = whole.encode(rows(list(TEXTS)))
    monkeypatch.setattr(ngrams, "CHUNK", 50)
    assert len(list(ngrams.chunks(TEXTS))) > 1
    assert fitted(TEXTS) == whole
    for a, b in zip(whole.encode(rows(list(TEXTS))), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_state_is_json_and_comes_back() -> None:
    encoder = Encoder(fitted(TEXTS), Labels(("x",), (5,)))
    again = Encoder.restore(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    assert again.state_hash == encoder.state_hash
    assert isinstance(again.inputs, TextInputs)
    for a, b in zip(
        again.inputs.encode(rows(TEXTS[:2])), encoder.inputs.encode(rows(TEXTS[:2])), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_hashes_are_the_same_on_every_machine() -> None:
    text, hashes = ngrams.Letters.of(["Ab c"]).hashes(2, (2, 2))
    assert text.tolist() == [0] * 8
    assert hashes.tolist() == [
        96218356,
        751907612,
        1625169059,
        2727727752,
        3198277410,
        3984610692,
        4031029075,
        4284150377,
    ]
