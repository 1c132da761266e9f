"""Fixtures that the whole tree shares: tiny made data, and a machine that never phones home."""

from __future__ import annotations

import json
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
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# Before any library reads its settings: a test must never leave this machine or write beside the code.
os.environ.update(
    DO_NOT_TRACK="true",
    MLFLOW_DISABLE_TELEMETRY="true",
    GX_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    MODELYARD_STANDBY="0",  # but for the tests of it: each `up` would import everything once more
)
for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MODELYARD_ROOT"):
    os.environ.pop(name, None)


# 100 examples of each property by default; 2,000 by HYPOTHESIS_PROFILE or --hypothesis-profile.
# No deadline: how long an example takes tells what else the machine does.
settings.register_profile("usual", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "usual")


@pytest.fixture(scope="session", autouse=True)
def never_forked() -> Iterator[None]:
    """This process, with what tests put into it, is nothing to fork helpers from."""
    from tasks.starting import offshoot

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offshoot, "keep_seed", lambda: False)
        yield


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No root is looked in yet: one of another test says nothing about what this one may import."""
    from tasks.own import extension

    monkeypatch.setattr(extension, "_permitted", extension._Permitted())


@pytest.fixture
def own_code_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test spawns import this checkout.

    They get this process' path, and MLflow puts the folder of each model that it loads before all else,
    with the model's own copy of `tasks`.
    """
    monkeypatch.syspath_prepend(ROOT)


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


# --- versions in a registry, without training --------------------------------------------------------


@dataclass(frozen=True)
class Shelf:
    """A root with a store of its own, whose model `houses` has untrained versions, each made in a moment."""

    root: Path
    rows: pd.DataFrame

    @property
    def uri(self) -> str:
        """The store, ready for use."""
        from tasks.registry import backend

        return backend.connect(self.root)

    def add(self, seed: int) -> int:
        """A version whose weights come from `seed`, without an alias; its number."""
        from tasks.registry import backend, pack, tracking, versions
        from tasks.store import sha256_file

        run = tracking.start_run(self.uri, "houses", self.root, tags={})
        client = backend.client(self.uri)
        model = client.create_logged_model(run.experiment_id, name="houses", source_run_id=run.run_id)
        with tempfile.TemporaryDirectory() as place:
            bundle, manifest = self._bundle(Path(place) / "fitted", seed)
            packed = pack.write(
                Path(place), bundle=bundle, manifest=manifest, example=self.rows.drop(columns="price")[:3],
                rows=self.rows, model_id=model.model_id, run_id=run.run_id, metadata={},
            )  # fmt: skip
            client.log_model_artifacts(model.model_id, str(packed))
            digest = sha256_file(bundle / "manifest.json")
        model = client.finalize_logged_model(model.model_id, "READY")
        made = versions.create(run, "houses", model, tags={versions.MANIFEST: digest}, description="made")
        return made.version

    def promote(self, version: int) -> None:
        """Gives a version the alias champion, by no more than the registry's client."""
        from tasks.registry import backend

        backend.client(self.uri).set_registered_model_alias("houses", "champion", str(version))

    def _bundle(self, folder: Path, seed: int) -> tuple[Path, dict[str, Any]]:
        import torch

        from tasks.features.schema import type_of
        from tasks.learning import scoring
        from tasks.learning.encode import Encoder, TableInputs
        from tasks.learning.targets import Scale

        folder.mkdir()
        encoder = Encoder(
            TableInputs.fit(self.rows, ["area", "rooms", "garden"], ["town"], "standard"),
            Scale.fit(self.rows["price"], "none"),
        )
        torch.manual_seed(seed)
        network = scoring.make_network({"kind": "neuron"}, encoder)
        names = ["area", "rooms", "garden", "town"]
        about = scoring.Bundle(
            task="regression", target="price", network={"kind": "neuron"}, image_shape=None, clean=[],
            unused=[], columns=[{"name": name, "type": type_of(self.rows[name].dtype)} for name in names],
            identity=[{"name": "area", "type": "number"}],
        )  # fmt: skip
        scoring.save(folder, about, encoder, network.state_dict(), self.rows[:2])
        return folder, json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="session")
def store_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ready database: making one costs seconds, copying it a moment."""
    from tasks.registry import backend

    root = tmp_path_factory.getbasetemp() / "mlflow-template"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        backend.connect(root)
    return root / "mlflow" / "mlflow.db"


@pytest.fixture
def shelf(
    store_template: Path, houses: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shelf:
    """Where untrained versions of the model `houses` can be made and promoted."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "shelf"
    (root / "mlflow").mkdir(parents=True)
    shutil.copy(store_template, root / "mlflow" / "mlflow.db")
    return Shelf(root, houses)
