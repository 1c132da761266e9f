"""What a report shows of the records: the ladder, the slices and the training, in figures and words."""

from __future__ import annotations

import base64
import re
from math import ceil, isfinite, nan
from typing import Any

from markupsafe import Markup, escape

from tasks import wording
from tasks.config import Config, Limit
from tasks.own.extension import short
from tasks.records import EvaluateRecord, FitRecord, Score, Verdict
from tasks.reports import plots

EPOCHS = 100
"""Most lines of the table of epochs."""
NOTABLE = 0.02
"""A validation loss that rises by a smaller share than this is called noise, not overfitting."""
SLICES = 30
"""Most slices of a column that are drawn; the table has all."""
RUNGS = {
    "majority": "always the most frequent class",
    "median": "always the median of the train rows",
    "logistic": "logistic regression",
    "ridge": "ridge regression",
    "bayes": "naive Bayes on the words that occur",
    "boosting": "gradient boosting of trees",
    "svm": "support vector machine",
    "ngrams": "sum of a linear SVM and naive Bayes on n-grams",
    "champion": "the present champion, scored anew",
    "candidate": "the network of this run",
}
STOPPED = {
    "epochs": "all planned epochs were trained",
    "early": "the validation metric no longer improved",
    "minutes": "the time budget was spent",
}


def candidate_of(record: EvaluateRecord | None) -> Score | None:
    """The candidate's rung, where there is one."""
    return next((score for score in record.scores if score.name == "candidate"), None) if record else None


def ladder(record: EvaluateRecord) -> dict[str, Any]:
    """Rungs from the best to the worst, each with its verdict and what it is, and their dot plot.

    What was judged on fewer rows stands below the others: its score can't be compared with theirs.
    """
    sign = -1 if record.higher_is_better else 1
    scores = sorted(
        record.scores,
        key=lambda s: (not isfinite(s.value), s in record.fewer, sign * s.value if isfinite(s.value) else 0),
    )
    names = {s.name: f"{s.name} ({s.rows:,} rows)" if s in record.fewer else s.name for s in scores}
    verdicts = {verdict.against: verdict for verdict in record.verdicts}
    reference = candidate_of(record) or scores[0]
    places = wording.decimals(reference.value, reference.low, reference.high)
    metrics = list(dict.fromkeys(name for score in scores for name in score.metrics))
    dots = tuple(plots.Dot(names[s.name], s.value, s.low, s.high, s.name == "candidate") for s in scores)
    gaps = tuple(_gap(score.name, verdicts.get(score.name)) for score in scores)
    panels = (
        plots.Panel(f"{record.metric} ({'higher' if record.higher_is_better else 'lower'} is better)", dots),
        plots.Panel("candidate's lead (right of the line: better)", gaps, 0.0),
    )
    said = [f"{names[s.name]} {wording.number(s.value, places)}" for s in scores]
    alt = f"Dot plot of {record.metric} with 95 % intervals, best first: {', '.join(said)}"
    return {
        "rungs": [(score, verdicts.get(score.name), RUNGS.get(score.name, "")) for score in scores],
        "places": places,
        "names": names,
        "fewer": record.fewer,
        "metrics": metrics,
        "scales": {name: _places(reference, name) for name in metrics},
        "figure": inline(plots.intervals(panels), alt),
    }


def _gap(name: str, verdict: Verdict | None) -> plots.Dot:
    if verdict is None:
        return plots.Dot(name, 0.0 if name == "candidate" else nan, 0.0, 0.0, name == "candidate")
    return plots.Dot(name, verdict.difference, verdict.low, verdict.high)


def _places(score: Score, metric: str) -> int:
    low, high = score.intervals.get(metric, (nan, nan))
    return wording.decimals(score.metrics.get(metric, nan), low, high)


def slices(record: EvaluateRecord, config: Config) -> dict[str, Any]:
    """Slices by column, the weakest first, with the rows below which the gate does not judge them."""
    sign = 1 if record.higher_is_better else -1
    limits = [rule for rule in config.gate if isinstance(rule, Limit) and rule.slice]
    groups = []
    for column in dict.fromkeys(entry.column for entry in record.slices):
        entries = [entry for entry in record.slices if entry.column == column]
        entries.sort(key=lambda s: (not isfinite(s.score), sign * s.score if isfinite(s.score) else 0))
        least = min((rule.min_rows for rule in limits if rule.slice == column), default=0)
        shown = entries[:SLICES]
        dots = tuple(plots.Dot(_short(e.value), e.score, e.low, e.high, strong=True) for e in shown)
        chart = plots.intervals([plots.Panel(f"{record.metric} by {column}, weakest first", dots)])
        alt = f"Dot plot of {record.metric} for {len(shown)} values of {column}, weakest first"
        groups.append((column, entries, least, inline(chart, alt)))
    middle = sorted(record.slices, key=lambda entry: entry.rows)[len(record.slices) // 2]
    return {"groups": groups, "places": wording.decimals(middle.score, middle.low, middle.high)}


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def training(fitted: FitRecord, config: Config) -> dict[str, Any]:
    """The curves of a training of at least one epoch, and what they say in words."""
    history, metric = fitted.history, short(config.fit.metric or config.evaluate.metric)
    metric += " (weighted by class)" if fitted.balanced and metric == "log_loss" else ""
    last = history[-1]
    best = next((entry for entry in history if entry.epoch == fitted.best_epoch), last)
    gap = best.validation_loss - best.train_loss
    number = wording.number
    words = [
        f"Best epoch {best.epoch} of {len(history)} by validation {metric}, "
        f"{number(best.validation_metric)}; the candidate has its weights. "
        f"Training ended because {STOPPED.get(fitted.stopped, fitted.stopped)}.",
        f"At that epoch the validation loss, {number(best.validation_loss)}, lies {number(abs(gap))} "
        f"{'above' if gap >= 0 else 'below'} the train loss, {number(best.train_loss)}.",
    ]
    rise = last.validation_loss - best.validation_loss
    if rise > NOTABLE * best.validation_loss and last.train_loss < best.train_loss:
        words.append(
            f"After it the train loss kept falling while the validation loss rose by {number(rise)}: "
            "training on would have overfitted."
        )
    chart = plots.curves(history, fitted.best_epoch, metric)
    alt = f"Loss, validation {metric} and learning rate over {len(history)} epochs, best epoch {best.epoch}"
    step = ceil(len(history) / EPOCHS)
    return {
        "words": words,
        "figure": inline(chart, alt),
        "metric": metric,
        "epochs": history[::step],
        "best": best.epoch,
    }


def data_uri(png: bytes) -> str:
    """A picture's bytes as the address of an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def inline(svg: str, alt: str) -> Markup:
    """A chart inside the page: named for readers of the page's text, without its XML addresses."""
    bare = re.sub(r' (?:xmlns(?::xlink)?|width|height|version)="[^"]*"', "", svg[: svg.index(">")])
    name = escape(alt)
    return Markup(f'{bare} role="img" aria-label="{name}"><title>{name}</title>{svg[svg.index(">") + 1 :]}')  # noqa: S704
