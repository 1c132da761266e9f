"""Fixtures that the whole tree shares: tiny made data, and a machine that never phones home."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before any library reads its settings: a test must never leave this machine or write beside the code.
os.environ.update(
    DO_NOT_TRACK="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    GX_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
)
for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MODELYARD_ROOT"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def mnist() -> Path:
    """The four official IDX files, which are no part of the project."""
    folder = ROOT.parent / "shared" / "data" / "mnist"
    if not folder.exists():
        pytest.skip("the full MNIST files are not on this machine")
    return folder


@pytest.fixture
def houses() -> pd.DataFrame:
    """300 made houses: numbers with gaps, categories, and a skewed price that depends on them."""
    rng = np.random.default_rng(7)
    area = rng.gamma(9.0, 16.0, 300).round(1)
    town = rng.choice(["north", "south", "west"], 300, p=[0.5, 0.3, 0.2])
    rooms = rng.integers(1, 8, 300)
    worth = {"north": 1.0, "south": 1.3, "west": 0.8}
    price = area * 1500 * np.array([worth[t] for t in town]) * np.exp(rng.normal(0, 0.05, 300)) + rooms * 4000
    frame = pd.DataFrame({"area": area, "rooms": rooms, "town": town, "price": price.round(0)})
    frame["garden"] = np.where(rng.random(300) < 0.3, np.nan, rng.gamma(2.0, 50.0, 300).round(1))
    frame["town"] = frame["town"].astype("str")
    frame.index = pd.RangeIndex(len(frame), name="row")
    return frame[["area", "rooms", "garden", "town", "price"]]


@dataclass(frozen=True)
class Cluster:
    """A throw-away PostgreSQL server on this machine; its superuser `modelyard` needs no password."""

    programs: Path
    folder: Path
    port: int

    def url(self, driver: str = "", database: str = "postgres") -> str:
        """Address of a database, `postgresql://…`, or `postgresql+DRIVER://…`."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://modelyard@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Makes a database, as a copy of another that nobody is connected to; returns its name."""
        self._ask("createdb", "--template", template, database)
        return database

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement answers, as text: one line a row."""
        return self._ask("psql", "--no-psqlrc", "-qAt", "-c", statement, database).strip()

    def _ask(self, program: str, *words: str) -> str:
        place = ("--host", "127.0.0.1", "--port", str(self.port), "--username", "modelyard")
        command = [self.programs / program, *place, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def postgres_programs() -> Path | None:
    """Folder of initdb and its companions: what PATH finds, else the newest that Debian installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True
    )
    return next((folder for folder in folders if (folder / "initdb").is_file()), None)


def unprivileged() -> dict[str, object]:
    """As whom PostgreSQL runs, for subprocess: it refuses root."""
    if os.getuid():
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL cluster that lives as long as the tests; skipped where no `initdb` is found."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no initdb on PATH or below /usr/lib/postgresql")
    whom = unprivileged()
    with tempfile.TemporaryDirectory(prefix="modelyard-pg-") as name, socket.socket() as free:
        folder = Path(name)
        if whom:
            os.chown(folder, whom["user"], whom["group"])
        words = ["-D", folder / "data", "-U", "modelyard", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run([programs / "initdb", *words], check=True, capture_output=True, cwd=folder, **whom)
        free.bind(("127.0.0.1", 0))
        cluster = Cluster(programs, folder, free.getsockname()[1])
        free.close()
        careless = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
        options = [f"-c{setting}" for setting in (*careless, "listen_addresses=127.0.0.1")]
        command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-p", str(cluster.port)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*command, *options], stdout=log, stderr=log, cwd=folder, **whom)
        try:
            await_answer(cluster, server)
            yield cluster
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, without waiting for clients
            server.wait(30)


def await_answer(cluster: Cluster, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Returns once the server takes connections."""
    ready = [cluster.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(cluster.port)]
    deadline = time.monotonic() + seconds
    while subprocess.run(ready, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((cluster.folder / "log").read_text())
        time.sleep(0.1)
