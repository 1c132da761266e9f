"""What a step leaves in the MLflow run: its record, its numbers, its files, a profile of the train rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flows import outcome
from tasks import store
from tasks.config import Config
from tasks.dataset import TEXTUAL, Dataset
from tasks.drift.profile import profile
from tasks.records import DecideRecord, EvaluateRecord, RunRef, SplitRecord, ValidateRecord, to_json
from tasks.registry import tracking
from tasks.splitting import parts

PROFILE = "profile.json"

_COUNTS = ("read", "kept", "dropped", "quarantined", "train", "validation", "test", "parameters")
_IDENTITIES = ("digest", "part", "path", "mode")
"""Columns of pictures that say which one it is, and not what it looks like."""
_FILES = {
    "validate": ("result.json", "report.html", "quarantine.csv", "docs"),
    "clean": ("quarantine.csv",),
    "split": ("parts.parquet", "leaks.json"),
    "fit": ("manifest.json",),
    "evaluate": ("predictions.parquet", "labels.parquet"),
}
"""What a person may want to open: no row of the data but the quarantined ones."""


def enter(run: RunRef, name: str, record: Any) -> None:
    """A step's numbers as metrics, and its files and its record as artifacts."""
    tracking.log_metrics(run, _metrics(name, record))
    if name == "fit":  # a loop that runs logs its epochs itself; those of an earlier process are told here
        earlier = len(record.history) if record.step.status == "reused" else record.taken_up
        tracking.log_epochs(run, record.history[:earlier])
    folder: Path | None = getattr(record, "folder", None)
    for file in _FILES.get(name, ()) if folder else ():
        if folder is not None and (path := folder / file).exists():
            tracking.log_artifact(run, path, f"{name}/docs" if path.name == "docs" else name)
    log_json(run, "record.json", record, name)


def log_json(run: RunRef, name: str, value: Any, folder: str = "") -> None:
    """A record, or plain data, as a file of the run; numbers that are not finite become null."""
    with tempfile.TemporaryDirectory() as place:
        path = store.write_json(Path(place) / name, outcome.finite(to_json(value)))
        tracking.log_artifact(run, path, folder)


def log_rows(run: RunRef, config: Config, validated: ValidateRecord, split: SplitRecord) -> None:
    """The data set of the run, and what its train rows look like: what drift is measured against."""
    source = getattr(config.source, "path", config.source.kind)
    tracking.log_data(run, config.name, source, validated, split)
    data, part = Dataset.load(validated.folder), parts.load(split.folder)
    found = profile(
        data.rows.loc[part.index[part == "train"]],
        leave_out=_apart(config, data),
        labels=(config.target,) if config.task == "classification" else (),
    )
    log_json(run, PROFILE, found)


def _apart(config: Config, data: Dataset) -> list[str]:
    """Columns that no drift is looked for in: what tells one row from another, and what no model reads."""
    if config.columns.text is not None:  # every text is another; what describes them is compared
        return [name for name in data.rows.columns if name not in (*TEXTUAL, config.target)]
    column = [config.split.column] if config.split.column else []
    return [*config.columns.drop, *column, *(_IDENTITIES if data.pixels is not None else ())]


def _metrics(name: str, record: Any) -> dict[str, float]:
    metrics = {f"{name}.seconds": float(record.step.seconds)}
    if isinstance(record, EvaluateRecord):
        for score in record.scores:
            pairs = {**score.metrics, f"{record.metric}.low": score.low, f"{record.metric}.high": score.high}
            metrics |= {f"{score.name}.{metric}": float(value) for metric, value in pairs.items()}
    if isinstance(record, DecideRecord) and record.drift is not None:
        metrics |= {f"drift.{shift.column}": shift.psi for shift in record.drift.columns}
    if isinstance(record, DecideRecord) and record.standing is not None:
        metrics[f"fresh.{record.standing.metric}"] = record.standing.value
    counted = {field: getattr(record, field, None) for field in _COUNTS}
    metrics |= {f"{name}.{key}": float(value) for key, value in counted.items() if type(value) is int}
    return metrics
