"""The MLflow store in one SQLite file: a file that exists has every table."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path


def make(path: Path, artifacts: str) -> None:
    """Builds the store under another name and renames it, so that a crash leaves none.

    Write-ahead mode halves what a metric costs and lets readers read during a write.

    Args:
        path: The file.
        artifacts: URI of the place for artifacts of MLflow's experiment `Default`.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes a second

    temporary = path.with_name(".mlflow.db.new")
    _remove(temporary)  # what a process that died left behind
    try:
        SqlAlchemyStore(f"sqlite:///{temporary}", artifacts).engine.dispose()
        with closing(sqlite3.connect(temporary)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # a property of the file: once is for ever
        temporary.replace(path)
    finally:
        _remove(temporary)


def check(path: Path) -> None:
    """Reads a little: SQLite tells of a damaged file at once, where MLflow would retry for minutes.

    Raises:
        sqlite3.Error: It is damaged, no database, or not whole.
    """
    with closing(sqlite3.connect(path, timeout=5)) as database:
        found = database.execute("SELECT count(*) FROM alembic_version").fetchone()
    if found != (1,):
        raise sqlite3.DatabaseError("its tables are incomplete")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
