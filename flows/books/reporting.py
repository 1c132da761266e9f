"""The report of a run, as far as the run came: beside the project's data, and in MLflow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.config import Project
from tasks.records import ExtraRecord, RunRef
from tasks.registry import tracking
from tasks.reports import report

KEPT = 20
"""Reports that stay beside the data; MLflow keeps every one."""

_ARGUMENTS = {
    "validated": "validate",
    "cleaned": "clean",
    "parts": "split",
    "fitted": "fit",
    "evaluated": "evaluate",
    "registered": "register",
}


def write(
    project: Project,
    run: RunRef,
    records: Mapping[str, Any],
    links: Mapping[str, str],
    environment: Mapping[str, str],
    reasons: Sequence[str],
    extras: Sequence[ExtraRecord] = (),
) -> Path:
    """Writes the page of a run and returns its place beside the data.

    Args:
        project: The project.
        run: The MLflow run.
        records: What the steps returned, by step.
        links: Pages of the run, by what they show.
        environment: The machine and what is installed on it.
        reasons: Why the run ended, if it failed.
        extras: What the project's own steps told.
    """
    home = project.work / "reports" / f"{run.run_id[:12]}.html"
    path = report.write(
        home,
        config=project.config,
        links=dict(links),
        environment=dict(environment),
        reasons=tuple(reasons),
        extras=tuple(extras),
        **{argument: records.get(step) for argument, step in _ARGUMENTS.items()},
    )
    with tempfile.TemporaryDirectory() as place:
        tracking.log_artifact(run, Path(shutil.copy(path, Path(place) / "report.html")))
    _forget_oldest(home.parent)
    return path


def _forget_oldest(folder: Path) -> None:
    reports = sorted(folder.glob("*.html"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in reports[KEPT:]:
        path.unlink(missing_ok=True)
