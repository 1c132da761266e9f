"""Which column is predicted, and whether it is a class or a number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tasks.cleaning.reading import is_text
from tasks.config import Task
from tasks.drafting.columns import is_number, is_whole, present
from tasks.drafting.guesses import Asked, Guess
from tasks.errors import ConfigError, DataRejected, did_you_mean, quoted

CERTAIN = ("target", "label", "labels", "class", "y", "outcome", "response")
"""Names that say nothing but 'this is to be predicted'."""

LIKELY = (
    "species", "survived", "diagnosis", "price", "saleprice", "sale_price", "medv", "churn", "default",
    "quality", "rating", "score", "sentiment", "category", "income", "salary", "disease", "type", "status",
    "result", "grade", "risk", "fraud", "spam", "is_fraud", "approved", "cost", "value", "charges",
)  # fmt: skip
"""Names that a column to be predicted often has."""

CLASSES = 20
"""Most distinct whole numbers that are taken for classes."""

CLASS_SHARE = 0.05
"""Largest share of distinct values among the rows that are taken for classes."""

MANY_CLASSES = 200
"""More distinct texts than this are no classes that a table of ordinary size can teach."""

SHOWN = 6


def choose(rows: pd.DataFrame, asked: Asked, usable: Sequence[str]) -> Guess:
    """The column to predict.

    Args:
        rows: All rows.
        asked: What the user decided.
        usable: Columns that could be predicted: no key, no constant, no free text.

    Raises:
        ConfigError: No such column, or nothing says which one it is.
    """
    if asked.target is not None:
        if asked.target not in rows.columns:
            fix = did_you_mean(asked.target, map(str, rows.columns))
            raise ConfigError(f"--target: no column {quoted(asked.target)}", fix=fix)
        return _guess(asked.target, asked.why)
    small = {name.strip().lower() for name in rows.columns}
    certain = {*CERTAIN} - ({"y"} if {"x", "z"} & small else set())  # a coordinate among others
    named = [name for name in usable if name.strip().lower() in certain]
    if len(named) == 1:
        return _guess(named[0], "its name says so")
    likely = [name for name in usable if name.strip().lower().replace(" ", "_") in LIKELY]
    if not named and len(likely) == 1:
        return _guess(likely[0], "of all names, its is the one that is usually predicted")
    texts = [name for name in usable if _could_be_classes(rows[name])]
    if not named and not likely and len(texts) == 1 and usable[-1] == texts[0]:
        return _guess(texts[0], "the last column, and the only one that holds classes")
    candidates = named or likely or [*texts, *(name for name in reversed(usable) if name not in texts)]
    shown = " | ".join(candidates[:SHOWN]) + (" | …" if len(candidates) > SHOWN else "")
    raise ConfigError("which column is to be predicted? Nothing was written", fix=f"say --target {shown}")


def _could_be_classes(column: pd.Series) -> bool:
    return not (is_number(column) or pd.api.types.is_datetime64_any_dtype(column.dtype)) and (
        present(column).nunique() <= CLASSES
    )


def _guess(name: str, why: str) -> Guess:
    return Guess(what="target", column=name, guess="the target", evidence=why, override="--target COLUMN")


def kind_of(target: pd.Series, asked: Task | None) -> tuple[Task, str]:
    """Classification or regression, and why.

    Args:
        target: All rows of the column.
        asked: What the user said it is.

    Raises:
        DataRejected: A target that is neither.
    """
    name, values = str(target.name), present(target)
    distinct, told = values.nunique(), f"{values.nunique():,} distinct values in {len(values):,} rows"
    if distinct < 2:
        raise DataRejected(
            f"target {quoted(name)}: {told}; there is nothing to predict", fix="name another --target"
        )
    if pd.api.types.is_datetime64_any_dtype(target.dtype):
        raise DataRejected(f"target {quoted(name)} holds dates", fix="give the number that is meant")
    if asked == "regression" and not is_number(target):
        raise DataRejected(
            f"--task regression: target {quoted(name)} holds no numbers alone: {told}",
            fix="give a plain number in every row, or an empty field",
        )
    if asked is not None:
        return asked, f"you said so; {told}"
    if is_text(target) or not is_number(target):
        if distinct > MANY_CLASSES or (distinct > CLASSES and distinct > len(values) / 2):
            fix = "name another --target; a number must be a plain one in every row, or an empty field"
            raise DataRejected(f"target {quoted(name)} holds text: {told}, too many for classes", fix=fix)
        return "classification", f"text, {told}" if is_text(target) else f"true and false, {told}"
    if is_whole(target) and (distinct == 2 or distinct <= min(CLASSES, CLASS_SHARE * len(values))):
        return "classification", f"whole numbers, {told}"
    if distinct == 2:
        return "classification", told
    return "regression", f"numbers, {told}"
