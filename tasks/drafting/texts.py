"""A project from texts: a column of a table or of JSON lines, or a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import sources
from tasks.cleaning.reading import is_text
from tasks.config import Columns, TableSource, TextsSource
from tasks.dataset import TEXTUAL, Dataset
from tasks.drafting import columns, leaking, outcome, repairs, suite, tables
from tasks.drafting.guesses import Asked, Draft, Guess, flow

BESIDE = 2
"""Other columns to learn from, up to which a table with a free text is taken for texts."""

RARE_SCRIPT = 0.01
"""Share of the texts below which a script is a stray one."""


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


def draft(source: Mapping[str, Any], place: Path, text: str, asked: Asked, kind: Guess) -> Draft:
    """The project.

    Args:
        source: The section `source`.
        place: Where the data is.
        text: The column of texts.
        asked: What the user decided.
        kind: Why it was taken for texts.

    Raises:
        ConfigError: It can't be told which column is the target.
        DataError: A target that can't be learned, or a column that holds no texts.
    """
    section = TextsSource(**source) if source["kind"] == "texts" else TableSource(**source)
    loaded = sources.read(section, place.parent, None, Columns(text=text))
    rows = loaded.dataset.rows
    types = {name: kind for name, kind in loaded.schema.types.items() if name not in TEXTUAL}
    official = place.is_dir() and "part" in rows
    others = rows.drop(columns=[text, *TEXTUAL, *(["part"] if official else [])])
    seen = tables.look(others, asked)
    judged = outcome.of(rows[seen.target], seen.task)
    blank = int((rows[text].fillna("").str.strip() == "").sum())
    data = Dataset(rows.dropna(subset=[text, seen.target]).drop_duplicates([text, seen.target]))
    near, alike = leaking.alike(data, [], text=text)
    rungs = ("logistic", "bayes", "svm", "ngrams") if judged.classes else ("ridge",)
    words = rows["text_tokens"].median()
    told = f"{words:.0f} words in the median, {len(rows):,} rows"
    said = Guess(what="columns.text", column=text, guess="the only feature", evidence=told)
    trims = repairs.find(others, [seen.target], seen.target)
    return Draft(
        tree={
            "task": seen.task,
            "source": dict(source),
            "target": seen.target,
            "columns": {"types": types, "text": text},
            "validate": {"quarantine": outcome.raised(judged.quarantine, blank, len(rows))},
            "clean": (*repairs.operations(trims), {"normalise": (text,)}),
            "split": _split(judged, official) | {"max_near_duplicates": near},
            "network": {"kind": "wide"},
            "fit": _fit(judged),
            "presets": {
                "quick": {"fit": {"epochs": 2, "refit": False}},
                "best": {"network": {"kind": "wide_deep"}},
            },
            **outcome.bar(judged, rungs),
        },
        guesses=(
            kind,
            *seen.guesses,
            said,
            *repairs.guesses(trims),
            *judged.guesses,
            *_official(official),
            *alike,
            *_beside(seen),
        ),
        expectations=(
            suite.size(len(rows)),
            suite.complete(seen.target),
            *judged.expectations,
            suite.complete(text, "A row without a text teaches nothing."),
            *_described(rows),
        ),
        rows=len(rows),
        facts=(
            ("Features", f"the texts of `{text}`"),
            ("Unused", f"{len(others.columns) - 1} other columns"),
        ),
    )


def _split(judged: outcome.Outcome, official: bool) -> dict[str, Any]:
    return {"strategy": "column", "column": "part"} if official else {"strategy": judged.split}


def _official(there: bool) -> tuple[Guess, ...]:
    told = "folders for train and test around the class folders; validation is carved from train"
    override = "split={strategy: stratified}"
    return (Guess(what="split", guess="as it is dealt", evidence=told, override=override),) if there else ()


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
            override=f"split={flow({'strategy': 'group', 'column': name})}",
            open=True,
        )
        for name in seen.rows.columns
        if name != seen.target and _may_be_group(seen.rows[name])
    ]


def _may_be_group(column: pd.Series) -> bool:
    named = is_text(column) or columns.looks_like_group(str(column.name))
    return named and 20 < column.nunique() <= column.notna().sum() / 2


def _described(rows: pd.DataFrame) -> list[suite.Expectation]:
    """What describes a text: how long it is, its script, and whether there is a word in it."""
    most, scripts = int(rows["text_tokens"].max()), rows["text_script"].value_counts(normalize=True)
    usual = sorted(map(str, scripts[scripts >= RARE_SCRIPT].index))
    long = f"At most {most:,} words in the data, and three times as many."
    kept: list[tuple[str, str, dict[str, Any]]] = [
        ("between", long, {"column": "text_tokens", "min_value": 0, "max_value": 3 * max(1, most)}),
        ("in_set", "Scripts of the data.", {"column": "text_script", "value_set": usual, "mostly": 0.9}),
        ("in_set", "A text without a word.", {"column": "text_empty", "value_set": [False], "mostly": 0.95}),
    ]
    return [
        suite.expectation(f"column_values_to_be_{rule}", "warning", notes, **arguments)
        for rule, notes, arguments in kept
    ]
