"""A stored model on new labelled rows: how good it is on what it never learned from, and how sure that is.

The rows come raw, as the source gives them. What the model learned from is left out, since it would
flatter it; what it can't read is counted; a label that it does not know counts as a wrong answer,
because for whoever uses the model it is one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import features
from tasks.checks import prechecks
from tasks.cleaning import operations
from tasks.config import METRICS, Columns
from tasks.dataset import Dataset
from tasks.errors import DataRejected, did_you_mean, quoted
from tasks.features import Schema
from tasks.features.schema import series
from tasks.ladder import comparison, metrics
from tasks.learning import scoring
from tasks.own.extension import short
from tasks.predictions import Predictions
from tasks.wording import listed

NAN = float("nan")
SHOWN = 5
"""Reasons, or unknown labels, that one note lists."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric on the scored rows with its 95 % interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What a model is worth on new rows; read = rows + seen + bad + dropped.

    Attributes:
        read: Rows that came in.
        rows: Rows that were scored.
        seen: Rows that the model learned from.
        bad: Rows without a readable target, or with a value that the model can't read.
        dropped: Rows that the model's own cleaning (`keep`) leaves out.
        unknown: Scored rows whose label the model does not know.
        metrics: Every metric of the task.
        notes: What a reader of the numbers has to be told.
    """

    read: int
    rows: int
    seen: int
    bad: int
    dropped: int
    unknown: int
    metrics: dict[str, Measure]
    notes: tuple[str, ...]


def columns_of(manifest: Mapping[str, Any]) -> Columns:
    """Return how a source has to be read for a model: by the types that it was trained with."""
    named = [*(manifest["columns"] or ()), *manifest["identity"]]
    return Columns(types={column["name"]: column["type"] for column in named})


def score_fresh(
    folder: Path,
    data: Dataset,
    seed: int,
    also: Sequence[str] = (),
    unread: Mapping[int, str] | None = None,
) -> Fresh:
    """Scores the bundle in `folder` on raw labelled rows; nothing is written anywhere.

    Args:
        folder: The bundle of a version.
        data: Raw rows with the target, or images with their labels, best read with `columns_of`.
        seed: Of the resamples.
        also: Metrics of a project's own, besides those of the task.
        unread: Ids of rows that the source could not read, each with the reason.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
        DataRejected: The target or a column is missing, no row can be read, or all labels are unknown.
    """
    model = scoring.load(folder)
    target, kind = model.manifest["target"], model.manifest["task"]
    if target not in data.rows.columns:
        fix = did_you_mean(target, map(str, data.rows.columns))
        raise DataRejected(f"no column {quoted(target)}, which the model predicts", fix=fix)
    bad = _check(data, target, unread)
    numbered = Dataset(data.rows.reset_index(drop=True), data.pixels)
    truth, outside, unreadable = _truth(numbered.rows, model)
    given = numbered.rows.drop(columns=target) if numbered.pixels is None else np.asarray(numbered.pixels)
    answers, unanswered = model.predict_each(given)
    bad = {**unanswered, **unreadable, **bad}
    is_bad = _mask(bad, len(data))
    if is_bad.all():
        raise DataRejected(f"none of the {len(data):,} rows can be scored: {_most(list(bad.values()))}")
    seen = model.has_seen(numbered.rows) & ~is_bad
    dropped = outside & ~is_bad & ~seen
    scored = ~(is_bad | seen | dropped)
    labels, known = _labels(truth[scored], model.manifest["classes"], kind)
    if len(labels) and not known.any():
        raise DataRejected(
            f"the model knows none of the labels, such as {quoted(str(labels[0]))}: it has another target",
            fix="name data of the same target",
        )
    measures = _measure(tuple(dict.fromkeys([*METRICS[kind], *also])), labels, answers.take(scored), seed)
    notes = _notes(bad, int(dropped.sum()), int(seen.sum()), len(data), labels, known)
    if answers.unfamiliar:
        strange = ", ".join(f"{quoted(name)} {count:,}" for name, count in answers.unfamiliar.items())
        notes += (
            f"values unlike any in training (new categories, or gaps where there were none): {strange}",
        )
    return Fresh(
        read=len(data),
        rows=int(scored.sum()),
        seen=int(seen.sum()),
        bad=len(bad),
        dropped=int(dropped.sum()),
        unknown=int((~known).sum()),
        notes=notes + _undefined(measures if len(labels) else {}),
        metrics=measures,
    )


def _check(data: Dataset, target: str, unread: Mapping[int, str] | None) -> dict[int, str]:
    """Return rows that can't be scored, by position; raise DataRejected where no row has a target."""
    missing = data.rows[target].isna().to_numpy()
    if missing.all():
        raise DataRejected(prechecks.no_target(target, len(data)).message)
    bad = dict.fromkeys(np.flatnonzero(missing).tolist(), f"{target}: target missing")
    at = data.rows.index.get_indexer(pd.Index(list(unread or {})))
    return {**bad, **dict(zip(at.tolist(), (unread or {}).values(), strict=True))}


