"""The Prefect API that a command talks to: one that is configured, else the one that `modelyard up` keeps,
else one that the command starts itself.

A server of ours keeps its state in `ROOT/.state/prefect`. A temporary one listens on loopback and lives
as long as the last command that uses it (see `prefect_process`). Starting it takes some five seconds,
so it is kicked off first and waited for when the heavy imports are done. Prefect's own temporary
server is never used: it loses task runs when it ends and outlives a killed parent.
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

from flows.servers import credentials, prefect_process, standing
from flows.servers.locks import exclusive
from tasks.errors import Unavailable
from tasks.spans import span

START_LIMIT = 120.0
"""Seconds that a start may take; about five are usual, thirty on a busy machine."""
LEAVING_LIMIT = 30.0
"""Seconds that an earlier server may take to end; about one is usual."""
HEARTBEAT_SECONDS = 30
RESPAWN_AFTER = 3.0
"""Seconds without a server process after which another is started, once: two commands may cross."""


@dataclass
class Server:
    """A Prefect API.

    Attributes:
        root: The root whose server of ours it is; None for a configured one.
        url: Its address; of a temporary server known once it answers.
        credential: What a server of ours wants to see.
        temporary: Whether it dies with its users.
    """

    root: Path | None = None
    url: str | None = None
    credential: str | None = None
    temporary: bool = False

    @property
    def managed(self) -> bool:
        """Whether it is one of ours."""
        return self.root is not None

    def ready(self) -> bool:
        """Whether there is nothing to wait for; never true too early."""
        return not self.temporary or (
            self.root is not None and _known(self.root / ".state" / "prefect") is not None
        )

    def wait(self) -> str:
        """The API's address, once it answers.

        Raises:
            Unavailable: A configured server does not answer, or ours did not start in time.
        """
        if self.root is None:
            if self.url is None or not healthy(self.url, patience=10):
                raise Unavailable(
                    f"the Prefect API at {self.url} does not answer",
                    fix="start it, or unset PREFECT_API_URL to use a server of modelyard's own",
                )
        elif self.temporary:
            self.url = _started(self.root)
        else:
            _await(self.root, self.url or "")
        return self.url or ""


@contextmanager
def prefect_server(root: Path) -> Iterator[Server]:
    """A server for the length of the block, starting in the background; `wait()` for it.

    Args:
        root: The checkout. A server of ours keeps its state in `root/.state/prefect`.

    Raises:
        Unavailable: An earlier server does not come to an end.
        UnsafeInput: The credential of our servers can be read by others.
    """
    configured, up = configured_url(), _kept(root)
    if configured is not None and configured != up:
        yield Server(url=configured)
        return
    if up is not None:
        yield Server(root=root, url=up, credential=credentials.read(root))
        return
    home = credentials.private(root / ".state" / "prefect")
    credential = credentials.ensure(root)
    with (home / "users.lock").open("ab") as lock:
        _share(lock)
        if not alive(home):
            (home / "server.json").unlink(missing_ok=True)  # left by one that was killed
            _spawn(root)
        yield Server(root=root, credential=credential, temporary=True)


@contextmanager
def connected(server: Server) -> Iterator[str]:
    """Waits for the server and points this process's Prefect at it for the length of the block.

    A temporary server dies with its users, so heartbeats would only cost their second at a run's end.
    """
    with span("Prefect server"):
        url = server.wait()
    wanted = environment(server)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)  # before Prefect is imported, and for children
    try:
        import prefect.settings as known  # noqa: PLC0415

        updates: dict[object, object] = {
            known.PREFECT_API_URL: url,
            known.PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False,
        }
        if server.root is not None:
            updates |= {
                known.PREFECT_HOME: Path(wanted["PREFECT_HOME"]),
                known.PREFECT_API_AUTH_STRING: server.credential,
                known.PREFECT_RESULTS_DEFAULT_SERIALIZER: "json",
                known.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None if server.temporary else HEARTBEAT_SECONDS,
            }
        with known.temporary_settings(updates):
            yield url
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def environment(server: Server) -> dict[str, str]:
    """What points a process at the server; the credential of one of ours among it."""
    wanted = {
        "PREFECT_API_URL": server.url or "",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    if server.root is not None:
        wanted |= {
            "PREFECT_HOME": str(server.root / ".state" / "prefect"),
            "PREFECT_API_AUTH_STRING": server.credential or "",
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        }
        if not server.temporary:
            wanted["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = str(HEARTBEAT_SECONDS)
    return wanted


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


def _kept(root: Path) -> str | None:
    """The API of the Prefect server that `modelyard up` keeps for this root, if it does."""
    told = standing.settled(root)
    service = told["services"].get("prefect") if told else None
    return f"{service['url']}/api" if service else None


def _await(root: Path, url: str) -> None:
    """Returns once the server that `up` keeps answers; it may be starting, or starting again."""
    deadline = time.monotonic() + START_LIMIT
    while not healthy(url, patience=5):
        if time.monotonic() > deadline or not standing.stands(root):
            raise Unavailable(
                f"the Prefect server that `modelyard up` keeps at {url} does not answer",
                fix=f"see {root / '.state' / 'logs' / 'prefect.log'}",
            )
        time.sleep(0.1)


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


def _spawn(root: Path) -> None:
    """Starts the server's process in a session of its own, where Ctrl-C does not reach it."""
    home = root / ".state" / "prefect"
    with (home / "server.log").open("wb") as log:
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", prefect_process.PROCESS, str(root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=plain_environment(),
            cwd=home,
        )


def plain_environment() -> dict[str, str]:
    """Our environment without what configures a Prefect of the user's."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}


def _known(home: Path) -> int | None:
    """Port of the server that says it runs here."""
    try:
        return int(json.loads((home / "server.json").read_text(encoding="utf-8"))["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _started(root: Path) -> str:
    home = root / ".state" / "prefect"
    began = time.monotonic()
    respawned = began
    while time.monotonic() - began < START_LIMIT:
        port = _known(home)
        if port is not None and healthy(url := f"http://127.0.0.1:{port}/api", patience=2):
            return url
        if not alive(home) and time.monotonic() - respawned > RESPAWN_AFTER:
            if respawned > began:
                break
            respawned = time.monotonic()
            _spawn(root)
        time.sleep(0.05)
    raise Unavailable(
        f"the managed Prefect server did not start within {time.monotonic() - began:.0f} s\n{_tail(home)}",
        fix=f"see {home / 'server.log'}",
    )


def alive(home: Path) -> bool:
    """Whether a server's process holds its lock, starting or serving."""
    lock = exclusive(home / "server.lock")
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
