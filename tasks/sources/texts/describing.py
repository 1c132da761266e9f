"""What is said of each text without quoting it: how long it is, its script, whether it holds a word."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import replace
from functools import cache

import pandas as pd

from tasks.dataset import TEXTUAL, Dataset
from tasks.errors import DataRejected, did_you_mean, quoted
from tasks.features import Schema
from tasks.sources.loaded import Loaded

_WORD = re.compile(r"\w+")
LETTERS = 500
"""Letters of a text from which its script is told."""
_JOINED = {"Cjk": "Han", "Hiragana": "Japanese", "Katakana": "Japanese"}


def described(loaded: Loaded, text: str) -> Loaded:
    """The same data with the columns `TEXTUAL`, about its column `text`.

    Raises:
        DataRejected: There is no such column, it holds no texts, or a column has one of those names.
    """
    rows, file = loaded.dataset.rows, loaded.files[0].name
    if text not in rows.columns:
        known = [str(name) for name in rows.columns]
        raise DataRejected(f"{file}: no column {quoted(text)}, the texts", fix=did_you_mean(text, known))
    if not (isinstance(rows[text].dtype, pd.StringDtype) or rows[text].isna().all()):
        raise DataRejected(
            f"{file}: column {quoted(text)} holds {rows[text].dtype}, not texts", fix="correct columns.text"
        )
    if taken := [name for name in TEXTUAL if name in rows.columns]:
        raise DataRejected(
            f"{file}: the name {quoted(taken[0])} is one of those that texts are described by",
            fix="rename that column",
        )
    texts = rows[text].astype("str").fillna("").tolist()
    tokens = [len(_WORD.findall(cell)) for cell in texts]
    columns: tuple[pd.Series, ...] = (
        pd.Series(map(len, texts), dtype="int64"),
        pd.Series(tokens, dtype="int64"),
        pd.Series(map(script, texts), dtype="str"),
        pd.Series([not count for count in tokens], dtype="bool"),
    )
    more = rows.assign(**{name: made.array for name, made in zip(TEXTUAL, columns, strict=True)})
    types = dict(zip(TEXTUAL, ("integer", "integer", "category", "boolean"), strict=True))
    schema = Schema({**loaded.schema.types, text: "text", **types})
    return replace(loaded, dataset=Dataset(more), schema=schema)


def script(text: str) -> str:
    """The script that most letters are of, as Unicode names letters: Latin, Cyrillic, Han; else none."""
    found = Counter(name for name in map(_script, text[:LETTERS]) if name)
    return found.most_common(1)[0][0] if found else "none"


@cache
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    word = unicodedata.name(character, "other").split(" ")[0].split("-")[0].capitalize()
    return _JOINED.get(word, word)
