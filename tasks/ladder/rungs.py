"""The rungs of the ladder: what each of them is given, and what each of them answered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.config import Task
from tasks.dataset import Dataset
from tasks.errors import DataRejected, ModelyardError
from tasks.ladder import metrics, slices
from tasks.ladder.baselines import Answer
from tasks.ladder.comparison import CANDIDATE, Comparison
from tasks.ladder.features import truth_of
from tasks.learning import scoring
from tasks.predictions import Predictions
from tasks.records import ModelVersion, Score, SliceScore


@dataclass(frozen=True)
class Rows:
    """What the ladder stands on.

    Attributes:
        train: Cleaned train rows, which baselines are fitted on.
        test: Cleaned test rows, which baselines predict.
        raw: The same test rows as they came, without the target; what a stored model predicts.
        truth: (n,) cleaned targets of the test rows.
    """

    train: Dataset
    test: Dataset
    raw: Dataset
    truth: np.ndarray


def read_rows(raw: Path, cleaned: Path, parts: pd.Series, target: str, kind: Task) -> Rows:
    """Reads the stored rows; `parts` says for each row id train, validation or test.

    Raises:
        DataRejected: A row id of `parts` that the stored rows lack.
    """
    clean, before = Dataset.load(cleaned), Dataset.load(raw)
    test = parts.index[(parts == "test").to_numpy()]
    kept = _at(clean, test)
    return Rows(
        train=_at(clean, parts.index[(parts == "train").to_numpy()]),
        test=kept,
        raw=_without(_at(before, test), target),
        truth=truth_of(kept.rows[target], kind),
    )


def _at(data: Dataset, ids: pd.Index) -> Dataset:
    positions = data.rows.index.get_indexer(ids)
    if (positions < 0).any():
        row = ids[int(np.argmax(positions < 0))]
        raise DataRejected(f"row {row} was dealt to a part, but is not in the stored rows", fix="run again")
    return data.take(positions)


def _without(data: Dataset, target: str) -> Dataset:
    return Dataset(data.rows.drop(columns=[target], errors="ignore"), data.pixels)


def score_bundle(folder: Path, raw: Dataset) -> Answer:
    """Predictions of the stored model for raw test rows, and the seconds that they took.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
    """
    began = time.perf_counter()
    scorer = scoring.load(folder)
    predictions = scorer.predict(raw.rows if raw.pixels is None else np.asarray(raw.pixels))
    return Answer(predictions, time.perf_counter() - began)


def score_champion(champion: ModelVersion, raw: Dataset, truth: np.ndarray) -> Answer:
    """The champion on today's test rows; whatever goes wrong is its error, and the gate will refuse."""
    note = f"version {champion.version}"
    try:
        if champion.folder is None:
            raise DataRejected(f"version {champion.version} of {champion.name} was not fetched")
        answer = score_bundle(champion.folder, raw)
        _comparable(answer.predictions, truth)
    except Exception as error:
        reason = str(error) if isinstance(error, ModelyardError) else f"it raised {type(error).__name__}"
        return Answer(None, 0.0, note=note, error=reason)
    return Answer(answer.predictions, answer.seconds, note=note)


def _comparable(predictions: Predictions | None, truth: np.ndarray) -> None:
    if predictions is None or len(predictions.values) != len(truth):
        raise DataRejected(f"it did not answer each of the {len(truth)} test rows")
    known = predictions.classes
    if known is not None and not pd.Index(known).isin(pd.Index(truth).unique()).any():
        raise DataRejected("it knows none of the labels in the test rows: it was trained for another target")


def score_rungs(answers: Mapping[str, Answer], metric: str, compared: Comparison) -> tuple[Score, ...]:
    """A row for each rung, failed ones included, in the order of `answers`."""
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
                seconds=round(answer.seconds, 3),
                note=answer.note,
                error=answer.error,
            )
        )
    return tuple(rows)


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
        frame["candidate_confidence"] = candidate.probabilities.max(axis=1)
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
