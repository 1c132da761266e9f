"""The MLflow store in PostgreSQL: reached within seconds, made once."""

from __future__ import annotations

from tasks.errors import Unavailable

PATIENCE = 5
"""Seconds to wait for a connection; MLflow by itself would try for minutes."""


def reach(database: str) -> None:
    """Connects once. The address bears no password: the driver finds it.

    Raises:
        Unavailable: The server does not answer, refuses us or has no such database.
    """
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    engine = create_engine(database, connect_args={"connect_timeout": PATIENCE})
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        raise Unavailable(
            f"database {database}: {said}",
            fix="see that the server runs, that the database exists, and ~/.pgpass or PGPASSWORD",
        ) from None
    finally:
        engine.dispose()


def prepare(database: str, artifacts: str) -> None:
    """Makes MLflow's tables in a database that has none, once among all machines that share it.

    Args:
        database: Its address.
        artifacts: URI of the place for artifacts of MLflow's experiment `Default`.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - takes a second
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    engine = create_engine(database)
    try:
        with engine.connect() as connection:
            if connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL")):
                return
            # Held until this connection closes, also if we are killed; a second machine finds tables.
            connection.execute(text("SELECT pg_advisory_lock(hashtext('modelyard.mlflow'))"))
            SqlAlchemyStore(database, artifacts).engine.dispose()
    finally:
        engine.dispose()
