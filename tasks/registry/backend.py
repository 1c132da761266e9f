"""Where MLflow keeps its state, how that is opened, and what its failures mean.

By default the store is one SQLite file, `ROOT/mlflow/mlflow.db`, with artifacts beside it. The root's
settings may name a PostgreSQL database and another place for artifacts; `MLFLOW_TRACKING_URI` replaces
them all. MLflow is imported inside functions, after the switches that it
reads at import (telemetry, logging) are set, and because its import takes a second.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.config import root_settings
from tasks.errors import ConfigError, ModelyardError, RegistryConflict, Unavailable, quoted
from tasks.registry.stores import postgres, sqlite
from tasks.spans import span

LOCK_SECONDS = 60.0
"""How long one process waits for another that holds a lock."""

_SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # MLflow honours only the literal "true"
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # would copy the lock file of whatever folder we run in
    "PGCONNECT_TIMEOUT": "5",
}
_REMOTE_SWITCHES = {
    # MLflow's own defaults block one call for 246 s when the server is absent.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_GONE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_OURS = ("RESOURCE_ALREADY_EXISTS", "INVALID_PARAMETER_VALUE")
"""Codes of MLflow errors that speak of a request; all but these mean that the store is not usable."""


def connect(root: Path) -> str:
    """The tracking URI, with the store behind it ready for use.

    The store is made once, by whoever comes first, under a file lock.

    Args:
        root: Folder that holds `mlflow/`.

    Returns:
        `MLFLOW_TRACKING_URI` where that is set, else the database that the root's settings name, else
        the absolute URI of the local store.

    Raises:
        Unavailable: The store can't be reached, is damaged or not a database.
        ConfigError: The root's settings are wrong, or ask for a package that is not installed.
    """
    _set_switches(_SWITCHES)
    if uri := os.environ.get("MLFLOW_TRACKING_URI", "").strip():
        _set_switches(_REMOTE_SWITCHES if is_remote(uri) else {})
        quiet()
        return uri
    quiet()
    settings = root_settings(root).mlflow
    _check_reader(settings.artifacts)
    with locked(root / "mlflow" / ".lock", waiting_for="the MLflow store to be made"):
        return _local(root) if settings.database is None else _shared(root, settings.database)


def is_there(root: Path) -> bool:
    """Whether there is a store, so that `connect` would not make one; it may be out of reach."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or root_settings(root).mlflow.database
    return bool(named) or (root / "mlflow" / "mlflow.db").exists()


def _local(root: Path) -> str:
    path = _file(root)
    uri = f"sqlite:///{path}"
    if not path.exists():
        with reaching(uri), span("MLflow store"):
            sqlite.make(path, artifacts(root, "Default"))
    try:
        sqlite.check(path)
    except sqlite3.Error as error:
        raise _unavailable(uri, error) from None
    return uri


def _shared(root: Path, database: str) -> str:
    postgres.reach(database)
    with reaching(database):
        postgres.prepare(database, artifacts(root, "Default"))
    return database


def local_file(root: Path) -> Path | None:
    """The file of the local store, made or not; None where the store is a server or another database."""
    if os.environ.get("MLFLOW_TRACKING_URI", "").strip() or root_settings(root).mlflow.database:
        return None
    return _file(root)


def _file(root: Path) -> Path:
    return (root / "mlflow" / "mlflow.db").resolve()


def is_remote(uri: str) -> bool:
    """Whether a server stands between us and the store; it then decides where artifacts go."""
    return uri.startswith(("http://", "https://", "databricks"))


def artifacts(root: Path, project: str) -> str:
    """URI of the folder for a project's artifacts, in a store that no server stands before."""
    place = root_settings(root).mlflow.artifacts
    if place is not None and "://" in place:
        return f"{place}/{project}"
    folder = Path(place) if place else (root / "mlflow" / "artifacts").resolve()
    return (folder / project).as_uri()


def client(uri: str) -> Any:
    """An `MlflowClient` for runs and registry at `uri`; nothing ambient is read or set."""
    quiet()
    from mlflow import MlflowClient  # noqa: PLC0415 - takes a second

    with reaching(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def without_credentials(text: str) -> str:
    """`text` with user and password taken out of every URL in it."""
    return re.sub(r"://[^/@\s]+@", "://", text)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turns MLflow's failures into ours; those of a request that makes no sense pass, as bugs do.

    Raises:
        Unavailable: The store can't be reached, refuses us or can't be read.
        RegistryConflict: What was asked for is not there: a run, say, that was deleted meanwhile.
    """
    quiet()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        with span("MLflow"):
            yield
    except ModelyardError:
        raise
    except MlflowException as error:
        if error.error_code in _OURS:
            raise
        if error.error_code in _GONE:
            raise RegistryConflict(
                f"MLflow store {without_credentials(uri)}: {quoted(_first_line(error))}",
                fix="see whether it was deleted there; then train again",
            ) from None
        raise _unavailable(uri, error) from None
    except (SQLAlchemyError, ConnectionError, TimeoutError) as error:
        raise _unavailable(uri, error) from None


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0]


def _unavailable(uri: str, error: object) -> Unavailable:
    problem = without_credentials(_first_line(error))
    if status := re.search(r"error code (\d{3})", str(error)):
        problem = f"it answered with HTTP status {status[1]}"
    elif "not in a valid" in str(error):
        problem = "it answered with something else than JSON"
    fix = "see that the server runs and accepts you"
    if uri.startswith("sqlite"):
        fix = "another process may hold it: try again; if it is damaged, put back a copy (mlflow/README.md)"
    if "out-of-date database schema" in str(error):
        fix = "back it up, then run `mlflow db upgrade` with the MLflow version of requirements.lock"
    return Unavailable(f"MLflow store {without_credentials(uri)}: {quoted(problem)}", fix=fix)


@contextmanager
def locked(path: Path, *, waiting_for: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Holds an exclusive lock on the file at `path`; the kernel drops it when its owner dies.

    It binds processes of one machine only.

    Raises:
        RegistryConflict: Another process held it for all of `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a+") as file:
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise RegistryConflict(
                    f"another process (pid {_owner(path)}) holds {path}; "
                    f"waited {seconds:.0f} s for {waiting_for}",
                    fix="let it finish, or end it; the lock goes with it",
                )
            time.sleep(0.02)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield  # closing the file releases the lock


def _try_lock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() or "unknown"


def _set_switches(switches: dict[str, str]) -> None:
    for name, value in switches.items():
        os.environ.setdefault(name, value)


def quiet() -> None:
    """Keeps MLflow and its migrations off the terminal and the network; a level asked for is left."""
    _set_switches(_SWITCHES)
    # MLflow's import sets the log handlers that are taken away below.
    from mlflow.telemetry import set_telemetry_client  # noqa: PLC0415

    set_telemetry_client()  # in case mlflow was imported before the switches were set
    if os.environ.get("MLFLOW_LOGGING_LEVEL"):
        return
    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False


def _check_reader(place: str | None) -> None:
    """MLflow reads an object store through a package that is not among our own."""
    readers = {"s3": ("boto3", "boto3"), "gs": ("google.cloud.storage", "google-cloud-storage")}
    module, package = readers.get((place or "").partition("://")[0], ("", ""))
    if module and not _installed(module):
        raise ConfigError(f"artifacts at {place} need the package {package}", fix=f"pip install {package}")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
