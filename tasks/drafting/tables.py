"""A project from a table of numbers and categories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.cleaning.operations import apply
from tasks.config import Task
from tasks.dataset import Dataset
from tasks.drafting import columns, leaking, outcome, repairs, suite, target
from tasks.drafting.columns import Finding
from tasks.drafting.guesses import Asked, Draft, Guess, flow
from tasks.errors import DataRejected
from tasks.sources import Loaded

NULL_SHARE = 0.6
LEAST_ROWS = 30
"""Fewer rows leave too few to test on."""
FEW_ROWS = 2_000
"""With fewer rows most of what can be learned is linear, and quantiles are mostly noise."""
MANY_ROWS = 20_000
"""With as many rows width pays, and nothing needs to be dropped."""
BUDGET = {"epochs": 30, "max_examples": 1_500_000}
LONG = {"epochs": 45, "max_examples": 2_000_000}
"""How long a number is learned from many rows: on diamonds that saves 0.5 to 0.8 % of RMSLE, and up to 0.6 %
of MAE. Classes would be learned by heart."""


@dataclass(frozen=True)
class Seen:
    """A table, its target chosen and its columns sorted."""

    rows: pd.DataFrame
    target: str
    task: Task
    features: tuple[str, ...]
    dropped: tuple[str, ...]
    found: tuple[Finding, ...]
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class Ready:
    """A table with its useless columns, its bad rows and its leaks told.

    Attributes:
        seen: Target and columns.
        judged: What the target asks for.
        cleaned: The rows that go on.
        features: Columns that are learned from.
        dropped: The others, less the target.
        operations: The section `clean`.
        quarantine: Share of rows that may be set aside.
        near: Share of rows that may be nearly the same as another.
        guesses: All that is said.
    """

    seen: Seen
    judged: outcome.Outcome
    cleaned: pd.DataFrame
    features: tuple[str, ...]
    dropped: tuple[str, ...]
    operations: tuple[dict[str, Any], ...]
    quarantine: float
    near: float
    guesses: tuple[Guess, ...]


def draft(loaded: Loaded, source: Mapping[str, Any], asked: Asked, *, beyond: bool = False) -> Draft:
    """Draft the project.

    Args:
        loaded: The raw rows and their schema, which becomes a rule.
        source: The section `source`.
        asked: What the user decided.
        beyond: Whether a run will read the table in pieces, so that no member holds out rows of its own.

    Raises:
        ConfigError: It can't be told which column is the target.
        DataRejected: No feature is left, too few rows, or a target that can't be learned.
    """
    rows = loaded.dataset.rows
    ready = prepare(rows, look(rows, asked), loaded.unreadable)
    seen, judged, features = ready.seen, ready.judged, ready.features
    numbers = sum(columns.is_number(ready.cleaned[name]) for name in features)
    long = len(rows) >= MANY_ROWS and not judged.classes
    soon = {"bagging": False, **(BUDGET if long else {})}
    return Draft(
        tree={
            "task": seen.task,
            "source": dict(source),
            "target": seen.target,
            "columns": {"types": dict(loaded.schema.types), "drop": ready.dropped},
            "validate": {"quarantine": ready.quarantine, "null_share": NULL_SHARE},
            "clean": ready.operations,
            "split": {"strategy": judged.split, "max_near_duplicates": ready.near},
            "encode": {"numeric": "standard" if len(rows) < FEW_ROWS else "quantile"},
            "network": _network(len(rows), numbers),
            "fit": _fit(len(rows), judged, long=long, beyond=beyond),
            "presets": {
                "quick": {"network": {"members": 1}, "fit": soon},
                "best": {"network": {"members": 10}},
            },
            **outcome.bar(judged, ("logistic", "boosting") if judged.classes else ("ridge", "boosting")),
        },
        guesses=(*ready.guesses, *_doubts(loaded)),
        expectations=(
            suite.size(len(rows)),
            suite.complete(seen.target),
            *judged.expectations,
            *suite.of_table(rows, features, seen.target),
        ),
        rows=len(rows),
        facts=(
            ("Features", f"{numbers} numbers or dates, {len(features) - numbers} categories"),
            ("Left out", ", ".join(f"`{name}`" for name in ready.dropped) or "nothing"),
        ),
    )


def prepare(rows: pd.DataFrame, seen: Seen, unreadable: Mapping[str, np.ndarray]) -> Ready:
    """Look at what the columns hold, and at the rows that the split will assign."""
    if len(rows) < LEAST_ROWS:
        raise DataRejected(f"{len(rows)} rows; {LEAST_ROWS} or more are needed", fix="give more rows")
    judged = outcome.of(rows[seen.target], seen.task)
    needed = repairs.find(rows, (*seen.features, seen.target), seen.target)
    operations = repairs.operations(needed)
    cleaned = apply(rows, operations).rows
    strange = [name for name in (*seen.features, seen.target) if name in unreadable]
    bad = np.any([np.zeros(len(rows), bool), *(unreadable[name] for name in strange)], axis=0)
    cleaned = cleaned[~bad]
    leaks = leaking.telltales(cleaned, seen.features, seen.target, seen.task)
    features = tuple(name for name in seen.features if name not in {leak.column for leak in leaks})
    dropped = (*seen.dropped, *(str(leak.column) for leak in leaks))
    out = (*_drops(seen, dropped), *(_with_override(leak, dropped) for leak in leaks))
    if not features:
        told = "; ".join(guess.line for guess in out)
        raise DataRejected(f"no column is left to learn from: {told}", fix="give a table with features")
    dealt = cleaned.dropna(subset=[seen.target]).drop_duplicates()
    near, alike = leaking.alike(Dataset(dealt), [*features, seen.target])
    return Ready(
        seen,
        judged,
        cleaned,
        features,
        dropped,
        operations,
        outcome.raised(judged.quarantine, int(bad.sum()), len(rows)),
        near,
        guesses=(
            *seen.guesses,
            *out,
            *repairs.guesses(needed),
            *_notes(cleaned, features, dropped),
            *judged.guesses,
            *outcome.unreadable(strange, int(bad.sum())),
            *alike,
            *_groups(seen),
            *_times(cleaned, features),
        ),
    )


def look(rows: pd.DataFrame, asked: Asked) -> Seen:
    """Chooses the target and sorts the other columns."""
    found = columns.find(rows, [name for name in rows.columns if name != asked.target])
    usable = [f.name for f in found if f.role == "feature"]
    chosen = target.choose(rows, asked, usable)
    name = str(chosen.column)
    task, why = target.kind_of(rows[name], asked.task)
    kinds = [other for other in ("classification", "regression") if other != task]
    guesses = (chosen, Guess(what="task", guess=task, evidence=why, override=f"--task {kinds[0]}"))
    others = tuple(f for f in found if f.name != name)
    features = tuple(f.name for f in others if f.role == "feature")
    dropped = tuple(f.name for f in others if f.role != "feature")
    return Seen(rows, name, task, features, dropped, others, guesses)


def choose_label(rows: pd.DataFrame, asked: Asked) -> Guess:
    """The column of labels in a list of pictures."""
    found = columns.find(rows, [name for name in rows.columns if name != asked.target])
    return target.choose(rows, asked, [f.name for f in found if f.role == "feature"])


def _doubts(loaded: Loaded) -> list[Guess]:
    """Say what the reader left out."""
    left = [finding.message for finding in loaded.findings if finding.rule == "index column"]
    return [Guess(what="source", guess="an index is left out", evidence=message) for message in left]


def _drops(seen: Seen, dropped: Sequence[str]) -> list[Guess]:
    """One guess for each column that is left out by what it is."""
    made = (
        Guess(what="columns.drop", column=f.name, guess=f.guess, evidence=f.evidence)
        for f in seen.found
        if f.role != "feature"
    )
    return [_with_override(guess, dropped) for guess in made]


def _with_override(guess: Guess, dropped: Sequence[str]) -> Guess:
    """The same with the setting that takes the column back."""
    others = [name for name in dropped if name != guess.column]
    return Guess(**{**vars(guess), "override": f"columns.drop={flow(others)}"})


def _notes(rows: pd.DataFrame, features: Sequence[str], dropped: Sequence[str]) -> list[Guess]:
    """What is worth saying about columns that are learned from."""
    said: list[Guess] = []
    for name in features:
        column, out = rows[name], f"columns.drop={flow([*dropped, name])}"
        gaps = float(column.isna().mean())
        if gaps > NULL_SHARE:
            told = f"{gaps:.0%} of the values are missing; a column of its own tells the network where"
            said.append(_note(name, "kept", told, out, is_open=True))
        if pd.api.types.is_datetime64_any_dtype(column.dtype):
            told = f"dates from {column.min():%Y-%m-%d} to {column.max():%Y-%m-%d}, read as days"
            said.append(_note(name, "a number", told, out))
        elif pd.api.types.is_bool_dtype(column.dtype):
            said.append(_note(name, "a category", "true and false", f"columns.numeric={flow([name])}"))
        elif columns.is_coded(column):
            told = f"{column.nunique()} whole numbers, which have an order; if they are codes, say so"
            said.append(_note(name, "a number", told, f"columns.categorical={flow([name])}"))
    return said


def _note(name: str, guess: str, told: str, override: str, *, is_open: bool = False) -> Guess:
    return Guess(what="columns", column=name, guess=guess, evidence=told, override=override, open=is_open)


def _groups(seen: Seen) -> list[Guess]:
    """Questions about columns whose rows may belong together."""
    told = "are its rows alike? then keep each group in one part, else the scores are too good"
    return [
        Guess(
            what="split",
            column=f.name,
            guess="rows are dealt one by one",
            evidence=told,
            override=f"split={flow({'strategy': 'group', 'column': f.name})}",
            open=True,
        )
        for f in seen.found
        if f.role == "group"
    ]


def _times(rows: pd.DataFrame, features: Sequence[str]) -> list[Guess]:
    """A question about dates that may say when a row was observed."""
    told = (
        "if it is when a row was observed, and later rows are to be predicted from earlier ones, split by it"
    )
    return [
        Guess(
            what="split",
            column=name,
            guess="rows are dealt whatever their date",
            evidence=told,
            override=f"split={flow({'strategy': 'time', 'column': name})}",
            open=True,
        )
        for name in features
        if pd.api.types.is_datetime64_any_dtype(rows[name].dtype) and rows[name].nunique() >= len(rows) / 20
    ]


# --- network and training: by the number of rows and columns alone -----------------------------------


def _network(rows: int, numbers: int) -> dict[str, Any]:
    """Several networks side by side: small ones beside a linear model, or with bins where rows fill them."""
    members = 5 if rows < 200_000 else 1
    if rows < FEW_ROWS:
        return {"kind": "mlp", "hidden": (64, 64), "dropout": 0.1, "members": members, "linear": True}
    many = rows >= MANY_ROWS
    bins = {"bins": 48 if many else 32, "bin_width": 16 if many else 4} if numbers <= 200 else {}
    return {
        "kind": "mlp",
        "hidden": (512, 512, 512) if many else (256, 256),
        "dropout": 0.0 if many else 0.2,
        "members": members,
        **bins,
        "embedding": 8 if many else 4,
    }


def _fit(rows: int, judged: outcome.Outcome, *, long: bool, beyond: bool) -> dict[str, Any]:
    """Small data: small batches, many epochs; large data: a budget of examples."""
    batch = int(np.clip(2 ** round(math.log2(max(rows, 2) / 40)), 16, 256))
    few = {"epochs": int(np.clip(40_000 // rows, 20, 60))} if rows < FEW_ROWS else {}
    return {
        **(LONG if long else BUDGET),
        **few,
        "batch_size": batch,
        "learning_rate": 0.002,
        "weight_decay": 0.3 if rows < FEW_ROWS else 0.1 if rows < MANY_ROWS else 0.01,
        "schedule": "cosine",
        "bagging": rows < 200_000 and not beyond,
        "metric": "log_loss" if judged.classes else None,  # steadier than accuracy at picking the epoch
        "class_weights": "balanced" if judged.balanced else "none",
    }
