"""Versions and aliases in MLflow's registry, as they are; `promotion` alone moves an alias.

Two aliases carry meaning: `champion`, the version that scores, and `challenger`, the latest one that
passed its gate. The registered model's tag `modelyard.champion` remembers the last promotion: an
alias that is gone although it was set once means that somebody removed it or deleted its version.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.records import ModelVersion, RunRef
from tasks.registry import backend
from tasks.registry.stores import sqlite

CHAMPION = "champion"
CHALLENGER = "challenger"
INPUTS = "modelyard.inputs"
MANIFEST = "modelyard.manifest"
DECISION = "modelyard.decision"
METRIC = "modelyard.metric"
FINGERPRINT = "modelyard.data"
SPLIT = "modelyard.split"
FAILED = "failed"


def versions(uri: str, name: str) -> list[ModelVersion]:
    """Every version of the model called exactly `name`, newest first, without their bundles."""
    with backend.reaching(uri):
        client = backend.client(uri)
        borne = aliases(client, name)
        found, token = [], None
        while True:
            page = client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token)
            found += [plain(entry, borne) for entry in page if entry.name == name]
            token = page.token
            if not token:
                return sorted(found, key=lambda entry: -entry.version)


def glimpse(root: Path, name: str) -> list[tuple[ModelVersion, str | None]] | None:
    """As `versions`, each with its `decision`, but without loading MLflow, which takes a second or two.

    Returns:
        None where the store is not the root's own file, or that can't be read: ask MLflow then.
    """
    path = backend.local_file(root)
    if path is None:
        return None
    if not path.exists():
        return []
    try:
        found, borne = sqlite.registered(path, name)
    except sqlite3.Error:
        return None
    return [(plain(entry, borne), entry.tags.get(DECISION)) for entry in found]


def aliased(uri: str) -> list[ModelVersion]:
    """Every version of any model that bears an alias, without their bundles."""
    names, token = [], None
    with backend.reaching(uri):
        client = backend.client(uri)
        while True:
            page = client.search_registered_models(max_results=200, page_token=token)
            names += [entry.name for entry in page]
            token = page.token
            if not token:
                break
    return [entry for name in names for entry in versions(uri, name) if entry.aliases]


def find(uri: str, name: str, inputs: str) -> ModelVersion | None:
    """The version that was made from `inputs`, the newest should there be several."""
    return next((entry for entry in versions(uri, name) if entry.inputs == inputs), None)


def create(run: RunRef, name: str, model: Any, *, tags: Mapping[str, str], description: str) -> ModelVersion:
    """A new version of `name`, made from a logged model; it bears every tag from its first moment."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    with backend.reaching(run.uri):
        client = backend.client(run.uri)
        try:
            client.create_registered_model(name, description=f"Made by modelyard, project runs of {name}.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # The location, not models:/ID: the SQL store resolves that through MLflow's ambient URI.
        entry = client.create_model_version(
            name,
            model.artifact_location,
            run.run_id,
            tags=dict(tags),
            description=description,
            model_id=model.model_id,
        )
        mark = json.dumps([{"name": name, "version": str(entry.version)}])
        client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": mark})
    return plain(entry, {})


def alias(uri: str, name: str, which: str) -> int | None:
    """Number of the version that bears an alias, if any does."""
    with backend.reaching(uri):
        return aliases(backend.client(uri), name).get(which)


def decision(uri: str, known: ModelVersion) -> str | None:
    """What became of a version: promoted, challenger, superseded by ..., failed; None if that is open."""
    with backend.reaching(uri):
        entry = get(backend.client(uri), known.name, known.version)
    return None if entry is None else entry.tags.get(DECISION)


def tag(uri: str, known: ModelVersion, tags: Mapping[str, str]) -> None:
    """Sets tags of a version."""
    with backend.reaching(uri):
        client = backend.client(uri)
        for key, value in tags.items():
            client.set_model_version_tag(known.name, str(known.version), key, value)


def aliases(client: Any, name: str) -> dict[str, int]:
    """Version of each alias that the model has."""
    model = _model(client, name)
    return {} if model is None else {key: int(number) for key, number in model.aliases.items()}


def model_tags(client: Any, name: str) -> dict[str, str]:
    """Tags of the registered model; none where there is no such model."""
    model = _model(client, name)
    return {} if model is None else dict(model.tags)


def _model(client: Any, name: str) -> Any:
    return _or_none(lambda: client.get_registered_model(name))


def get(client: Any, name: str, number: int) -> Any:
    """MLflow's record of a version, or None."""
    return _or_none(lambda: client.get_model_version(name, str(number)))


def _or_none(ask: Any) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def borne(aliases: Mapping[str, int], number: int) -> tuple[str, ...]:
    """Names of the aliases that a version bears, the champion's first."""
    mine = (key for key, value in aliases.items() if value == number)
    return tuple(sorted(mine, key=lambda key: (key != CHAMPION, key)))


def plain(entry: Any, aliases: Mapping[str, int]) -> ModelVersion:
    """MLflow's record as ours."""
    number = int(entry.version)
    return ModelVersion(
        name=entry.name,
        version=number,
        aliases=borne(aliases, number),
        run_id=entry.run_id or None,
        inputs=entry.tags.get(INPUTS),
        created=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
    )
