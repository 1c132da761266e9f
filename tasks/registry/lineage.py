"""Data sets as inputs of a run: what it was trained and judged on, by name and digest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.records import RunRef, SplitRecord, ValidateRecord
from tasks.registry import backend
from tasks.store import digest as digest_of


def log_dataset(
    run: RunRef,
    *,
    name: str,
    digest: str,
    source: str,
    rows: int,
    columns: Sequence[str] | Mapping[str, str],
    context: str,
) -> None:
    """Notes a data set as an input of the run; noting it again changes nothing.

    Args:
        run: The run.
        name: What the data set is called.
        digest: What its content hashes to; MLflow keeps the first 36 characters.
        source: Where it comes from.
        rows: Number of rows.
        columns: Names, or names and types.
        context: What the run used it for: `train`, `validation` or `test`.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    types = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "any")
    schema = [{"name": column, "type": kind, "required": True} for column, kind in types.items()]
    data = Dataset(
        name=name,
        digest=digest[:36],
        source_type="local",
        source=json.dumps({"uri": backend.without_credentials(source)}),
        schema=_schema_text(schema),
        profile=json.dumps({"num_rows": rows, "num_elements": rows * len(schema)}),
    )
    with backend.reaching(run.uri):
        tags = [InputTag("mlflow.data.context", context)]
        backend.client(run.uri).log_inputs(run.run_id, [DatasetInput(data, tags)])


def _schema_text(schema: list[dict[str, Any]]) -> str | None:
    # MLflow's column for it holds 65,535 characters; a very wide table goes without.
    text = json.dumps({"mlflow_colspec": schema})
    return text if len(text) < 65_000 else None


def part_of(project: str, fingerprint: str, split_hash: str, part: str) -> tuple[str, str]:
    """Name and digest under which a part of a project's data is noted as an input."""
    return f"{project} {part}", digest_of([fingerprint, split_hash, part])[:32]


def log_data(run: RunRef, project: str, source: str, validated: ValidateRecord, parts: SplitRecord) -> None:
    """Notes the train, validation and test rows as inputs of the run."""
    for part in ("train", "validation", "test"):
        name, content = part_of(project, validated.fingerprint, parts.hash, part)
        log_dataset(
            run,
            name=name,
            digest=content,
            source=source,
            rows=getattr(parts, part),
            columns=validated.columns,
            context=part,
        )