def _truth(rows: pd.DataFrame, model: scoring.Scorer) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """The target as the model's cleaning leaves it (n,), which rows (n,) that drops, and unreadable ones."""
    manifest, target = model.manifest, model.manifest["target"]
    types = {c["name"]: c["type"] for c in (*(manifest["columns"] or ()), *manifest["identity"])}
    read, bad = rows.copy(deep=False), {}
    for name in types.keys() & set(rows.columns):
        found = features.read(rows[name], features.TYPES[types[name]])
        read[name] = series(found.values)
        if name == target:
            bad = Schema({name: types[name]}).reasons({name: found.unreadable})
    applied = operations.apply(read, manifest["clean"], optional=manifest["unused"], hidden=(target,))
    cleaned = applied.rows[target]
    bad |= {int(row): reason for row, reason in applied.bad.items()}
    bad |= {int(row): f"{target}: target missing" for row in np.flatnonzero(cleaned.isna()) if row not in bad}
    truth = cleaned.astype(object).to_numpy()
    return truth, _mask(dict.fromkeys(applied.dropped, ""), len(rows)), bad


def _labels(truth: np.ndarray, classes: list[Any] | None, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth (n,) as metrics take it, labels in the type of the model's own, and which (n,) it knows."""
    if kind == "regression" or classes is None:
        return truth.astype(np.float64), np.ones(len(truth), dtype=bool)
    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(truth, dtype=object))
    own = np.asarray(classes, dtype=object)[codes]
    known = codes >= 0
    return np.where(known, own, truth), known


def _measure(
    names: tuple[str, ...], truth: np.ndarray, answers: Predictions, seed: int
) -> dict[str, Measure]:
    if not len(truth):
        return {short(name): Measure(value=NAN, low=NAN, high=NAN) for name in names}
    drawn = comparison.resample(names, truth, {"model": answers}, seed)["model"]  # one pass over the rows
    found = {}
    for name in names:
        low, high = comparison.interval_of(name, truth, answers, drawn[name])
        found[short(name)] = Measure(value=metrics.compute(name, truth, answers), low=low, high=high)
    return found


def _undefined(measures: Mapping[str, Measure]) -> tuple[str, ...]:
    names = [name for name, measure in measures.items() if math.isnan(measure.value)]
    return (f"undefined on these rows: {listed(names)}",) if names else ()


def _mask(rows: Mapping[Any, str], count: int) -> np.ndarray:
    marked = np.zeros(count, dtype=bool)
    marked[[int(row) for row in rows]] = True
    return marked


def _most(reasons: list[str]) -> str:
    return "; ".join(f"{reason}: {count:,} rows" for reason, count in Counter(reasons).most_common(SHOWN))


def _notes(
    bad: Mapping[int, str], dropped: int, seen: int, read: int, labels: np.ndarray, known: np.ndarray
) -> tuple[str, ...]:
    notes = []
    if seen:
        notes.append(f"the model learned from {seen:,} of the {read:,} rows; they were left out")
    if bad:
        notes.append(f"{len(bad):,} rows can't be scored: {_most(list(bad.values()))}")
    if dropped:
        notes.append(f"{dropped:,} rows lie outside the limits of the model's cleaning; they were left out")
    if not len(labels):
        notes.append("no row is left to score: every metric is undefined")
    elif len(labels) < comparison.FEW_ROWS:
        notes.append(
            f"{len(labels)} rows are too few for a verdict (intervals are trusted from "
            f"{comparison.FEW_ROWS} rows on)"
        )
    if not known.all():
        strange = Counter(map(str, labels[~known])).most_common(SHOWN)
        named = ", ".join(f"{quoted(label)} ({count:,})" for label, count in strange)
        notes.append(f"labels that the model does not know count as wrong answers: {named}")
    return tuple(notes)
