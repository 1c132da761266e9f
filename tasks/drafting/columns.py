"""What the columns of a table are: numbers and categories to learn from, and what to keep out.

Looked at column by column, in the table's order; the first rule that applies decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.cleaning.reading import is_text
from tasks.drafting import repairs

NEAR_UNIQUE = 0.5
"""Share of distinct values among those present from which a text names its row rather than a level."""

FEW_LEVELS = 50
"""A text of so few levels is a category, whatever their share."""

SENTENCE = 4
"""Words, in the median, from which near-unique text is something that was written, not a name or a code."""

CODES = 10
"""Distinct whole numbers up to which a column may hold codes of a category."""

_KEY_NAME = re.compile(
    r"id|rownames?|row_?names?|row|index|unnamed:? ?\d*|key|uuid|guid|.*[_ .-](id|key|no|nr|number)", re.I
)
_CAMEL_ID = re.compile(r".*[a-z](Id|ID)")
_GROUP_NAME = re.compile(
    r"(group|subject|patient|person|user|customer|client|film|movie|session|device|household|school)s?", re.I
)
_OTHER_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}( .*)?"
_SEPARATED = re.compile(r"[^0-9]*[+-]?\d{1,3}([.,' ]\d{3})*([.,]\d+)?[^0-9]*|[+-]?\d+,\d+")


@dataclass(frozen=True)
class Finding:
    """What a column is: `role` is feature, text (written by somebody), group, or out (of no use)."""

    name: str
    role: str
    guess: str = ""
    evidence: str = ""


def looks_like_key(name: str) -> bool:
    """Whether a column's name says that it names rows."""
    return bool(_KEY_NAME.fullmatch(name.strip()) or _CAMEL_ID.fullmatch(name.strip()))


def is_number(column: pd.Series) -> bool:
    """Whether the reader took the column for numbers (truth values are none)."""
    kind = column.dtype
    return bool(pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind))


def is_whole(column: pd.Series) -> bool:
    """Whether every value present is a whole number; gaps make floats of them."""
    if not is_number(column):
        return False
    values = column.dropna().to_numpy(dtype=np.float64)
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def is_coded(column: pd.Series) -> bool:
    """Whether a column holds so few whole numbers that they may be codes of a category."""
    return is_whole(column) and 2 < column.nunique() <= CODES


def present(column: pd.Series) -> pd.Series:
    """The values that are there; blank text is not."""
    values = column.dropna()
    return values[values.astype("str").str.strip() != ""] if is_text(column) else values


def find(rows: pd.DataFrame, features: Sequence[str]) -> list[Finding]:
    """One finding for each of `features`."""
    found = [_find(rows[name]) for name in features]
    kept = [finding.name for finding in found if finding.role == "feature"]
    copies = _copies(rows, kept)
    return [
        Finding(f.name, "out", "left out", f"every value equals that of {copies[f.name]!r}")
        if f.name in copies
        else f
        for f in found
    ]


def _find(column: pd.Series) -> Finding:
    name, values = str(column.name), present(column)
    distinct = values.nunique()
    if not len(values):
        return Finding(name, "out", "left out", f"all {len(column):,} values are missing")
    if distinct == 1 and len(values) == len(column):
        return Finding(name, "out", "left out", f"constant: one value in all {len(column):,} rows")
    if is_number(column):
        return _find_number(name, values, distinct, len(column))
    return _find_text(name, values, distinct) if is_text(column) else Finding(name, "feature")


def _find_number(name: str, values: pd.Series, distinct: int, rows: int) -> Finding:
    if not is_whole(values):
        return Finding(name, "feature")
    steps = bool((values.diff().dropna() == 1).all())
    if distinct == rows and rows > 1 and (steps or looks_like_key(name)):
        why = "counts the rows" if steps else "unique integer"
        return Finding(name, "out", "key, no feature", f"{why}: {distinct:,} values in {rows:,} rows")
    if looks_like_group(name) and _repeats(values, distinct):
        return _group(name, distinct, len(values))
    return Finding(name, "feature")


def _find_text(name: str, values: pd.Series, distinct: int) -> Finding:
    if repairs.reads_as(values) is not None:
        return Finding(name, "feature")
    if values.str.fullmatch(_OTHER_DATE).all():
        return Finding(name, "out", "left out", "dates, written in another way than 2020-12-31")
    if distinct > FEW_LEVELS and distinct > NEAR_UNIQUE * len(values):
        return _find_unique(name, values, distinct)
    if looks_like_group(name) and _repeats(values, distinct):
        return _group(name, distinct, len(values))
    return Finding(name, "feature")


def _find_unique(name: str, values: pd.Series, distinct: int) -> Finding:
    told = f"{distinct:,} distinct texts in {len(values):,} rows"
    words = float(np.median(word_counts(values.sample(min(len(values), 1000), random_state=0))))
    if words >= SENTENCE:
        return Finding(name, "text", "free text, no feature", f"{told}, {words:.0f} words in the median")
    if values.str.fullmatch(_SEPARATED).mean() > 0.9:
        return Finding(name, "out", "left out", f"{told}, numbers written with separators or units")
    guess, kind = ("key, no feature", "unique") if distinct == len(values) else ("left out", "nearly unique")
    return Finding(name, "out", guess, f"{kind} text: {told}")


def word_counts(texts: pd.Series) -> np.ndarray:
    """Words between spaces of each text (n,); none where there is no text."""
    return np.array([len(text.split()) if isinstance(text, str) else 0 for text in texts])


def looks_like_group(name: str) -> bool:
    """Whether a column's name says that rows of one value belong together."""
    return looks_like_key(name) or bool(_GROUP_NAME.fullmatch(name.strip()))


def _repeats(values: pd.Series, distinct: int) -> bool:
    return distinct > 20 and len(values) >= 2 * distinct


def _group(name: str, distinct: int, count: int) -> Finding:
    told = f"{distinct:,} values in {count:,} rows, and its name says that rows of one belong together"
    return Finding(name, "group", "no feature", told)


def _copies(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Columns that equal an earlier one, gaps included, and which."""
    found: dict[str, str] = {}
    first: dict[tuple[str, int], list[str]] = {}
    for name in names:
        hashed = int(pd.util.hash_pandas_object(rows[name], index=False).sum())
        alike = first.setdefault((str(rows[name].dtype), hashed), [])
        equal = next((other for other in alike if rows[other].equals(rows[name])), None)
        if equal is None:
            alike.append(name)
        else:
            found[name] = equal
    return found
