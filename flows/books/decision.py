"""What `decide` is told, what a training leaves for the next decision, and what a skipped run says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import past
from flows.books import provenance
from flows.books.entries import PROFILE
from tasks.config import Project
from tasks.errors import RegistryConflict
from tasks.records import DecideRecord, ModelVersion, RunRef
from tasks.registry import tracking


def question(project: Project, root: Path, run: RunRef, *, force: bool) -> dict[str, Any]:
    """The arguments of `decide`; nothing of weight is fetched unless fresh rows are to be measured."""
    c, rules = project.config, project.config.retrain
    champion = tracking.reigning(run.uri, c.register_as.name)
    profile = None
    if champion is not None and not force:
        profile = _profile(run.uri, champion) if rules.drift is not None else None
        if rules.floor is not None:
            cache = root / ".state" / "models"
            champion = tracking.version(run.uri, champion.name, champion.version, cache)
    return {
        "source": c.source,
        "rules": rules,
        "columns": c.columns,
        "target": c.target,
        "kind": c.task,
        "metric": c.evaluate.metric,
        "seed": c.seed,
        "project": project.folder,
        "settings": provenance.settings_digest(project),
        "code": provenance.code_digest(c),
        "last": past.last_training(run.uri, c.name),
        "champion": champion,
        "profile": profile,
        "automatic": c.register_as.champion == "auto",
        "force": force,
        "now": datetime.now(UTC),
    }


def _profile(uri: str, champion: ModelVersion) -> dict[str, Any] | None:
    if champion.run_id is None:
        return None
    try:
        found = past.read(uri, champion.run_id, PROFILE)
    except RegistryConflict:  # somebody deleted the run
        return None
    return found if isinstance(found, dict) else None


def answer(decided: DecideRecord) -> dict[str, str]:
    """Tags that say what was decided."""
    return {
        "modelyard.decision": "train" if decided.train else "skip",
        "modelyard.decision.reasons": "; ".join(decided.reasons),
    }


def marks(project: Project, fingerprint: str, decided: DecideRecord | None) -> dict[str, str]:
    """Tags of a training by which a later decision knows what it was made of."""
    tags = {
        past.FINGERPRINT: fingerprint,
        past.SETTINGS: provenance.settings_digest(project),
        past.CODE: provenance.code_digest(project.config),
        past.INPUTS: provenance.inputs_digest(project.config, fingerprint),
    }
    if decided is not None and decided.fresh is not None:
        tags[past.FRESH] = decided.fresh
    return tags
