"""Bringing up what the keeper keeps, and ending it: nothing of it twice, and nothing but that."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from flows.servers import address, credentials, mlflow_process, prefect_process, prefect_server, standing
from tasks.config import Settings, root_settings
from tasks.errors import ConfigError, RegistryConflict, Unavailable
from tasks.registry import backend
from tasks.registry.stores import postgres

START_LIMIT = 120.0
"""Seconds until everything is up; fifteen are usual on two cores, thirty for the first time."""
CROSSING_SECONDS = 20.0
"""How long to wait for the Prefect server of a command that runs here."""
STOP_LIMIT = 60.0
ORPHANS_SECONDS = 15.0
"""What outlives its keeper ends by itself within so many seconds; later it is killed."""

Told = dict[str, Any]


def up(root: Path, *, host: str | None, expose: bool, watch: Callable[[Told], None]) -> tuple[Told, bool]:
    """Starts the keeper and waits until all that it keeps is up.

    Args:
        root: The checkout.
        host: Address to listen on, instead of the settings'.
        expose: Whether others than this machine may be let in.
        watch: Called with the record whenever it was looked at.

    Returns:
        What stands (see `standing.read`), and whether it was started just now.

    Raises:
        ConfigError: The settings are wrong, a port is taken, or the host is not loopback and not exposed.
        RegistryConflict: A command that runs here has a Prefect server of its own.
        Unavailable: A database can't be reached, or something did not come up; all is ended again.
    """
    settings = root_settings(root)
    host = host or settings.host
    if not (address.is_loopback(host) or expose):
        raise ConfigError(
            f"{host} can be reached by other machines", fix="add --expose, and a proxy that speaks TLS"
        )
    with ExitStack() as held:
        lock = _take(root)
        if isinstance(lock, dict):
            return _whole(root, lock, watch), False
        held.enter_context(lock)
        standing.record(root).unlink(missing_ok=True)
        _reach(settings)
        credentials.ensure(root)
        _await_free(root)
        keeper = _spawn(root, lock, _listeners(held, settings, host))
    return _wait(root, keeper, watch), True


def down(root: Path) -> Told | None:
    """Ends what stands; what it was, None if nothing did.

    Raises:
        Unavailable: Something is left after a minute.
    """
    told, asked, began = None, False, time.monotonic()
    while standing.stands(root):
        told = standing.last(root) or told or {"keeper": {}, "services": {}}
        keeper, waited = standing.process(told["keeper"]), time.monotonic() - began
        if waited > STOP_LIMIT:
            raise Unavailable(
                f"something of it is left after {STOP_LIMIT:.0f} s", fix=f"see {root / '.state' / 'logs'}"
            )
        if keeper is not None and not asked:
            keeper.terminate()
            asked = True
        elif keeper is None and waited > ORPHANS_SECONDS:
            _kill(told)
        time.sleep(0.1)
    standing.record(root).unlink(missing_ok=True)
    return told


def _take(root: Path) -> IO[bytes] | Told:
    """The lock of what stands; or, if another `up` was first, what that left standing."""
    deadline = time.monotonic() + STOP_LIMIT
    while (lock := standing.lock(root)) is None:
        told = standing.read(root)
        if told is not None and all(each["state"] != "stopping" for each in told["services"].values()):
            return told
        if time.monotonic() > deadline:
            raise Unavailable("what an earlier `up` started does not end", fix="try `modelyard down`")
        time.sleep(0.1)
    return lock


def _reach(settings: Settings) -> None:
    for database in (settings.prefect.database, settings.mlflow.database):
        if database is not None:
            postgres.reach(database)


def _await_free(root: Path) -> None:
    """Waits for the temporary Prefect server of a command that is just ending."""
    home = credentials.private(root / ".state" / "prefect")
    deadline = time.monotonic() + CROSSING_SECONDS
    while prefect_server.alive(home):
        if time.monotonic() > deadline:
            users = ", ".join(_users(home / "users.lock")) or "another command"
            raise RegistryConflict(
                f"{users} runs here with a Prefect server of its own", fix="let it finish, or end it; then up"
            )
        time.sleep(0.1)


def _users(lock: Path) -> list[str]:
    """Pid and command line of the processes that have the file open, as far as we may know."""
    import psutil  # noqa: PLC0415

    found = []
    for process in psutil.process_iter():
        try:
            if any(file.path == str(lock) for file in process.open_files()):
                found.append(f"pid {process.pid} ({' '.join(process.cmdline()[-3:])})")
        except psutil.Error:
            continue
    return found


def _listeners(held: ExitStack, settings: Settings, host: str) -> dict[str, socket.socket]:
    """Bound sockets of the servers that are ours to start."""
    wanted = {}
    if prefect_server.configured_url() is None:
        wanted["prefect"] = (settings.prefect.port, prefect_process.PREFERRED_PORT)
    if not backend.is_remote(os.environ.get("MLFLOW_TRACKING_URI", "").strip()):
        wanted["mlflow"] = (settings.mlflow.port, mlflow_process.PREFERRED_PORT)
    return {name: held.enter_context(address.listen(host, *ports)) for name, ports in wanted.items()}


def _spawn(root: Path, lock: IO[bytes], listeners: dict[str, socket.socket]) -> subprocess.Popen[bytes]:
    """Starts the keeper in a session of its own; lock and sockets are its from now on."""
    logs = credentials.private(root / ".state" / "logs")
    inherited = {"lock": lock.fileno()} | {name: each.fileno() for name, each in listeners.items()}
    words = [word for name, number in inherited.items() for word in (f"--{name}", str(number))]
    with (logs / "keeper.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "flows.servers.keeper", str(root), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=tuple(inherited.values()),
            cwd=root / ".state",
        )


def _wait(root: Path, keeper: subprocess.Popen[bytes], watch: Callable[[Told], None]) -> Told:
    """The record once everything is up; otherwise nothing is left."""
    deadline = time.monotonic() + START_LIMIT
    told: Told = {"services": {}}
    try:
        while time.monotonic() < deadline and keeper.poll() is None:
            told = standing.read(root) or told
            watch(told)
            if told["services"] and all(each["state"] == "up" for each in told["services"].values()):
                return told
            time.sleep(0.1)
    except BaseException:  # Ctrl-C, say
        _end(keeper)
        raise
    _end(keeper)
    raise _failure(root, standing.last(root) or told)


def _whole(root: Path, told: Told, watch: Callable[[Told], None]) -> Told:
    """What stands already, once all of it is up: something may be starting, or starting again.

    Raises:
        Unavailable: Something of it does not come up.
    """
    deadline = time.monotonic() + START_LIMIT
    while any(each["state"] != "up" for each in told["services"].values()):
        if time.monotonic() > deadline:
            late = [name for name, each in told["services"].items() if each["state"] != "up"]
            fix = f"see {root / '.state' / 'logs'}; `modelyard down` ends all of it"
            raise Unavailable(f"it is up already, but for {', '.join(late)}", fix=fix)
        watch(told)
        time.sleep(0.1)
        told = standing.read(root) or told
    return told


def _end(keeper: subprocess.Popen[bytes]) -> None:
    keeper.terminate()
    try:
        keeper.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        keeper.kill()


def _failure(root: Path, told: Told) -> Unavailable:
    """What did not come up, with the end of its log; that of the one that failed before the others."""
    late = {name: each for name, each in told["services"].items() if each["state"] != "up"}
    name = next(
        (name for name, each in late.items() if each["state"] == "failed"), next(iter(late), "keeper")
    )
    log = root / ".state" / "logs" / f"{name}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:] if log.exists() else []
    standing.record(root).unlink(missing_ok=True)
    return Unavailable("\n  ".join([f"the {name} did not come up", *lines]), fix=f"see {log}")


def _kill(told: Told) -> None:
    for each in told["services"].values():
        if process := standing.process(each):
            process.kill()
