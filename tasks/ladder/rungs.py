"""The rungs of the ladder: what each of them answered, and how that compares."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.config import Task
from tasks.dataset import Dataset
from tasks.errors import DataRejected, ModelyardError
from tasks.ladder import comparison, metrics, slices
from tasks.ladder.baselines import Answer
from tasks.ladder.comparison import CANDIDATE, Comparison
from tasks.ladder.rows import Rows
from tasks.learning import scoring
from tasks.predictions import Predictions
from tasks.records import ModelVersion, Score, SliceScore
from tasks.splitting.plan import fewest_unseen
from tasks.wording import number

OTHER_SPLIT = "it was trained under another split"
"""How the error of a champion begins that learned from too many test rows."""


def score_bundle(folder: Path, raw: Dataset) -> Answer:
    """Predictions of the stored model for raw test rows, and the seconds that they took.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
    """
    began = time.perf_counter()
    predictions = _predict(scoring.load(folder), raw)
    return Answer(predictions, time.perf_counter() - began, note=predictions.note)


def _predict(model: scoring.Scorer, raw: Dataset) -> Predictions:
    return model.predict(raw.rows if raw.pixels is None else np.asarray(raw.pixels))


def score_champion(champion: ModelVersion, rows: Rows, project: str) -> Answer:
    """Score the champion on those of today's test rows that it did not learn from.

    A champion from another split has been trained on most rows that this one tests on; judged on them it
    could never lose. Whatever goes wrong is its error, and the gate will refuse.
    """
    note = f"version {champion.version}"
    try:
        if champion.folder is None:
            raise DataRejected(f"version {champion.version} of {champion.name} was not fetched")
        began = time.perf_counter()
        model = scoring.load(champion.folder)
        predictions = _predict(model, rows.raw)
        seconds = time.perf_counter() - began
        _comparable(predictions, rows.truth)
        unseen = ~model.has_seen(rows.known)
        _enough(int(unseen.sum()), len(unseen), project)
    except Exception as error:
        reason = str(error) if isinstance(error, ModelyardError) else f"it raised {type(error).__name__}"
        return Answer(None, 0.0, note=note, error=reason)
    if unseen.all():
        return Answer(predictions, seconds, note=note)
    note += f", on the {int(unseen.sum())} test rows that it was not trained on"
    return Answer(predictions, seconds, note=note, unseen=unseen)


def _enough(unseen: int, rows: int, project: str) -> None:
    if unseen < fewest_unseen(rows):
        raise DataRejected(
            f"{OTHER_SPLIT}, on {rows - unseen} of the {rows} test rows, too many to be compared on the rest",
            fix=f"test on other rows: modelyard retrain {project} --set split.exclude_seen=true",
        )


def _comparable(predictions: Predictions | None, truth: np.ndarray) -> None:
    if predictions is None or len(predictions.values) != len(truth):
        raise DataRejected(f"it did not answer each of the {len(truth)} test rows")
    known = predictions.classes
    if known is not None and not pd.Index(known).isin(pd.Index(truth).unique()).any():
        raise DataRejected("it knows none of the labels in the test rows: it was trained for another target")


def compare_all(
    kind: Task,
    metric: str,
    truth: np.ndarray,
    answers: Mapping[str, Answer],
    seed: int,
    also: Sequence[str] = (),
) -> Comparison:
    """Every rung on all test rows; a rung that has seen some of them, and its verdict, on the others."""
    answered = {name: answer for name, answer in answers.items() if answer.predictions is not None}
    whole = {name: a.predictions for name, a in answered.items() if a.unseen is None and a.predictions}
    compared = comparison.compare(kind, metric, truth, whole, seed, also)
    for name, answer in answered.items():
        if answer.unseen is None or answer.predictions is None:
            continue
        pair = {CANDIDATE: whole[CANDIDATE].take(answer.unseen), name: answer.predictions.take(answer.unseen)}
        apart = comparison.compare(kind, metric, truth[answer.unseen], pair, seed, also)
        compared = Comparison(
            {**compared.values, name: apart.values[name]},
            {**compared.intervals, name: apart.intervals[name]},
            (*compared.verdicts, *apart.verdicts),
        )
    return compared


def score_rungs(
    answers: Mapping[str, Answer], metric: str, compared: Comparison, count: int
) -> tuple[Score, ...]:
    """A row for each rung, failed ones included, in the order of `answers`; there are `count` test rows."""
    nan = float("nan")
    rows = []
    for name, answer in answers.items():
        values, intervals = compared.values.get(name, {}), compared.intervals.get(name, {})
        low, high = intervals.get(metric, (nan, nan))
        rows.append(
            Score(
                name=name,
                value=values.get(metric, nan),
                low=low,
                high=high,
                metrics=values,
                intervals=intervals,
                rows=_judged_on(answer, count),
                seconds=round(answer.seconds, 3),
                note=answer.note,
                error=answer.error,
            )
        )
    return tuple(rows)


def surprised(compared: Comparison, floor: str) -> tuple[str, ...]:
    """A warning where the candidate's probabilities are worse than the shares of the classes."""
    losses = [compared.values.get(name, {}).get("log_loss", float("nan")) for name in (CANDIDATE, floor)]
    if not losses[0] > losses[1]:
        return ()
    told = " is worse than ".join(
        f"{who}{number(loss)}" for who, loss in zip(("", f"{floor}'s "), losses, strict=True)
    )
    return (f"the candidate's log_loss {told}: don't rely on its probabilities, only on its labels",)


def _judged_on(answer: Answer, count: int) -> int:
    if answer.predictions is None:
        return 0
    return count if answer.unseen is None else int(answer.unseen.sum())


def predictions_frame(
    index: pd.Index, truth: np.ndarray, answered: Mapping[str, Predictions]
) -> pd.DataFrame:
    """Row by row: `truth`, each rung's answer and, for labels, the candidate's confidence and loss."""
    frame = pd.DataFrame({"truth": truth}, index=pd.Index(index, name="row"))
    for name, predictions in answered.items():
        frame[name] = predictions.values
    candidate = answered[CANDIDATE]
    losses = metrics.losses_of(truth, candidate) if candidate.classes is not None else None
    if losses is not None and candidate.probabilities is not None:
        frame["candidate_confidence"] = candidate.confidence
        frame["candidate_loss"] = losses
    return frame


def slice_scores(
    names: tuple[str, ...], metric: str, rows: Rows, candidate: Predictions, seed: int
) -> tuple[SliceScore, ...]:
    """The candidate in every slice of the named columns."""
    train, test = rows.train.rows, rows.test.rows
    return tuple(
        score
        for name in names
        for score in slices.scores(metric, name, train[name], test[name], rows.truth, candidate, seed)
    )
