"""Reads what lies at a path and drafts a project from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks import sources
from tasks.config import Columns, TableSource, TextsSource
from tasks.drafting import finding, pictures, tables, texts
from tasks.drafting.guesses import Asked, Draft, Guess
from tasks.errors import ConfigError, quoted
from tasks.tables import rowgroups


def draft(place: Path, asked: Asked) -> Draft:
    """A project for the data at `place`; nothing is written.

    Args:
        place: A table, IDX files, pictures or texts.
        asked: What the user decided.

    Raises:
        ConfigError: One decision is missing; the message names it and its candidates.
        DataError, ResourceLimit, UnsafeInput: The data can't be read, or can't teach anything.
    """
    kind, why = finding.kind_of(place)
    if kind in ("idx", "images"):
        _only_label(asked)
        return pictures.draft(finding.source(kind, place), place, finding.guess(kind, why))
    if kind == "texts":
        return _of_texts(place, asked, finding.guess(kind, why))
    return _of_table(place, asked, why)


def _of_table(place: Path, asked: Asked, why: str) -> Draft:
    """A table may list pictures, or hold texts; else it is one of numbers and categories."""
    source = finding.source("table", place)
    loaded = sources.read(TableSource(**source), place.parent, None, Columns())
    rows = loaded.dataset.rows
    listed = finding.picture_column(rows, place.parent)
    if listed is not None:
        said = finding.guess("images", f"column {quoted(listed)} lists pictures that lie beside it")
        label = tables.choose_label(rows.drop(columns=listed), asked)
        section = {**finding.source("images", place), "file": listed, "label": label.column}
        return _with(pictures.draft(section, place, said), label)
    column = asked.text or texts.column(rows, asked.target)
    if column is not None:
        told = "you named their column" if asked.text else "one column holds free text, with little beside it"
        return texts.draft(source, place, column, asked, finding.guess("texts", told))
    beyond = rowgroups.is_beyond(TableSource(**source), place.parent, Columns())
    made = tables.draft(loaded, source, asked, beyond=beyond)
    return _with(made, finding.guess("table", f"{why}, {len(rows):,} rows"))


def _of_texts(place: Path, asked: Asked, said: Guess) -> Draft:
    source = finding.source("texts", place)
    if place.is_dir():
        _only_label(asked)
        return texts.draft(
            source, place, "text", Asked("label", asked.task, why="the name of each folder"), said
        )
    rows = sources.read(TextsSource(**source), place.parent, None, Columns()).dataset.rows
    column = asked.text or texts.column(rows, asked.target, alone=True)
    if column is None:
        candidates = " | ".join(map(str, rows.columns[:8]))
        raise ConfigError("which column holds the texts? Nothing was written", fix=f"say --text {candidates}")
    return texts.draft(source, place, column, asked, said)


def _only_label(asked: Asked) -> None:
    if asked.target not in (None, "label"):
        raise ConfigError(
            f"--target {quoted(asked.target or '')}: what is predicted is the folder's name, called 'label'",
            fix="leave --target out, or list the files in a table with that column",
        )


def _with(draft: Draft, guess: Guess) -> Draft:
    return replace(draft, guesses=(guess, *draft.guesses))
