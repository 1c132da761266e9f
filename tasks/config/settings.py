"""Settings of a root: where its servers listen and keep their state, and who works for it.

They stand in `ROOT/.modelyard.yaml`, which need not exist. No password belongs into it: the drivers
of both servers read PGPASSWORD, PGPASSFILE and ~/.pgpass by themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from tasks.config.base import Strict
from tasks.config.explain import checked
from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError, did_you_mean, quoted

FILE = ".modelyard.yaml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPTIONS = ("host", "sslmode")
"""Options of a database's address that mean the same to both drivers."""
_SCHEDULER = re.compile(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")
_PLACE = re.compile(r"(s3|gs|wasbs|abfss)://[^/\s]+(/[^\s?#]*)?")


def _database(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("expected postgresql://USER@HOST:PORT/DATABASE; leave it out for SQLite")
    if parts.password is not None:
        raise ValueError("holds a password; take it out and use ~/.pgpass or PGPASSWORD")
    if not parts.path.strip("/"):
        raise ValueError("names no database: expected postgresql://USER@HOST:PORT/DATABASE")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise ValueError(f"unknown option {quoted(name)}; {did_you_mean(name, _OPTIONS)}")
    return url.replace("postgres://", "postgresql://", 1)


def _artifacts(place: str) -> str:
    if not place.startswith("/") and not _PLACE.fullmatch(place):
        raise ValueError(
            f"{quoted(place)} is neither an absolute folder nor s3://BUCKET/... or gs://BUCKET/..."
        )
    return place.rstrip("/")


def _scheduler(address: str) -> str:
    if not _SCHEDULER.fullmatch(address):
        raise ValueError(
            f"{quoted(address)} is no scheduler's address: expected tcp://HOST:PORT or tls://HOST:PORT"
        )
    return address


Database = Annotated[str, AfterValidator(_database)]
Port = Annotated[int, Field(ge=1, le=65535)]


class PrefectPlace(Strict):
    """The Prefect server: its port, and its database where that is not SQLite."""

    port: Port | None = None
    database: Database | None = None


class MlflowPlace(Strict):
    """The MLflow server and store: port, database, and where artifacts go."""

    port: Port | None = None
    database: Database | None = None
    artifacts: Annotated[str, AfterValidator(_artifacts)] | None = None


class Cluster(Strict):
    """Who works on the pieces of a table that is streamed.

    Attributes:
        engine: `here` is the process that asks, alone; `processes` are several of its machine; `dask` is a
            Dask cluster.
        workers: Processes, one a core by default; of a Dask cluster how many must have joined.
        address: Of the Dask scheduler.
    """

    engine: Literal["here", "processes", "dask"] = "here"
    workers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    address: Annotated[str, AfterValidator(_scheduler)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Cluster:
        if self.engine == "dask" and self.address is None:
            raise ValueError("address: is missing: tcp://HOST:PORT of the Dask scheduler")
        if self.engine != "dask" and self.address is not None:
            raise ValueError("address: is a Dask scheduler's; say engine: dask, or leave it out")
        if self.engine == "here" and self.workers is not None:
            raise ValueError("workers: say engine: processes or dask, or leave it out")
        return self


class Training(Strict):
    """Machines that train one network together, over which `fit.processes` are spread evenly.

    Attributes:
        nodes: How many.
        rendezvous: HOST:PORT where they meet; the host is the machine that the run is started on.
    """

    nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    rendezvous: Annotated[str, Field(pattern=r"^([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$")] | None = None

    @model_validator(mode="after")
    def _met(self) -> Training:
        if (self.nodes > 1) != (self.rendezvous is not None):
            raise ValueError("rendezvous: HOST:PORT belongs to more than one of nodes, and they to it")
        return self


class Settings(Strict):
    """A root's settings.

    Attributes:
        host: Address that the servers listen on; any but loopback needs `up --expose` too.
        names: Names, with a port where it is not the servers' own, by which browsers reach an
            exposed host; a request for another name is refused.
        prefect: The Prefect server.
        mlflow: The MLflow server and store.
        standby: Whether `up` keeps a process ready that has everything imported; it takes about 0.6 GB and
            saves each command five seconds.
        cluster: Who prepares tables that are streamed.
        training: Machines that train together.
        plugins: Installed packages whose functions a project's settings may name as parts of its own, besides
            modules of the root.
    """

    host: str = Field("127.0.0.1", min_length=1)
    names: tuple[str, ...] = ()
    prefect: PrefectPlace = PrefectPlace()
    mlflow: MlflowPlace = MlflowPlace()
    standby: bool = True
    cluster: Cluster = Cluster()
    training: Training = Training()
    plugins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> Settings:
        if self.prefect.port is not None and self.prefect.port == self.mlflow.port:
            raise ValueError(f"mlflow.port: {self.mlflow.port} is prefect.port too")
        if self.prefect.database is not None and self.prefect.database == self.mlflow.database:
            raise ValueError("mlflow.database: is prefect.database too; both would write a table of one name")
        return self


def root_settings(root: Path) -> Settings:
    """The settings of the root; those that `.modelyard.yaml` leaves out are the defaults.

    Raises:
        ConfigError: The file can't be read, or breaks the schema; every error at once.
        UnsafeInput: A YAML tag that would build an object.
    """
    path = root / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    tree = parse(text, str(path))
    if tree is None:
        return Settings()
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(tree).__name__}")
    return checked(tree, path, Settings)


def for_asyncpg(database: str) -> str:
    """Address of a database for Prefect's driver, which calls `sslmode` by another name."""
    rest = database.removeprefix("postgresql://")
    return "postgresql+asyncpg://" + re.sub(r"(?<=[?&])sslmode=", "ssl=", rest)
