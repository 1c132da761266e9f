"""The managed Prefect server: shared by its users, gone with the last of them, its history kept."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flows.servers import address, credentials, prefect_process
from flows.servers import prefect_server as module
from flows.servers.locks import exclusive
from flows.servers.prefect_server import Server, configured_url, prefect_server
from tasks.config import Settings
from tasks.errors import Unavailable

USER = """
import sys, time
from pathlib import Path
from flows.servers.prefect_server import prefect_server
with prefect_server(Path(sys.argv[1])) as server:
    print(server.wait(), flush=True)
    time.sleep(600)
"""
GONE_WITHIN = 5.0
COMPLETED = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}


@pytest.fixture
def home(yard, trained, tmp_path: Path) -> Path:
    """A root whose server has a history already: migrating an empty database takes seconds."""
    source, home = yard.root / ".state" / "prefect", tmp_path / ".state" / "prefect"
    home.mkdir(parents=True)
    with (
        closing(sqlite3.connect(source / "prefect.db")) as old,
        closing(sqlite3.connect(home / "prefect.db")) as new,
    ):
        old.backup(new)
    return home


def wait_gone(home: Path, pid: int, port: int) -> float:
    """Seconds until neither process, port, lock nor state file of a server is left."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        alive = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        with socket.socket() as probe:
            answers = probe.connect_ex(("127.0.0.1", port)) == 0
        if not alive and not answers and not module.alive(home) and not (home / "server.json").exists():
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError("the server is still there after 30 s")


def pid_of(home: Path) -> int:
    import json

    return int(json.loads((home / "server.json").read_text())["pid"])


def flow_runs(url: str, root: Path) -> int:
    """How many flow runs the API knows that were completed; schedules of other tests go on making more."""
    import httpx

    client = httpx.Client(headers=credentials.header(credentials.read(root)))
    token = client.get(f"{url}/csrf-token", params={"client": "test"}).json()["token"]
    heads = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
    return int(client.post(f"{url}/flow_runs/count", json=COMPLETED, headers=heads).json())


def test_life_of_a_server(home: Path) -> None:
    root = home.parents[1]
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        known = database.execute("SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'").fetchone()[0]
    user = subprocess.Popen([sys.executable, "-c", USER, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        url = user.stdout.readline().strip()
        port, pid = int(url.rsplit(":", 1)[1].split("/")[0]), pid_of(home)
        with prefect_server(root) as second:
            assert second.wait() == url, "a second user shares the server"
            assert pid_of(home) == pid
        time.sleep(2 * prefect_process.POLL_SECONDS)
        assert module.healthy(url, 5), "one user left: the server stays"
        assert flow_runs(url, root) == known > 0, "the history is the one of earlier servers"
        with pytest.raises(urllib.error.HTTPError, match="401"):  # behind the door, short as its life is
            urllib.request.urlopen(f"{url}/admin/version")
        user.send_signal(signal.SIGKILL)
        user.wait()
        assert wait_gone(home, pid, port) < GONE_WITHIN * (3 if os.getloadavg()[0] > 4 else 1)
    finally:
        user.kill()
        user.wait()
        user.stdout.close()


def test_server_that_was_killed_is_replaced(home: Path) -> None:
    (home / "server.json").write_text('{"port": 9, "pid": 999999, "started": 0}')
    with prefect_server(home.parents[1]) as server:
        url = server.wait()
        assert not url.endswith(":9/api")
        pid, port = pid_of(home), int(url.rsplit(":", 1)[1].split("/")[0])
    wait_gone(home, pid, port)


def test_second_server_process_leaves_at_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(prefect_process, "LOCK_TRIES", 1)
    home = credentials.private(tmp_path / ".state" / "prefect")
    with closing(exclusive(home / "server.lock")):
        assert prefect_process.main(tmp_path) == 0
        with socket.socket() as listener:
            assert prefect_process.main(tmp_path, listener) == 1, "one that is to stay says that it can't"
    assert not (home / "server.json").exists()


def test_loopback_and_own_origin_only(tmp_path: Path) -> None:
    where = address.Address("127.0.0.1", 4321)
    settings = prefect_process.environment(tmp_path, where, Settings(), "modelyard:x")
    assert settings["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert set(settings["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"].split(",")) == {
        "http://127.0.0.1:4321",
        "http://localhost:4321",
    }
    assert settings["PREFECT_SERVER_API_AUTH_STRING"] == "modelyard:x"
    assert settings["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] == "true"
    assert settings["PREFECT_SERVER_EPHEMERAL_ENABLED"] == "false"


def test_configured_by_environment(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://example.test/api/")
    with prefect_server(tmp_path) as server:
        assert server.url == "http://example.test/api"
        assert not server.managed
    assert not (tmp_path / ".state").exists()


def test_configured_by_profile(monkeypatch, tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(path))
    assert configured_url() is None
    path.write_text(
        'active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://a.test/api"\n[profiles.local]\n'
    )
    assert configured_url() == "http://a.test/api"
    monkeypatch.setenv("PREFECT_PROFILE", "local")
    assert configured_url() is None
    path.write_text("active = [broken")
    assert configured_url() is None


def test_configured_server_that_is_down() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Server(url="http://127.0.0.1:1/api").wait()


def test_server_that_does_not_start(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(prefect_process, "PROCESS", "flows.servers.no_such_luck")
    monkeypatch.setattr(module, "RESPAWN_AFTER", 0.5)
    with prefect_server(tmp_path) as server, pytest.raises(Unavailable, match="no_such_luck"):
        server.wait()


def test_earlier_server_that_does_not_end(tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / ".state" / "prefect"
    home.mkdir(parents=True)
    monkeypatch.setattr(module, "LEAVING_LIMIT", 0.2)
    with (
        closing(exclusive(home / "users.lock")),
        pytest.raises(Unavailable, match="earlier Prefect server"),
        prefect_server(tmp_path),
    ):
        pass
