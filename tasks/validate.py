"""Step: judge the raw data before anything else sees it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from prefect import task

from tasks import sources
from tasks.checks import prechecks, suite
from tasks.checks.inspection import Inspection
from tasks.checks.suite import Suite
from tasks.config import Columns, Source, Task, Validate
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered
from tasks.records import Step, ValidateRecord
from tasks.spans import ITSELF, span
from tasks.store import remember
from tasks.streaming import validating
from tasks.streaming.validating import Found, Told

REPORT = ("result.json", "report.html", "quarantine.csv", "docs")
"""What is written on pass and on refusal; Data Docs cost about 0.3 s of it for 26 expectations."""


@task(name="validate")
@span(ITSELF)
def validate(
    source: Source, rules: Validate, target: str, kind: Task, columns: Columns, project: Path, work: Path
) -> ValidateRecord:
    """Reads the source, sets bad rows aside within the budget, and stores the others raw.

    Args:
        source: Where the rows come from; paths are relative to `project`.
        rules: Suite, budget, limits.
        target: Column to predict.
        kind: Of the task.
        columns: Which columns the configuration names.
        project: Folder of the project.
        work: Folder of step outputs; a refusal leaves its report in `work/refused`.

    Raises:
        ConfigError: The suite file is wrong.
        DataFormatError: The source can't be read.
        DataRejected: The data breaks a rule; nothing is stored but the report.
    """
    asked = suite.load(project / rules.suite)
    with span("cache"):
        beyond = validating.look(source, project, columns)
        content = beyond.fingerprint if beyond else sources.fingerprint(source, project)

    def build(folder: Path) -> ValidateRecord:
        how, docs = (asked, rules, target, kind, columns), folder / "docs"
        loaded = beyond or _read(source, project, target, columns, content)
        found = (
            validating.inspect(loaded, *how, docs)
            if isinstance(loaded, Told)
            else inspect(loaded, *how, docs)
        )
        found.write(folder)
        if found.errors:
            found.refuse(_keep_refusal(folder, work))
        if isinstance(found, Found):
            found.save(folder)
        elif isinstance(loaded, sources.Loaded):
            _without(loaded.dataset, found.bad).save(folder)
        return ValidateRecord(
            step=Step(name="validate"),
            folder=folder,
            fingerprint=content,
            files=found.files,
            read=found.read,
            kept=found.read - found.quarantined,
            quarantined=found.quarantined,
            reasons=found.reasons,
            findings=found.warnings,
            expectations=len(found.outcomes),
            columns=loaded.columns,
        )

    inputs = {
        "data": content,
        "source": source.model_dump(mode="json", exclude={"path", "stream", "memory_mb"}),
        "stream": beyond.state if beyond else None,
        "suite": asked.digest,
        "rules": rules.model_dump(mode="json", exclude={"suite"}),
        "target": target,
        "task": kind,
        "columns": columns.model_dump(mode="json"),
    }
    return remember(work, "validate", inputs=inputs, record=ValidateRecord, build=build)


def _read(source: Source, project: Path, target: str, columns: Columns, content: str) -> sources.Loaded:
    """The source, which must still hold what was fingerprinted."""
    loaded = sources.read(source, project, target, columns)
    if loaded.fingerprint != content:
        raise ArtifactTampered(
            f"the source changed while it was read: {content[:12]}, then {loaded.fingerprint[:12]}"
        )
    return loaded


def _without(data: Dataset, bad: Collection[int]) -> Dataset:
    return data.take(~data.rows.index.isin(list(bad))) if bad else data


def inspect(
    loaded: sources.Loaded,
    asked: Suite,
    rules: Validate,
    target: str,
    kind: Task,
    columns: Columns,
    docs: Path,
) -> Inspection:
    """Our own checks, then the suite on the rows that they leave, then the target that is left.

    Args:
        loaded: The source in memory.
        asked: The suite.
        rules: Budget and limits.
        target: Column to predict.
        kind: Of the task.
        columns: Which columns the configuration names.
        docs: Folder that gets the Data Docs.
    """
    rows = loaded.dataset.rows
    alone = loaded.dataset.pixels is not None or columns.text is not None  # no column is a feature but one
    apart = [name for name in rows.columns if name not in (target, columns.text)] if alone else []
    checked = prechecks.check(
        rows, target=target, columns=columns, null_share=rules.null_share, apart=apart, unread=loaded.bad
    )
    sound = rows.drop(index=list(checked.bad)) if checked.readable else rows.iloc[:0]
    outcomes = suite.run(asked, sound if len(sound) else None, docs, show_values=rules.show_values)
    bad = dict(checked.bad)
    for outcome in outcomes:
        for row in (outcome.rows or ()) if outcome.word == "quarantined" else ():
            bad[row] = (*bad.get(row, ()), outcome.title)
    findings = (*loaded.findings, *checked.findings)
    if checked.readable and target in rows.columns and len(bad) < len(rows):
        left: pd.Series = rows[target].drop(index=list(bad))
        findings += tuple(prechecks.check_target(left, kind)) if left.notna().all() else ()
    return Inspection(
        fingerprint=loaded.fingerprint,
        files=loaded.files,
        read=len(rows),
        share=rules.quarantine,
        suite=asked,
        outcomes=outcomes,
        findings=findings,
        bad=bad,
    )


def _keep_refusal(folder: Path, work: Path) -> Path:
    """Moves a copy of the report to `work/refused`, in place of the last one, whole or not at all."""
    home = work / "refused"
    with tempfile.TemporaryDirectory(dir=work, prefix=".refused-", ignore_cleanup_errors=True) as name:
        aside = Path(name)
        fresh = aside / "new"
        fresh.mkdir()
        for part in REPORT:
            copy = shutil.copytree if (folder / part).is_dir() else shutil.copy2
            copy(folder / part, fresh / part)
        if home.exists():
            home.rename(aside / "old")
        fresh.rename(home)
    return home
