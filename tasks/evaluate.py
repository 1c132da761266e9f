"""Evaluate: the candidate, the simpler rungs and the champion on the same test rows, then the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import task

from tasks import store
from tasks.config import (
    Columns,
    Criterion,
    Encode,
    Evaluate,
    Limit,
    Task,
    dummy,
    higher_is_better,
    with_dummy,
)
from tasks.ladder import ahead, baselines, comparison, labels, slices
from tasks.ladder.baselines import Answer, Problem
from tasks.ladder.comparison import CANDIDATE
from tasks.ladder.gate import CHAMPION, judge, required
from tasks.ladder.rows import Rows, read_rows
from tasks.ladder.rungs import (
    compare_all,
    predictions_frame,
    score_bundle,
    score_champion,
    score_rungs,
    slice_scores,
    surprised,
)
from tasks.learning import scoring, seen
from tasks.own.extension import digests, ours, short
from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FitRecord,
    ModelVersion,
    SplitRecord,
    Step,
    ValidateRecord,
)
from tasks.spans import ITSELF, span
from tasks.splitting.parts import load as load_parts
from tasks.tables import table

PREDICTIONS = "predictions.parquet"


def conclude(
    folder: Path,
    rows: Rows,
    answers: Mapping[str, Answer],
    rules: Evaluate,
    gate: tuple[Criterion, ...],
    kind: Task,
    seed: int,
) -> EvaluateRecord:
    """Compares all answers, judges them, and writes the predictions of the test rows into `folder`."""
    answered = {name: answer.predictions for name, answer in answers.items() if answer.predictions}
    asked = [criterion.metric for criterion in gate if isinstance(criterion, Limit)]
    gate = required(kind, gate)
    compared = compare_all(kind, rules.metric, rows.truth, answers, seed, asked)
    known = {verdict.against: verdict for verdict in compared.verdicts}
    verdicts = tuple(known.get(name) or comparison.undefined(name) for name in answers if name != CANDIDATE)
    scores = score_rungs(answers, short(rules.metric), compared, len(rows.truth))
    # A floor may be set in another metric than the project's.
    floors = {criterion.metric for criterion in gate if isinstance(criterion, Limit) and criterion.slice}
    sliced = {
        short(metric): slice_scores(rules.slices, metric, rows, answered[CANDIDATE], seed)
        for metric in sorted({rules.metric, *floors})
    }
    partial = [f"{name}: {answer.note}" for name, answer in answers.items() if answer.unseen is not None]
    failed = [f"{name} failed: {answer.error}" for name, answer in answers.items() if answer.error]
    predictions_frame(rows.test.rows.index, rows.truth, answered).to_parquet(folder / PREDICTIONS)
    return EvaluateRecord(
        step=Step(name="evaluate"),
        folder=folder,
        metric=short(rules.metric),
        higher_is_better=higher_is_better(kind, rules.metric),
        rows=len(rows.truth),
        scores=scores,
        verdicts=verdicts,
        slices=sliced[short(rules.metric)],
        gate=judge(gate, metric=short(rules.metric), scores=scores, verdicts=verdicts, slices=sliced),
        warnings=(
            *failed,
            *partial,
            *comparison.warnings(kind, rows.truth, answered, verdicts),
            *surprised(compared, dummy(kind)),
        ),
        method=comparison.method(rules.metric),
    )


def _digests(bundle: Path | None) -> dict[str, str]:
    # Of the files as they are now: a champion that was damaged, then repaired, is scored again.
    files = [bundle / name for name in (seen.MANIFEST, *scoring.PARTS)] if bundle else []
    return {path.name: store.sha256_file(path) for path in files if path.is_file()}


def _identity(champion: ModelVersion | None) -> list[Any] | None:
    if champion is None:
        return None
    return [champion.name, champion.version, champion.inputs, _digests(champion.folder)]


@task(name="evaluate")
@span(ITSELF)
def evaluate(
    raw: ValidateRecord,
    cleaned: CleanRecord,
    parts: SplitRecord,
    fitted: FitRecord,
    rules: Evaluate,
    gate: tuple[Criterion, ...],
    columns: Columns,
    encode: Encode,
    target: str,
    kind: Task,
    seed: int,
    champion: ModelVersion | None,
    work: Path,
    exclude: tuple[str, ...] = (),
    project: str = "PROJECT",
) -> EvaluateRecord:
    """Scores all rungs on the same test rows, compares them, and asks the gate.

    Args:
        raw: Raw rows; the candidate and the champion are given these.
        cleaned: Cleaned rows; baselines are fitted on those among them that the candidate learned from.
        parts: Which row is in which part.
        fitted: The candidate.
        rules: Metric, baselines and slices.
        gate: Criteria, all of which must hold.
        columns: Which columns are features.
        encode: Whether the target's logarithm is learned; baselines do the same.
        target: Column that is predicted.
        kind: Kind of task.
        seed: Of resamples and baselines.
        champion: The present champion with its bundle, or None.
        work: The project's folder of step outputs.
        exclude: Columns that are no features, such as the one that the split goes by.
        project: Name of the project, for messages.

    Raises:
        ConfigError: A slice by a column that does not exist.
        ArtifactTampered: The candidate's files are not what its manifest says.
    """
    own_parts = [rules.metric, *rules.baselines, *(getattr(rule, "metric", None) for rule in gate)]
    inputs = {
        "raw": raw.fingerprint,
        "cleaned": cleaned.digest,
        "parts": parts.hash,
        "candidate": [fitted.digest, fitted.state_hash, _digests(fitted.folder)],
        "learned": [fitted.learned_from, fitted.balanced],
        "champion": _identity(champion),
        "evaluate": rules.model_dump(mode="json"),
        "gate": [criterion.model_dump(mode="json") for criterion in gate],
        "features": [columns.model_dump(mode="json"), list(exclude)],
        "encode": encode.model_dump(mode="json"),
        "target": [target, kind],
        "seed": seed,
        "own": digests(own_parts),
    }

    def build(folder: Path) -> EvaluateRecord:
        dealt = load_parts(parts.folder)
        rows = read_rows(raw.folder, cleaned.folder, dealt, target, kind, fitted.learned_from)
        slices.check(rules.slices, rows.train.rows)
        problem = Problem(kind, target, columns, encode, exclude, seed, fitted.balanced)
        own = score_bundle(fitted.folder, rows.raw)
        answers = {CANDIDATE: replace(own, seconds=own.seconds + fitted.train_seconds)}
        names = with_dummy(kind, rules.baselines)
        asked = ahead.Asked(raw.folder, cleaned.folder, parts.folder, fitted.learned_from, names, problem)
        with span("baselines"):
            early = ahead.collected(asked)
            for name in names:
                answers[short(name)] = early.get(name) or baselines.answer(
                    name, rows.train, rows.test, problem
                )
        if champion is not None:
            answers[CHAMPION] = score_champion(champion, rows, project)
        doubts = labels.look(rows.train, problem, folder, rules.label_noise)
        judged = conclude(folder, rows, answers, rules, gate, kind, seed)
        told = table.load(raw.folder).told("models were compared and baselines fitted on")
        return replace(judged, warnings=(*judged.warnings, *doubts, *told))

    return store.remember(work, "evaluate", inputs, EvaluateRecord, build, ours(own_parts))
