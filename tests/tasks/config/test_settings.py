"""Settings of a root: defaults without a file, every mistake at once, no password in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tasks.config import Settings, root_settings
from tasks.config.settings import FILE, for_asyncpg
from tasks.errors import ConfigError

SECRET = "open-sesame"


def write(root: Path, text: str) -> Path:
    (root / FILE).write_text(text)
    return root


def test_defaults_without_a_file(tmp_path: Path) -> None:
    assert root_settings(tmp_path) == Settings()
    assert root_settings(write(tmp_path, "# nothing yet\n")) == Settings()
    assert Settings().host == "127.0.0.1"


def test_all_of_it(tmp_path: Path) -> None:
    text = """
        host: 10.0.0.4
        names: [yard.example]
        prefect: {port: 4300, database: "postgresql://yard@db.example/prefect"}
        mlflow: {port: 5300, database: "postgres://yard@db.example/mlflow?sslmode=require", artifacts: s3://b/x/}
    """
    found = root_settings(write(tmp_path, text))
    assert found.names == ("yard.example",)
    assert (found.prefect.port, found.mlflow.port) == (4300, 5300)
    assert found.mlflow.database == "postgresql://yard@db.example/mlflow?sslmode=require"
    assert found.mlflow.artifacts == "s3://b/x"


def test_every_mistake_at_once(tmp_path: Path) -> None:
    text = "prefect: {prot: 4200}\nmlflow: {port: 70000, artifacts: here, dtabase: x}\nhosts: 127.0.0.1\n"
    with pytest.raises(ConfigError) as caught:
        root_settings(write(tmp_path, text))
    message = str(caught.value)
    for part in ("5 errors", "prefect.prot", "'port'", "mlflow.port", "'database'", "artifacts", "'host'"):
        assert part in message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://yard@db/prefect", "expected postgresql://"),
        ("postgresql://yard@db", "names no database"),
        ("postgresql://yard@db/prefect?sslmod=require", "did you mean 'sslmode'"),
    ],
)
def test_databases_that_are_refused(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        root_settings(write(tmp_path, f"prefect: {{database: '{url}'}}"))


def test_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = f"mlflow: {{database: 'postgresql://yard:{SECRET}@db/mlflow'}}"
    with pytest.raises(ConfigError, match="pgpass") as caught:
        root_settings(write(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_servers_do_not_share_port_or_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mlflow.port"):
        root_settings(write(tmp_path, "prefect: {port: 4000}\nmlflow: {port: 4000}"))
    same = "database: 'postgresql://yard@db/one'"
    with pytest.raises(ConfigError, match=r"mlflow.database"):
        root_settings(write(tmp_path, f"prefect: {{{same}}}\nmlflow: {{{same}}}"))


def test_address_for_asyncpg() -> None:
    url = make_url(for_asyncpg("postgresql://yard@db:5433/prefect?sslmode=require"))
    assert (url.drivername, url.port, url.query) == ("postgresql+asyncpg", 5433, {"ssl": "require"})
    url = make_url(for_asyncpg("postgresql:///prefect?host=/run/postgresql"))
    assert url.query == {"host": "/run/postgresql"}


@pytest.mark.parametrize(
    ("given", "engine", "workers"),
    [
        ("{engine: processes}", "processes", None),
        ("{engine: processes, workers: 3}", "processes", 3),
        ('{engine: dask, address: "tls://[::1]:8786", workers: 2}', "dask", 2),
    ],
)
def test_a_cluster(tmp_path: Path, given: str, engine: str, workers: int | None) -> None:
    found = root_settings(write(tmp_path, f"cluster: {given}\n")).cluster
    assert (found.engine, found.workers) == (engine, workers)
    assert Settings().cluster.engine == "here"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{engine: dask}", "address: is missing: tcp://HOST:PORT"),
        ("{engine: processes, address: 'tcp://a:1'}", "say engine: dask, or leave it out"),
        (
            "{engine: dask, address: 'dask.example:8786'}",
            "is no scheduler's address: expected tcp://HOST:PORT",
        ),
        ("{engine: dask, address: 'tcp://a:1/x'}", "is no scheduler's address"),
        ("{workers: 2}", "workers: say engine: processes or dask"),
        ("{engine: ray}", "engine"),
        ("{engine: processes, workers: 0}", "workers"),
        ("{engine: processes, worker: 2}", "'workers'"),
    ],
)
def test_clusters_that_are_refused(tmp_path: Path, given: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        root_settings(write(tmp_path, f"cluster: {given}\n"))
    assert words in str(caught.value)


def test_machines_that_train_together(tmp_path: Path) -> None:
    found = root_settings(write(tmp_path, "training: {nodes: 2, rendezvous: 'gpu.example:29400'}\n")).training
    assert (found.nodes, found.rendezvous) == (2, "gpu.example:29400")
    for given in ("{nodes: 2}", "{rendezvous: 'a:1'}", "{nodes: 2, rendezvous: a}", "{nodes: 0}"):
        with pytest.raises(ConfigError, match="training"):
            root_settings(write(tmp_path, f"training: {given}\n"))
