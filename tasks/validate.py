"""Step: judge the raw data before anything else sees it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from prefect import task

from tasks.checks import suite, validation
from tasks.config import Columns, Source, Task, Validate
from tasks.records import Step, ValidateRecord
from tasks.spans import ITSELF, span
from tasks.store import remember
from tasks.tables import opening
from tasks.tables.opening import Opened

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
        content, beyond = opening.fingerprint(source, project, columns)

    def build(folder: Path) -> ValidateRecord:
        opened: Opened = beyond or opening.read(source, project, target, columns, content)
        found, sample = validation.inspect(opened, asked, rules, target, kind, columns, folder / "docs")
        found.write(folder)
        if found.errors:
            found.refuse(_keep_refusal(folder, work))
        opened.save(folder, found.out, sample)
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
            columns=tuple(opened.schema.types),
            types=dict(opened.schema.types),
        )

    inputs = {
        "data": content,
        "source": source.model_dump(mode="json", exclude={"path", "stream", "memory_mb"}),
        "files": beyond.state if beyond else None,
        "suite": asked.digest,
        "rules": rules.model_dump(mode="json", exclude={"suite"}),
        "target": target,
        "task": kind,
        "columns": columns.model_dump(mode="json"),
    }
    return remember(work, "validate", inputs=inputs, record=ValidateRecord, build=build)


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
