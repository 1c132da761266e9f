"""Texts in one form. How a text reads depends on that text alone; it travels with the model."""

from __future__ import annotations

import html
import re
import unicodedata

_MARKUP = re.compile(r"<[/!?]?[A-Za-z-][^<>]{0,200}>")
"""A tag or a comment, but neither `<3` nor `a < b`; bounded, so that a text full of `<a` costs little."""
_KEPT = "\t\n\r"
PASSES = 8


def normalised(text: str) -> str:
    """A text without markup and invisible characters, in Unicode's form NFKC, with single spaces.

    Entities are read before tags are taken out, so `&lt;br&gt;` goes like `<br>`. What that leaves may be
    markup again; it is repeated until nothing changes, but not for ever: a text made to hurt nests as deep
    as it is long.
    """
    for _ in range(PASSES):
        plain = _once(text)
        if plain == text:
            break
        text = plain
    return text


def _once(text: str) -> str:
    text = _MARKUP.sub(" ", html.unescape(text))
    text = unicodedata.normalize("NFKC", text)
    if not text.isprintable():
        text = "".join(c for c in text if c in _KEPT or unicodedata.category(c)[0] != "C")
    return " ".join(text.split())
