"""A step of a project's own, before or after a stage: it looks, tells, and may refuse; it changes nothing."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task

from tasks import store
from tasks.config import Config, Extra
from tasks.errors import ArtifactTampered, ConfigError, quoted
from tasks.own import extension
from tasks.own.contracts import Context
from tasks.records import ExtraRecord, Fact, Step


@task(name="extra", task_run_name="{asked.name}")
def extra(
    asked: Extra,
    records: Mapping[str, Any],
    config: Config,
    project: Path,
    work: Path,
) -> ExtraRecord:
    """Runs it anew, whatever ran before: what it looks at may lie anywhere.

    Args:
        asked: The step, its place and its options.
        records: What the stages so far returned, by stage.
        config: The project's settings.
        project: The project's folder.
        work: The project's folder of step outputs; its files stay in `work/extra` until the next run.

    Raises:
        ConfigError: It raised something that is no ModelyardError, or told what is no fact.
        ArtifactTampered: It changed what a stage had left.
    """
    began = time.perf_counter()
    folder = work / "extra" / asked.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = Context(records=dict(records), config=config, project=project, folder=folder)
    whole = _whole(records)
    told = extension.call(asked.run, f"steps: {asked.name}", context, **asked.options)
    if torn := whole - _whole(records):
        raise ArtifactTampered(
            f"steps: {quoted(asked.run)} changed what {sorted(torn)[0]} had left",
            fix="what is changed outside the model is not changed where it predicts: clean it",
        )
    seconds = round(time.perf_counter() - began, 3)
    return ExtraRecord(
        step=Step(name=asked.name, seconds=seconds, why="every run calls it anew"),
        folder=folder,
        run=asked.run,
        facts=facts_of(asked.run, told),
    )


def facts_of(name: str, told: Any) -> dict[str, Fact]:
    """What the step called `name` told, in plain types. Raises ConfigError for what is no fact."""
    if not isinstance(told, Mapping):
        raise ConfigError(
            f"steps: {quoted(name)} answered {type(told).__name__}", fix="a step answers a dict of facts"
        )
    facts = {key: value.item() if isinstance(value, np.generic) else value for key, value in told.items()}
    for key, value in facts.items():
        plain = isinstance(value, (str, int, float)) and not (isinstance(value, float) and math.isnan(value))
        if not (isinstance(key, str) and key.replace("_", "").isalnum() and plain):
            raise ConfigError(
                f"steps: {quoted(name)} told {quoted(str(key))}: {type(value).__name__}",
                fix="a fact is a text, a number or a truth, under a name of letters, digits and _",
            )
    return facts


def _whole(records: Mapping[str, Any]) -> set[str]:
    """Stages whose files are those that their records speak for."""
    folders = {stage: getattr(record, "folder", None) for stage, record in records.items()}
    return {
        stage for stage, folder in folders.items() if folder and store.recall(folder, type(records[stage]))
    }
