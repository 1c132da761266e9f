"""MLflow's logged model of a run: made from a bundle, uploaded, tied to its metrics and its data."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import Register
from tasks.dataset import Dataset
from tasks.records import CleanRecord, EvaluateRecord, FitRecord, RunRef, SplitRecord, ValidateRecord
from tasks.registry import backend, lineage, pack
from tasks.registry.versions import INPUTS
from tasks.splitting import parts as split_parts

EXAMPLES = 3
"""Raw train rows that travel with a model as its input example."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the steps before handed over, and what becomes of it.

    Attributes:
        inputs: Digest of everything that made the model.
        champion: Version that the candidate was compared with, None if there was none.
    """

    run: RunRef
    raw: ValidateRecord
    cleaned: CleanRecord
    parts: SplitRecord
    fitted: FitRecord
    evaluated: EvaluateRecord
    rules: Register
    inputs: str
    tags: Mapping[str, str]
    champion: int | None
    root: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """What the bundle says of itself."""
        text = (self.fitted.folder / "manifest.json").read_text(encoding="utf-8")
        return dict(json.loads(text))

    def raw_inputs(self, rows: pd.Index) -> pd.DataFrame | np.ndarray:
        """Raw model inputs of some row ids: the manifest's columns, or pixels."""
        data = Dataset.load(self.raw.folder)
        if self.manifest["columns"] is None:
            assert data.pixels is not None
            return np.ascontiguousarray(data.pixels[data.rows.index.get_indexer(rows)])
        return data.rows.loc[rows, [column["name"] for column in self.manifest["columns"]]]


def logged_model(made: Candidate) -> Any:
    """The candidate as MLflow's logged model, whole; one that a crash left whole is used again.

    Raises:
        Unavailable: The store can't be reached.
    """
    with backend.reaching(made.run.uri):
        client = backend.client(made.run.uri)
        found = _left_behind(client, made)
        if found is None:
            model = _begin(client, made)
            with tempfile.TemporaryDirectory() as folder:
                client.log_model_artifacts(model.model_id, str(_packed(made, Path(folder), model.model_id)))
            found = client.finalize_logged_model(model.model_id, "READY")
        _log_scores(client, made, found.model_id)
        return found


def _left_behind(client: Any, made: Candidate) -> Any:
    found = client.search_logged_models(
        [made.run.experiment_id], filter_string=f"tags.`{INPUTS}` = '{made.inputs}'", max_results=10
    )
    return next((model for model in found if model.status == "READY"), None)


def _begin(client: Any, made: Candidate) -> Any:
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415

    manifest = made.manifest
    model = client.create_logged_model(
        made.run.experiment_id,
        name=re.sub(r"[/:.%\"']", "_", made.rules.name),  # MLflow refuses these in such a name
        source_run_id=made.run.run_id,
        tags={INPUTS: made.inputs},
        params={
            "network": manifest["network"]["kind"],
            "task": manifest["task"],
            "target": manifest["target"],
        },
        model_type=manifest["task"],
    )
    client.log_outputs(made.run.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def _packed(made: Candidate, folder: Path, model_id: str) -> Path:
    train = split_parts.load(made.parts.folder)
    examples = made.raw_inputs(train.index[train == "train"][:EXAMPLES])
    return pack.write(
        folder,
        bundle=made.fitted.folder,
        manifest=made.manifest,
        example=examples,
        rows=None if isinstance(examples, np.ndarray) else Dataset.load(made.raw.folder).rows,
        model_id=model_id,
        run_id=made.run.run_id,
        metadata={INPUTS: made.inputs},
    )


def _log_scores(client: Any, made: Candidate, model_id: str) -> None:
    """Ties the candidate's test metrics to the model and to the test rows."""
    project = made.tags.get("modelyard.project", made.rules.name)
    source = ", ".join(file.name for file in made.raw.files)
    lineage.log_data(made.run, project, source, made.raw, made.parts)
    name, digest = lineage.part_of(project, made.raw.fingerprint, made.parts.hash, "test")
    for metric, value in made.evaluated.score("candidate").metrics.items():
        if math.isfinite(value):
            client.log_metric(
                made.run.run_id,
                f"test_{metric}",
                float(value),
                model_id=model_id,
                dataset_name=name,
                dataset_digest=digest,
            )
