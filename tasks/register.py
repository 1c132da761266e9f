"""Step 6: a model that passed its gate becomes a version, is tried in a fresh process, gets its alias.

Order is what makes a crash harmless. Everything that identifies a version is on it from the moment
it exists; aliases move last, under a lock; the decision is noted after them. The same inputs find
what an earlier run left, at whatever point it died, and go on from there.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task

from tasks import store
from tasks.config import Register
from tasks.errors import ModelyardError
from tasks.ladder import intervals
from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FitRecord,
    ModelVersion,
    RegisterRecord,
    RunRef,
    SplitRecord,
    Step,
    Suggestion,
    ValidateRecord,
)
from tasks.registry import card, ledger, logged, pack, promotion, reproduce, tracking, versions
from tasks.registry.logged import Candidate
from tasks.spans import ITSELF, span

TRIED = 64
"""Test rows whose stored answers a fresh process has to repeat."""


@task(name="register")
@span(ITSELF)
def register(
    run: RunRef,
    raw: ValidateRecord,
    cleaned: CleanRecord,
    parts: SplitRecord,
    fitted: FitRecord,
    evaluated: EvaluateRecord,
    rules: Register,
    inputs: str,
    tags: dict[str, str],
    root: Path,
    champion: ModelVersion | None = None,
    advice: tuple[Suggestion, ...] = (),
) -> RegisterRecord:
    """Registers a model that passed, once for the same inputs, and moves the aliases by policy.

    Args:
        run: MLflow run that the model belongs to.
        raw: Accepted raw rows: input example and trial rows come from there.
        cleaned: For the card.
        parts: Which rows are train and test.
        fitted: The bundle.
        evaluated: Scores, verdicts, the gate, and the stored test predictions.
        rules: Name of the model, and whether it becomes champion by itself.
        inputs: Digest of data, configuration, code and libraries.
        tags: Provenance to be tagged on the version: git commit, flow run, configuration hash, ...;
            `modelyard.project` names the project.
        root: Folder that holds `mlflow/`.
        champion: What `evaluate` compared the candidate with.
        advice: What could be done if the gate refused.

    Raises:
        ArtifactTampered: A fresh process answers otherwise than the model that was judged.
        RegistryConflict: The champion moved meanwhile and can't be compared, or the version can't be
            used elsewhere.
        Unavailable: The registry can't be reached.
    """
    began = time.perf_counter()
    made = Candidate(
        run=run,
        raw=raw,
        cleaned=cleaned,
        parts=parts,
        fitted=fitted,
        evaluated=evaluated,
        rules=rules,
        inputs=inputs,
        tags=tags,
        champion=champion.version if champion else None,
        root=root,
    )
    if not evaluated.passed:
        refused = _record(began, "rejected", evaluated.reasons, None, "the gate refused the candidate")
        return replace(refused, next=advice)
    known = versions.find(run.uri, rules.name, inputs)
    if known is not None and versions.decision(run.uri, known) not in (None, versions.FAILED):
        reason = f"version {known.version} was made from the same data, configuration and code"
        return _record(began, "skipped", (reason,), known, reason, status="reused")
    why = "first time with these inputs" if known is None else f"version {known.version} was left undecided"
    with reproduce.stranger() as stranger:  # its imports take longer than the upload
        decided = decide(made, known or publish(made), stranger)
    reasons = (decided.reason,) if decided.reason else ()
    if known is None:
        return _record(began, "registered", reasons, decided.model, why)
    reason = (
        f"version {known.version} was made from the same data, configuration and code, and was left undecided"
    )
    return _record(began, "skipped", (reason, *reasons), decided.model, why)


def _record(
    began: float,
    outcome: Any,
    reasons: tuple[str, ...],
    model: ModelVersion | None,
    why: str,
    status: Any = "ran",
) -> RegisterRecord:
    seconds = round(time.perf_counter() - began, 3)
    step = Step(name="register", status=status, seconds=seconds, why=why)
    return RegisterRecord(step=step, outcome=outcome, reasons=reasons, model=model)


def publish(made: Candidate) -> ModelVersion:
    """Makes the version, with everything that identifies it and no alias."""
    model = logged.logged_model(made)
    text = write_card(made)
    version_tags = {
        **made.tags,
        versions.INPUTS: made.inputs,
        versions.MANIFEST: store.sha256_file(made.fitted.folder / "manifest.json"),
        versions.FINGERPRINT: made.raw.fingerprint,
        versions.SPLIT: made.parts.hash,
        versions.METRIC: ledger.evidence_tag(made.evaluated, made.manifest["target"]),
        "modelyard.weights": made.fitted.digest,
        "modelyard.state": made.fitted.state_hash,
        "modelyard.gate": "; ".join(result.reason or result.criterion for result in made.evaluated.gate),
        **intervals.tags(made.evaluated.folder / "predictions.parquet", made.fitted.folder),
    }
    known = versions.create(
        made.run, made.rules.name, model, tags=version_tags, description=card.shorten(text)
    )
    tracking.set_tags(made.run, {"modelyard.version": f"{known.name} {known.version}"})
    return known


def decide(made: Candidate, known: ModelVersion, stranger: reproduce.Stranger) -> promotion.Decision:
    """Tries a version in a fresh process and moves the aliases; a failure is tagged on the version."""
    try:
        reproduce.reproduce(made.run.uri, known, sample(made), stranger)
    except ModelyardError as error:
        failed = {versions.DECISION: versions.FAILED, "modelyard.failure": str(error)}
        versions.tag(made.run.uri, known, failed)
        raise
    return promotion.admit(
        made.run.uri,
        made.root,
        known,
        seen=made.champion,
        to_champion=made.rules.champion == "auto",
        flow_run_id=made.tags.get("prefect.flow_run_id"),
    )


def sample(made: Candidate) -> reproduce.Sample:
    """Raw test rows, spread over the test set, with what the candidate answered for them."""
    stored = pd.read_parquet(made.evaluated.folder / "predictions.parquet")
    chosen = stored.iloc[np.unique(np.linspace(0, len(stored) - 1, TRIED).astype(int))]
    judged = made.manifest["classes"] is not None
    return reproduce.Sample(
        data=made.raw_inputs(chosen.index),
        values=chosen["candidate"].to_numpy(),
        confidence=chosen["candidate_confidence"].to_numpy() if judged else None,
    )


def write_card(made: Candidate) -> str:
    """The model card, which also becomes a file of the run."""
    facts = card.Facts(
        name=made.rules.name,
        run=made.run,
        manifest=made.manifest,
        raw=made.raw,
        cleaned=made.cleaned,
        parts=made.parts,
        fitted=made.fitted,
        evaluated=made.evaluated,
        requirements=pack.requirements(made.manifest["network"], made.manifest["clean"]),
        tags=made.tags,
    )
    text = card.render(facts)
    with tempfile.TemporaryDirectory() as folder:
        tracking.log_artifact(made.run, store.write_text(Path(folder) / "card.md", text))
    return text
