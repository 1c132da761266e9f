"""A project from texts: a column of a table or of JSON lines, or a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import sources
from tasks.config import Columns, TextsSource
from tasks.drafting import columns, outcome, suite, tables
from tasks.drafting.guesses import Asked, Draft, Guess

BESIDE = 2
"""Other columns to learn from, up to which a table with a free text is taken for texts."""


def read(source: Mapping[str, Any], place: Path, text: str | None) -> pd.DataFrame:
    """The raw rows of a source of texts."""
    return sources.read(TextsSource(**source), place.parent, None, Columns(text=text)).dataset.rows


def column(rows: pd.DataFrame, target: str | None, *, alone: bool = False) -> str | None:
    """The one column of free text, unless there is much else to learn from.

    Args:
        rows: The raw rows.
        target: The target that the user named, if any; no text.
        alone: Whether texts are what the source holds, whatever else is there.
    """
    found = columns.find(rows, [name for name in rows.columns if name != target])
    written = [f.name for f in found if f.role == "text"]
    others = sum(f.role == "feature" for f in found) - (target is None)
    return written[0] if len(written) == 1 and (alone or others <= BESIDE) else None


def reason(rows: pd.DataFrame, name: str) -> str:
    """Why a table was taken for texts."""
    words = float(rows[name].dropna().head(1000).str.split().str.len().median())
    return f"column {name!r} holds free text, {words:.0f} words in the median, and there is little else"


def draft(rows: pd.DataFrame, source: Mapping[str, Any], text: str, asked: Asked, kind: Guess) -> Draft:
    """The project.

    Args:
        rows: The raw rows.
        source: The section `source`.
        text: The column of texts.
        asked: What the user decided.
        kind: Why it was taken for texts.

    Raises:
        ConfigError: It can't be told which column is the target.
        DataRejected: A target that can't be learned.
    """
    others = rows.drop(columns=[text, *(name for name in rows.columns if name.startswith("text_"))])
    seen = tables.look(others, asked)
    judged = outcome.of(rows[seen.target], seen.task)
    blank = int((rows[text].fillna("").str.strip() == "").sum())
    rungs = ("bayes", "logistic", "svm", "ngrams") if judged.classes else ("ridge",)
    said = Guess(what="columns.text", column=text, guess="the only feature", evidence=kind.evidence)
    trims = columns.cleaning(others, [seen.target], seen.target)
    return Draft(
        tree={
            "task": seen.task,
            "source": dict(source),
            "target": seen.target,
            "columns": {"text": text},
            "validate": {"quarantine": _budget(judged.quarantine, blank, len(rows))},
            "clean": (*trims.operations, {"normalise": (text,)}),
            "split": {"strategy": judged.split},
            "network": {"kind": "wide"},
            "fit": _fit(judged),
            **outcome.bar(judged, rungs),
        },
        guesses=(kind, *seen.guesses, said, *trims.guesses, *judged.guesses, *_beside(seen)),
        expectations=(
            suite.size(len(rows)),
            suite.complete(seen.target),
            *judged.expectations,
            *_described(rows[text], text),
        ),
        rows=len(rows),
        facts=(
            ("Features", f"the texts of `{text}`"),
            ("Other columns", f"{len(others.columns) - 1}, unused"),
        ),
    )


def _budget(share: float, blank: int, rows: int) -> float:
    return min(0.99, round(share + (-(-100 * blank // rows)) / 100, 2))


def _fit(judged: outcome.Outcome) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "epochs": 6,
        "batch_size": 64,
        "learning_rate": 0.003,
        "schedule": "one_cycle",
        "refit": True,
    }
    if judged.classes:  # steadier than accuracy at picking the epoch
        settings["metric"] = "log_loss"
    return settings | ({"class_weights": "balanced"} if judged.balanced else {})


def _beside(seen: tables.Seen) -> list[Guess]:
    """Questions about columns that are not read, and whose rows may belong together."""
    told = "its values come again; if texts of one value are alike, keep them in one part"
    return [
        Guess(
            what="split",
            column=name,
            guess="texts are dealt one by one",
            evidence=told,
            override=f'split={{strategy: group, column: "{name}"}}',
            open=True,
        )
        for name in seen.rows.columns
        if name != seen.target and _comes_again(seen.rows[name])
    ]


def _comes_again(column: pd.Series) -> bool:
    distinct = column.nunique()
    return 20 < distinct <= column.notna().sum() / 2


def _described(texts: pd.Series, name: str) -> list[suite.Expectation]:
    """What describes a text: how long it is, and whether anything is in it."""
    words = texts.fillna("").str.split().str.len().rename("text_tokens")
    most = int(3 * max(1, words.max()))
    notes = f"{words.min()} to {words.max()} words between spaces in the data, and three times as many."
    return [
        suite.complete(name, "A row without a text teaches nothing."),
        suite.expectation(
            "column_values_to_be_between", "warning", notes, column="text_tokens", min_value=0, max_value=most
        ),
        suite.expectation(
            "column_values_to_be_in_set",
            "warning",
            "Texts that hold no word.",
            column="text_empty",
            value_set=[False],
            mostly=0.95,
        ),
    ]
