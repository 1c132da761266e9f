"""The Prefect API that a command talks to: one that is configured, else one that it starts itself.

A managed server keeps its state in `ROOT/.state/prefect`, listens on loopback and lives as long as
the last command that uses it (see `prefect_process`). Starting it takes some five seconds, so it is kicked
off first and waited for when the heavy imports are done. Prefect's own temporary server is never
used: it loses task runs when it ends and outlives a killed parent.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flows.servers import prefect_process
from tasks.errors import Unavailable

START_LIMIT = 120.0
"""Seconds that a start may take; about five are usual, thirty on a busy machine."""
LEAVING_LIMIT = 30.0
"""Seconds that an earlier server may take to end; about one is usual."""
RESPAWN_AFTER = 3.0
"""Seconds without a server process after which another is started, once: two commands may cross."""


@dataclass
class Server:
    """A Prefect API. `home` is the folder of a managed server, None for a configured one."""

    home: Path | None = None
    url: str | None = None

    @property
    def managed(self) -> bool:
        """Whether it is ours to start."""
        return self.home is not None

    def wait(self) -> str:
        """The API's address, once it answers.

        Raises:
            Unavailable: A configured server does not answer, or ours did not start in time.
        """
        if self.url is None and self.home is not None:
            self.url = _started(self.home)
        if self.url is None or not healthy(self.url, patience=10 if not self.managed else 2):
            raise Unavailable(
                f"the Prefect API at {self.url} does not answer",
                fix="start it, or unset PREFECT_API_URL to use a server of modelyard's own",
            )
        return self.url


@contextmanager
def prefect_server(root: Path) -> Iterator[Server]:
    """A server for the length of the block, starting in the background; `wait()` for it.

    Args:
        root: The checkout. A managed server lives in `root/.state/prefect`.

    Raises:
        Unavailable: An earlier server does not come to an end.
    """
    configured = configured_url()
    if configured is not None:
        yield Server(url=configured)
        return
    home = root / ".state" / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "users.lock").open("ab") as lock:
        _share(lock)
        if not _alive(home):
            (home / "server.json").unlink(missing_ok=True)  # left by one that was killed
            _spawn(home)
        yield Server(home=home)


@contextmanager
def connected(server: Server) -> Iterator[str]:
    """Waits for the server and points this process's Prefect at it for the length of the block.

    A managed server dies with its users, so heartbeats would only cost their second at a run's end.
    """
    url = server.wait()
    wanted = {"PREFECT_API_URL": url, "PREFECT_SERVER_EPHEMERAL_ENABLED": "false", "DO_NOT_TRACK": "true"}
    if server.home is not None:
        wanted["PREFECT_HOME"] = str(server.home)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)  # before Prefect is imported, and for children
    try:
        from prefect.settings import (  # noqa: PLC0415
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            PREFECT_HOME,
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
            temporary_settings,
        )

        updates: dict[object, object] = {PREFECT_API_URL: url, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}
        if server.home is not None:
            updates |= {PREFECT_HOME: server.home, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings(updates):
            yield url
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def configured_url() -> str | None:
    """The API that the environment or the active Prefect profile names, without importing Prefect."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url.rstrip("/")
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    active = os.environ.get("PREFECT_PROFILE") or tree.get("active")
    url = tree.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return url.rstrip("/") if isinstance(url, str) and url else None


def _share(lock: IO[bytes]) -> None:
    """Takes the users' lock; it is refused only while an earlier server is on its way out."""
    deadline = time.monotonic() + LEAVING_LIMIT
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"an earlier Prefect server still holds {lock.name} after {LEAVING_LIMIT:.0f} s",
                    fix="look for its process and end it",
                ) from None
            time.sleep(0.05)


def _spawn(home: Path) -> None:
    """Starts the server's process in a session of its own, where Ctrl-C does not reach it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    with (home / "server.log").open("wb") as log:
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", prefect_process.__file__, str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            cwd=home,
        )


def _known(home: Path) -> int | None:
    """Port of the server that says it runs here."""
    try:
        return int(json.loads((home / "server.json").read_text(encoding="utf-8"))["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _started(home: Path) -> str:
    began = time.monotonic()
    respawned = began
    while time.monotonic() - began < START_LIMIT:
        port = _known(home)
        if port is not None and healthy(url := f"http://127.0.0.1:{port}/api", patience=2):
            return url
        if not _alive(home) and time.monotonic() - respawned > RESPAWN_AFTER:
            if respawned > began:
                break
            respawned = time.monotonic()
            _spawn(home)
        time.sleep(0.05)
    raise Unavailable(
        f"the managed Prefect server did not start within {time.monotonic() - began:.0f} s\n{_tail(home)}",
        fix=f"see {home / 'server.log'}",
    )


def _alive(home: Path) -> bool:
    """Whether a server's process holds its lock, starting or serving."""
    lock = prefect_process.exclusive(home / "server.lock")
    if lock is None:
        return True
    lock.close()
    return False


def healthy(url: str, patience: float) -> bool:
    """Whether the API answers within `patience` seconds."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=patience) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except (OSError, ValueError):
        return False


def _tail(home: Path, lines: int = 8) -> str:
    try:
        text = (home / "server.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
