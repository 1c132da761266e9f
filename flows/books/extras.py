"""Steps of a project's own: run before or after a stage, and entered into the MLflow run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.books import entries
from tasks.config import Config, Extra
from tasks.records import ExtraRecord, RunRef
from tasks.registry import tracking

TAG = 500
"""Most characters of a fact that a tag shows; the record has all."""


def asked(config: Config, when: str, stage: str) -> list[Extra]:
    """Those that are to run before, or after, this stage, in the order of the settings."""
    return [extra for extra in config.steps if getattr(extra, when) == stage]


def enter(run: RunRef, record: ExtraRecord) -> None:
    """Its facts as metrics and tags, its files and its record as artifacts below `extra`."""
    place = f"extra/{record.step.name}"
    numbers = {key: float(v) for key, v in record.facts.items() if type(v) in (int, float)}
    others = {key: str(v)[:TAG] for key, v in record.facts.items() if key not in numbers}
    tracking.log_metrics(run, {f"extra.{record.step.name}.{key}": value for key, value in numbers.items()})
    if others:
        tracking.set_tags(run, {f"extra.{record.step.name}.{key}": text for key, text in others.items()})
    for path in sorted(record.folder.iterdir()):
        tracking.log_artifact(run, path, f"{place}/{path.name}" if path.is_dir() else place)
    entries.log_json(run, "record.json", record, place)


def told(records: Iterable[ExtraRecord]) -> list[dict[str, Any]]:
    """What they said, for a run's document."""
    return [{"name": r.step.name, "run": r.run, "facts": r.facts, "seconds": r.step.seconds} for r in records]
