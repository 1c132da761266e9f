"""What cleaning has to do: texts that mean 'missing', numbers and dates that were read as text, padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tasks.cleaning.reading import DECIMAL, is_text
from tasks.drafting.guesses import Guess, flow

MARKS = ("?", "NA", "N/A", "n/a", "na", "NaN", "nan", "NULL", "null", "#N/A", "")
"""Texts that mean 'missing' wherever they stand alone."""

NUMBER_MARKS = (*MARKS, "None", "none", "-", "--", ".", "unknown", "Unknown")
"""Texts that mean 'missing' where every other value is a number."""

_MOMENT = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?"
_CODE = r"0\d+"


@dataclass(frozen=True)
class Repair:
    """What one column of text needs.

    Attributes:
        column: Its name.
        trim: Whether there are spaces around a value, or double ones within.
        marks: Texts that mean 'missing'.
        kind: What it is read as, where that is not text.
        marked: Rows that hold a mark.
    """

    column: str
    trim: bool = False
    marks: tuple[str, ...] = ()
    kind: str | None = None
    marked: int = 0


def find(rows: pd.DataFrame, names: Iterable[str], target: str) -> list[Repair]:
    """A repair for each of the columns that need one; the target is only trimmed."""
    found = (_find(rows[name], name == target) for name in names if is_text(rows[name]))
    return [repair for repair in found if repair.trim or repair.marks or repair.kind]


def _find(column: pd.Series, is_target: bool) -> Repair:
    values = column.dropna()
    tidy = values.str.split().str.join(" ")
    found = Repair(str(column.name), trim=bool((values != tidy).any()))
    if is_target:
        return found
    kind = reads_as(tidy)
    marks = _marks(tidy, NUMBER_MARKS if kind == "number" else MARKS)
    return replace(found, kind=kind, marks=marks, marked=int(tidy.isin(marks).sum()))


def reads_as(values: pd.Series) -> str | None:
    """`date` or `number`, where every text is one (numbers: but for marks); 007 is a code, not a number."""
    if len(values) and values.str.fullmatch(_MOMENT).all():
        return "date"
    others = values[~values.isin(NUMBER_MARKS)].drop_duplicates()
    numeric = len(others) > 0 and others.str.fullmatch(DECIMAL).all()
    return "number" if numeric and not others.str.fullmatch(_CODE).any() else None


def _marks(values: pd.Series, known: Sequence[str]) -> tuple[str, ...]:
    there = set(values.unique())
    return tuple(mark for mark in known if mark in there)


def operations(repairs: Sequence[Repair]) -> tuple[dict[str, Any], ...]:
    """The section `clean`."""
    trim = tuple(repair.column for repair in repairs if repair.trim)
    missing = {repair.column: repair.marks for repair in repairs if repair.marks}
    types = {repair.column: repair.kind for repair in repairs if repair.kind}
    every = ({"trim": trim}, {"missing": missing}, {"types": types})
    return tuple(operation for operation in every if all(operation.values()))


def guesses(repairs: Sequence[Repair]) -> list[Guess]:
    """One for each thing that is done to a column."""
    said: list[Guess] = []
    for repair in repairs:
        others = [other for other in repairs if other is not repair]
        if repair.trim:
            told = "spaces around some values, or double ones within"
            kept = operations([*others, replace(repair, trim=False)])
            said.append(_guess(repair, "trimmed", told, kept))
        if repair.marks or repair.kind:
            kept = operations([*others, replace(repair, marks=(), kind=None)])
            said.append(_guess(repair, *_reading(repair), kept))
    return said


def _reading(repair: Repair) -> tuple[str, str]:
    marks = f"{', '.join(map(repr, repair.marks))} in {repair.marked:,} rows" if repair.marks else ""
    if repair.kind == "number":
        others = "every other value is a number" if marks else "every value is a number, some of them padded"
        return "read as numbers" + (" with gaps" if marks else ""), f"{marks}, {others}" if marks else others
    if repair.kind == "date":
        return "read as dates", "every value is one, with its time zone"
    return "read as gaps", marks


def _guess(repair: Repair, guess: str, told: str, kept: Sequence[dict[str, Any]]) -> Guess:
    return Guess(
        what="clean", column=repair.column, guess=guess, evidence=told, override=f"clean={flow(list(kept))}"
    )
