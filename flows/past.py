"""What earlier runs left: finding a run by what a person types, and reading what it stored."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks import config, store
from tasks.errors import ConfigError, did_you_mean, quoted
from tasks.records import CleanRecord, EvaluateRecord, FitRecord, SplitRecord, Training, ValidateRecord
from tasks.registry import backend, tracking

FINGERPRINT, SETTINGS, CODE = "modelyard.fingerprint", "modelyard.settings", "modelyard.code"
SEEN, FRESH, INPUTS = "modelyard.seen_champion", "modelyard.fresh", "modelyard.inputs"
"""Tags of a training by which a later decision knows what it was made of and held against."""

OUTCOME = "modelyard.outcome"
ASKED = "modelyard.asked"
"""Tag of every run: what it was asked for besides its project, as JSON: action, source, settings."""
RESUMES, RESUMED_BY = "modelyard.resumes", "modelyard.resumed_by"
"""Tags of a run that went on with another, and of that other one: their ids."""

STEPS: dict[str, type[Any]] = {
    "validate": ValidateRecord,
    "clean": CleanRecord,
    "split": SplitRecord,
    "fit": FitRecord,
    "evaluate": EvaluateRecord,
}
"""Steps that leave files, in order, and what each returns."""

SEARCHED = 1000
"""Latest runs of each project among which a prefix is looked for."""


def find(uri: str, root: Path, word: str) -> dict[str, Any]:
    """The run that `word` means, as `tracking.recent_runs` describes it.

    Args:
        uri: Tracking URI.
        root: The checkout.
        word: The beginning of a run id, a project's name for its latest run, or `latest`.

    Raises:
        ConfigError: No run, or more than one, fits.
    """
    names = config.names(root)
    if word in names or word == "latest":
        found = [
            run for name in names if word in (name, "latest") for run in tracking.recent_runs(uri, name, 1)
        ]
        if found:
            return max(found, key=lambda run: str(run["started"]))
        raise ConfigError(f"{quoted(word)} has no run yet", fix="train first")
    runs = [run for name in names for run in tracking.recent_runs(uri, name, SEARCHED)]
    fitting = [run for run in runs if run["run_id"].startswith(word.lower())] if word else []
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ConfigError(f"{len(fitting)} runs begin with {quoted(word)}", fix="give more of the id")
    raise ConfigError(f"no run {quoted(word)}", fix=did_you_mean(word, ["latest", *names]))


def read(uri: str, run_id: str, name: str) -> Any:
    """The JSON document `name` that a run stored, or None where it stored none."""
    stored = _stored(uri, run_id, name)
    return None if stored is None else json.loads(stored)


def text(uri: str, run_id: str, name: str) -> str:
    """A file that a run stored, as text. Raises ConfigError where it stored none."""
    stored = _stored(uri, run_id, name)
    if stored is None:
        raise ConfigError(f"run {run_id[:8]} has no {name}", fix="name another run")
    return stored


def _stored(uri: str, run_id: str, name: str) -> str | None:
    client = backend.client(uri)
    with backend.reaching(uri), tempfile.TemporaryDirectory() as folder:
        parent = name.rpartition("/")[0] or None
        if name not in [entry.path for entry in client.list_artifacts(run_id, parent)]:
            return None
        return Path(client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")


def before(uri: str, run_id: str, step: str) -> dict[str, Any]:
    """What the steps before `step` returned in a run, their files verified.

    Raises:
        ConfigError: The run did not come so far, or its files are gone.
    """
    found: dict[str, Any] = {}
    for name, kind in STEPS.items():
        if name == step:
            break
        stored = read(uri, run_id, f"{name}/record.json")
        known = store.recall(Path(stored["folder"]), kind) if stored else None
        if known is None:
            why = "gone, since old ones make room" if stored else "not there: it did not come so far"
            raise ConfigError(f"run {run_id[:8]}: the output of {name} is {why}", fix="name another run")
        found[name] = known
    return found


def last_training(uri: str, project: str) -> Training | None:
    """The project's latest training that came to its end; None before the first.

    A rejected one counts. One that failed or was killed does not, nor does a run that decided against
    training.
    """
    wanted = f"attributes.status = 'FINISHED' AND tags.`{SETTINGS}` LIKE '_%' AND tags.`{OUTCOME}` LIKE '_%'"
    with backend.reaching(uri):
        client = backend.client(uri)
        experiment = client.get_experiment_by_name(project)
        if experiment is None:
            return None
        order = ["attributes.start_time DESC"]
        found = client.search_runs([experiment.experiment_id], wanted, max_results=1, order_by=order)
    return _training(found[0]) if found else None


def _training(run: Any) -> Training:
    tags, seen = run.data.tags, run.data.tags.get(SEEN, "")
    return Training(
        run_id=run.info.run_id,
        outcome=tags[OUTCOME],
        ended=datetime.fromtimestamp(run.info.end_time / 1000, UTC).isoformat(timespec="seconds"),
        fingerprint=tags[FINGERPRINT],
        settings=tags[SETTINGS],
        code=tags.get(CODE, ""),
        seen=int(seen) if seen.isdecimal() else None,
        fresh=tags.get(FRESH),
    )


def ladder(runs: list[dict[str, Any]], versions: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """One line a run for comparison: when, how it ended, its version, and each rung's metric.

    Args:
        runs: From `tracking.recent_runs`.
        versions: The model's versions by the run that made them.
        metric: The project's metric.
    """
    lines = []
    for run in runs:
        made, metrics = versions.get(run["run_id"]), run["metrics"]
        rungs = {
            key.split(".")[0]: value
            for key, value in metrics.items()
            if key.count(".") == 1 and key.endswith(f".{metric}")
        }
        lines.append(
            {
                "run_id": run["run_id"],
                "started": run["started"],
                "status": run["status"],
                "outcome": run["tags"].get(OUTCOME, ""),
                "reasons": run["tags"].get("modelyard.reasons", ""),
                "version": made.version if made else None,
                "aliases": list(made.aliases) if made else [],
                "low": metrics.get(f"candidate.{metric}.low"),
                "high": metrics.get(f"candidate.{metric}.high"),
                "scores": rungs,
            }
        )
    return lines
