"""The MLflow store in one SQLite file: a file that exists has every table."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks.store import blanks, flush

_VERSIONS = """
    SELECT version, run_id, creation_time FROM model_versions
    WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version DESC
"""
"""A deleted version's row stays, and bears that stage."""
_RUN = "SELECT 1 FROM runs WHERE run_uuid = ? AND status = 'FINISHED' AND lifecycle_stage = 'active'"


@dataclass(frozen=True)
class Entry:
    """A version as the file has it, under the names that MLflow gives to the same."""

    name: str
    version: int
    run_id: str | None
    creation_timestamp: int
    tags: dict[str, str]


def make(path: Path, artifacts: str) -> None:
    """Builds the store under another name and renames it, so that a crash leaves none.

    Write-ahead mode halves what a metric costs and lets readers read during a write.

    Args:
        path: The file.
        artifacts: URI of the place for artifacts of MLflow's experiment `Default`.
    """
    temporary = path.with_name(".mlflow.db.new")
    _remove(temporary)  # what a process that died left behind
    try:
        with _unhurried():
            blanks.provide("mlflow", temporary, partial(_migrate, temporary))
            _open(temporary, artifacts)
        with closing(sqlite3.connect(temporary)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # a property of the file: once is for ever
        flush(temporary)
        temporary.replace(path)
    finally:
        _remove(temporary)


def prepare() -> None:
    """Makes the empty database ahead that is kept, when the installation is made."""
    with tempfile.TemporaryDirectory() as place:
        make(Path(place) / "mlflow.db", Path(place).as_uri())


def _migrate(path: Path) -> None:
    """Makes MLflow's tables, with nothing in them that belongs to one store."""
    _open(path, path.parent.as_uri())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM experiments")


def _open(path: Path, artifacts: str) -> None:
    """Opens it as MLflow does, which makes the tables and the experiment `Default` where they lack."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes a second

    SqlAlchemyStore(f"sqlite:///{path}", artifacts).engine.dispose()


@contextmanager
def _unhurried() -> Iterator[None]:
    """Within this block SQLite waits for no disk: a hundred migrations would, and take seconds more."""
    from sqlalchemy import Engine, event  # noqa: PLC0415

    def relax(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


def check(path: Path) -> None:
    """Reads a little: SQLite tells of a damaged file at once, where MLflow would retry for minutes.

    Raises:
        sqlite3.Error: It is damaged, no database, or not whole.
    """
    with closing(sqlite3.connect(path, timeout=5)) as database:
        found = database.execute("SELECT count(*) FROM alembic_version").fetchone()
    if found != (1,):
        raise sqlite3.DatabaseError("its tables are incomplete")


def registered(path: Path, name: str) -> tuple[list[Entry], dict[str, int]]:
    """The versions of a model, newest first, and its aliases; read here, since MLflow takes a second to load.

    Raises:
        sqlite3.Error: The file is damaged, or its tables are others than we know.
    """
    with closing(sqlite3.connect(path, timeout=5)) as database:
        borne = dict(
            database.execute("SELECT alias, version FROM registered_model_aliases WHERE name = ?", [name])
        )
        tags: dict[int, dict[str, str]] = {}
        asked = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
        for number, key, value in database.execute(asked, [name]):
            tags.setdefault(number, {})[key] = value
        found = [
            Entry(name, number, run_id, created, tags.get(number, {}))
            for number, run_id, created in database.execute(_VERSIONS, [name])
        ]
    return found, borne


def has_finished(path: Path, run_id: str) -> bool:
    """Whether a run came to its end and was not deleted since. Raises as `registered` does."""
    with closing(sqlite3.connect(path, timeout=5)) as database:
        return database.execute(_RUN, [run_id]).fetchone() is not None


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
