"""A training that would only find everything done is answered from the record of the one that did it.

Each step of it would be reused where settings, data, suite, code and libraries are the same, where the files
of every step are whole, and where the champion is the one that the candidate met, or the candidate itself.
All that is looked at here, within a second: no server is started, and neither torch nor MLflow nor Great
Expectations is loaded. Whatever is less than certain is left to the flow.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows import occupation, outcome, past
from flows.books import provenance
from flows.servers.prefect_server import configured_url
from tasks import lease, sources, store
from tasks.config import Config, Limit, OwnSource, Project
from tasks.errors import ModelyardError
from tasks.records import EvaluateRecord, ModelVersion, RegisterRecord, Score, Step, Verdict
from tasks.registry import backend, versions
from tasks.registry.stores import sqlite
from tasks.spans import span

FILE = "latest.json"
"""In a project's `work`: its latest training that came to its end."""
CANDIDATE = "candidate"
NAMED = ("run_id", "flow_run_id", "links", "report")
"""What a document says of its run; an unchanged one names the run whose record it is."""


def note(project: Project, records: dict[str, Any], champion: ModelVersion | None, said: Any) -> None:
    """Keeps what a later training is held against.

    Args:
        project: The project.
        records: What the steps returned, by step.
        champion: The model that the candidate met.
        said: The run's document.
    """
    known = {
        "settings": _settings(project),
        "fingerprint": records["validate"].fingerprint,
        "folders": {name: str(records[name].folder) for name in past.STEPS},
        "champion": _identity(champion),
        "outcome": said["outcome"],
        "run": {name: said[name] for name in NAMED},
    }
    store.write_json(project.work / FILE, known)


@span("cache")
def find(project: Project, root: Path) -> tuple[dict[str, Any], list[Any]] | None:
    """The document of a training that changes nothing, and its steps' records; None if it might."""
    try:
        known = json.loads((project.work / FILE).read_text(encoding="utf-8"))
        return _answer(project, root, known) if _may_answer(project, root, known) else None
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error, ModelyardError):
        return None  # the flow meets the same, and leaves a run that says so


def _may_answer(project: Project, root: Path, known: dict[str, Any]) -> bool:
    """Whether a training would find its inputs as they were, and nobody else at work."""
    config, path = project.config, backend.local_file(root)
    if config.steps or isinstance(config.source, OwnSource) or path is None:
        return False  # what a project's own code looks at may lie anywhere
    if configured_url() is not None:
        return False  # somebody's own server shows every run that it was asked for, or is down and said to be
    if not Path(known["run"]["report"]).is_file():
        return False
    if lease.is_held(occupation.slot(root, f"project-{config.name}")):
        return False
    if known["settings"] != _settings(project) or not sqlite.has_finished(path, known["run"]["run_id"]):
        return False
    # Last, for it reads all of the data, which the flow would read again.
    return bool(known["fingerprint"] == sources.fingerprint(config.source, project.folder))


def _settings(project: Project) -> str:
    """Digest of all that a run depends on, but for the data and the champion."""
    settings = project.config.model_dump(mode="json", by_alias=True)
    made_of = provenance.inputs_digest(project.config, "")
    return store.digest([made_of, provenance.settings_digest(project), settings])


def _answer(project: Project, root: Path, known: dict[str, Any]) -> tuple[dict[str, Any], list[Any]] | None:
    records = {name: _recalled(Path(known["folders"][name]), kind) for name, kind in past.STEPS.items()}
    if None in records.values():
        return None
    inputs = provenance.inputs_digest(project.config, records["validate"].fingerprint)
    seen = versions.glimpse(root, project.config.register_as.name) or []
    champion = next((version for version, _ in seen if versions.CHAMPION in version.aliases), None)
    made, decision = next((each for each in seen if each[0].inputs == inputs), (None, None))
    rejected = known["outcome"] == "rejected"
    if champion is None or (not rejected and (made is None or decision in (None, versions.FAILED))):
        return None
    if _identity(champion) != known["champion"]:
        records["evaluate"] = (
            _beside_itself(records["evaluate"], project.config) if made == champion else None
        )
        if records["evaluate"] is None:
            return None
    steps = [*records.values(), _registered(project, records["evaluate"], made)]
    return outcome.document(project.config, None, *steps) | known["run"], steps


def _identity(champion: ModelVersion | None) -> list[Any] | None:
    return [champion.version, champion.run_id] if champion else None  # a number may be given anew


def _recalled(folder: Path, kind: type[Any]) -> Any:
    """A step's record, its files verified, as a step returns it that is not done again; None if torn."""
    began = time.perf_counter()
    record = store.recall(folder, kind)
    if record is None:
        return None
    os.utime(folder)  # the least recently used outputs are the ones that go
    step = Step(
        name=record.step.name,
        status="reused",
        why="same data, settings and code",
        seconds=round(time.perf_counter() - began, 3),
    )
    return replace(record, step=step)


def _beside_itself(judged: EvaluateRecord, config: Config) -> EvaluateRecord | None:
    """The candidate, which has become champion, held against itself; None where that breaks the gate.

    The same weights give the same answers: no row is answered otherwise.
    """
    from tasks.ladder import gate  # noqa: PLC0415 - imports scipy

    own = judged.score(CANDIDATE)
    itself = replace(own, name=gate.CHAMPION, seconds=0.0, note="the candidate itself")
    same = _alike(judged)
    scores: tuple[Score, ...] = (*(s for s in judged.scores if s.name != gate.CHAMPION), itself)
    verdicts = (*(v for v in judged.verdicts if v.against != gate.CHAMPION), same)
    criteria = gate.required(config.task, config.gate)
    asked = [rule for rule in criteria if not isinstance(rule, Limit)]
    against = iter(gate.judge(asked, metric=judged.metric, scores=scores, verdicts=verdicts, slices={}))
    results = [
        result if isinstance(rule, Limit) else next(against)
        for rule, result in zip(criteria, judged.gate, strict=True)
    ]
    again = replace(judged, scores=scores, verdicts=verdicts, gate=tuple(results))
    return again if again.passed else None


def _alike(judged: EvaluateRecord) -> Verdict:
    """The verdict of the candidate against a champion of the same weights."""
    import pandas as pd  # noqa: PLC0415

    from tasks.ladder import comparison, gate  # noqa: PLC0415
    from tasks.predictions import Predictions  # noqa: PLC0415

    if judged.metric not in comparison.METHODS:
        return comparison.alike(gate.CHAMPION)
    stored = pd.read_parquet(judged.folder / "predictions.parquet", columns=["truth", CANDIDATE])
    own = Predictions(stored[CANDIDATE].to_numpy())
    found = comparison.difference_of_shares(judged.metric, stored["truth"].to_numpy(), own, own)
    return comparison.judged(gate.CHAMPION, 0.0, *found)


def _registered(project: Project, judged: EvaluateRecord, made: ModelVersion | None) -> RegisterRecord:
    """As `register` says it where it has nothing to do."""
    if not judged.passed:
        from tasks.ladder.advice import advise  # noqa: PLC0415

        step = Step(name="register", status="reused", why="the gate refused the candidate")
        return RegisterRecord(
            step=step,
            outcome="rejected",
            reasons=judged.reasons,
            model=None,
            next=advise(project, judged),
        )
    assert made is not None
    reason = f"version {made.version} was made from the same data, configuration and code"
    step = Step(name="register", status="reused", why=reason)
    return RegisterRecord(step=step, outcome="skipped", reasons=(reason,), model=made)
