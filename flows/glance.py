"""What `modelyard status` looks at, within seconds, whatever of it is down."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.servers import prefect_server, standing
from flows.servers.prefect_server import Server
from tasks import config
from tasks.errors import ModelyardError
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
    champions, problem = _champions(root)
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


def _champions(root: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Each project with its champion and since when that is registered; None where there is none."""
    projects = config.names(root)
    nobody = [{"project": name, "version": None, "created": None} for name in projects]
    elsewhere = os.environ.get("MLFLOW_TRACKING_URI") or config.root_settings(root).mlflow.database
    if not elsewhere and not (root / "mlflow" / "mlflow.db").exists():
        return nobody, None
    for name, value in HASTE.items():
        os.environ.setdefault(name, value)
    from tasks.registry import backend, tracking  # noqa: PLC0415

    try:
        uri = tracking.connect(root)
        with backend.reaching(uri):
            client = backend.client(uri)
            return [_champion(client, root, name) for name in projects], None
    except ModelyardError as error:
        return nobody, str(error)


def _champion(client: Any, root: Path, project: str) -> dict[str, Any]:
    from tasks.registry import versions  # noqa: PLC0415

    try:
        model = config.load(root, project).config.register_as.name
    except ModelyardError:  # `projects` and `doctor` say what is wrong with it
        model = project
    number = versions.aliases(client, model).get(versions.CHAMPION)
    entry = None if number is None else versions.get(client, model, number)
    created = None if entry is None else entry.creation_timestamp / 1000
    return {"project": project, "version": number, "created": created}


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
