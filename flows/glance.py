"""What `modelyard status` looks at, within seconds, whatever of it is down."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from flows.servers import credentials, prefect_server, standing
from flows.servers.prefect_server import Server
from tasks import config
from tasks.errors import ModelyardError, Unavailable
from tasks.records import ModelVersion
from tasks.wording import duration

PATIENCE = 2.0
"""Seconds that a server has to answer."""
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
"""A tracking server that is away is said to be away at once."""


def look(root: Path) -> dict[str, Any]:
    """Servers, champions, schedules and runs as plain data; what can't be seen is named in `problem`."""
    told = standing.read(root)
    servers = [{"name": name, **each} for name, each in told["services"].items()] if told else []
    found: dict[str, Any] = {"root": str(root), "up": told is not None, "servers": servers}
    seen, trouble = _runs(root, told is not None)
    champions, problem = _champions(root, told["services"].get("mlflow") if told else None)
    problems = [text for text in (trouble, problem) if text]
    return {**found, **seen, "champions": champions, "problem": "; ".join(problems) or None}


def lines(title: str, rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows for a table of `champions`, `schedules` or `runs`."""
    if title == "champions":
        return [
            {"project": row["project"], "version": _text(row["version"]), "age": _age(row["created"])}
            for row in rows
        ]
    if title == "schedules":
        heads = ("project", "flow", "name", "cron", "timezone", "next")
        return [{head: _text(row.get(head)) for head in heads} for row in rows if row.get("active", True)]
    heads = ("project", "name", "state", "started", "seconds", "message")
    return [{head: _text(row.get(head)) for head in heads} for row in rows]


def _runs(root: Path, up: bool) -> tuple[dict[str, Any], str | None]:
    """Schedules and runs, where a server that outlives this command knows of any."""
    nothing: dict[str, Any] = {"schedules": [], "runs": []}
    url = prefect_server.configured_url()
    if not up and url is None:
        return nothing, None
    try:
        with prefect_server.prefect_server(root) as server:
            if not prefect_server.healthy(server.url or "", patience=PATIENCE):
                return nothing, f"the Prefect API at {server.url} does not answer"
            return _read(root, server)
    except ModelyardError as error:
        return nothing, str(error)


def _read(root: Path, server: Server) -> tuple[dict[str, Any], str | None]:
    from flows.operate import overview  # noqa: PLC0415 - Prefect takes seconds

    seen = overview.read(root, server)
    return {"schedules": seen["schedules"], "runs": seen["runs"]}, seen.get("problem")


def _champions(root: Path, mlflow: dict[str, Any] | None) -> tuple[list[dict[str, Any]], str | None]:
    """Each project with its champion and since when that is registered; None where there is none."""
    models = {project: _model(root, project) for project in config.names(root)}
    found: dict[str, dict[str, Any] | None] = {}
    problem = None
    try:
        if mlflow is not None:  # MLflow itself takes two seconds to load
            head = credentials.header(credentials.read(root))
            found = {name: _asked(mlflow["url"], head, name) for name in models.values()}
        else:
            found = _stored(root, list(models.values()))
    except ModelyardError as error:
        problem = str(error)
    nobody = {"version": None, "created": None}
    return [{"project": project, **(found.get(name) or nobody)} for project, name in models.items()], problem


def _model(root: Path, project: str) -> str:
    try:
        return config.load(root, project).config.register_as.name
    except ModelyardError:  # `projects` and `doctor` say what is wrong with it
        return project


def _asked(url: str, head: dict[str, str], model: str) -> dict[str, Any] | None:
    """The champion, asked of the server that is up."""
    query = urlencode({"name": model, "alias": "champion"})
    request = Request(f"{url}/api/2.0/mlflow/registered-models/alias?{query}", headers=head)  # noqa: S310
    try:
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            entry = json.load(answer)["model_version"]
    except HTTPError as error:
        if error.code in (400, 404):  # no such model, or no such alias
            return None
        raise Unavailable(f"MLflow at {url}: HTTP status {error.code}") from None
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"MLflow at {url} does not answer: {error}") from None
    return {"version": int(entry["version"]), "created": int(entry["creation_timestamp"]) / 1000}


def _stored(root: Path, models: list[str]) -> dict[str, dict[str, Any] | None]:
    """The champions, read in the store; none where no store was made yet."""
    from tasks.registry import backend, tracking, versions  # noqa: PLC0415

    seen = {model: versions.glimpse(root, model) for model in models}
    if all(found is not None for found in seen.values()):
        return {model: _champion(found or []) for model, found in seen.items()}
    for name, value in HASTE.items():
        os.environ.setdefault(name, value)
    uri = tracking.connect(root)
    found: dict[str, dict[str, Any] | None] = {}
    with backend.reaching(uri):
        client = backend.client(uri)
        for model in models:
            number = versions.aliases(client, model).get(versions.CHAMPION)
            entry = None if number is None else versions.get(client, model, number)
            created = None if entry is None else entry.creation_timestamp / 1000
            found[model] = {"version": number, "created": created}
    return found


def _champion(seen: list[tuple[ModelVersion, str | None]]) -> dict[str, Any] | None:
    champion = next((version for version, _ in seen if "champion" in version.aliases), None)
    if champion is None or champion.created is None:
        return None
    created = datetime.fromisoformat(champion.created).timestamp()
    return {"version": champion.version, "created": created}


def _age(created: float | None) -> str:
    if created is None:
        return ""
    seconds = max(time.time() - created, 0)
    return f"{seconds / 86400:.0f} days" if seconds > 2 * 86400 else duration(seconds)


def _text(value: object) -> str:
    """A cell: times as a clock on the wall shows them."""
    if isinstance(value, str) and "T" in value:
        try:
            return datetime.fromisoformat(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        except ValueError:
            return value
    return "" if value is None else str(value)
