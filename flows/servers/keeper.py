"""What `modelyard up` leaves behind: `python -P -m flows.servers.keeper ROOT --lock FD [--NAME FD ...]`.

One process without a terminal that starts the servers and the dispatcher and keeps them up until it is
asked to stop. `up` has taken the lock and opened the sockets for it, so that two of them can't cross
and a port that is taken is told at once. Each child is on a leash: it ends when the keeper is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from flows.servers import address, credentials, mlflow_process, prefect_process, prefect_server, standing
from flows.servers.prefect_server import Server
from flows.servers.service import Service, answers
from flows.standby import asking
from tasks import lease, store
from tasks.config import root_settings

TICK = 0.2
"""Seconds between two looks at the children."""
TRIM_SECONDS = 60.0
SERVERS = ("prefect", "mlflow")
DISPATCHER = "flows.operate.dispatcher"
STANDBY = "flows.standby.process"
DISPATCHER_PATIENCE = 25.0
"""Seconds that the dispatcher may take to end its runs."""
SWITCHES = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "GX_ANALYTICS_ENABLED": "false",
}
"""What every child finds in its environment."""


class Keeper:
    """Keeps the services up until it is asked to stop.

    Args:
        root: The checkout.
        services: In the order in which they start; they end in the opposite one.
    """

    def __init__(self, root: Path, services: list[Service]) -> None:
        self.root = root
        self.services = services
        self.started = time.time()
        self._told: object = None

    def run(self, stop: threading.Event) -> int:
        """Tends the services; the exit code, 1 when one of them could not be started."""
        self.tell()
        trimmed = time.monotonic()
        while not stop.wait(TICK):
            for each in self.services:
                each.tend()
            self.tell()
            if any(each.state == "failed" for each in self.services):
                break
            if time.monotonic() - trimmed > TRIM_SECONDS:
                trimmed = time.monotonic()
                for each in self.services:
                    each.trim()
        self.end()
        return 0 if stop.is_set() else 1

    def end(self) -> None:
        """Ends the services, the last one first; runs of the dispatcher need both servers to end."""
        failed = any(each.state == "failed" for each in self.services)
        for each in reversed(self.services):
            if each.state != "failed":
                each.ask()
            self.tell()
            each.wait()
        if not failed:  # `up` reads there what failed
            standing.record(self.root).unlink(missing_ok=True)

    def tell(self) -> None:
        """Writes `up.json` if anything is new."""
        facts = {
            "keeper": {
                "pid": os.getpid(),
                "created": standing.created(os.getpid()),
                "boot": lease.boot_id(),
                "started": self.started,
            },
            "services": {each.name: each.describe() for each in self.services},
        }
        if facts != self._told:
            store.write_json(standing.record(self.root), facts)
            self._told = facts


def services(
    root: Path, lock: int, prefect: socket.socket | None, mlflow: socket.socket | None
) -> list[Service]:
    """The servers whose sockets are given, the dispatcher, which comes after Prefect, and who stands by.

    A server without a socket is somewhere else: PREFECT_API_URL or MLFLOW_TRACKING_URI names it.
    """
    found, environment = [], dict(os.environ)
    if prefect is not None:
        found.append(
            _server("prefect", prefect, prefect_process.PROCESS, prefect_process.OPEN_PATHS[1], root, lock)
        )
        own = Server(root=root, url=f"{found[0].url}/api", credential=credentials.read(root))
        environment = prefect_server.plain_environment() | prefect_server.environment(own)
    if mlflow is not None:
        found.append(
            _server("mlflow", mlflow, mlflow_process.PROCESS, mlflow_process.OPEN_PATHS[0], root, lock)
        )
    dispatcher = Service(
        "dispatcher",
        DISPATCHER,
        root,
        lambda pid: _dispatches(root, pid),
        after=found[0] if prefect is not None else None,
        patience=DISPATCHER_PATIENCE,
        environment=environment,
        kept=(lock,),
    )
    found.append(dispatcher)
    if (
        root_settings(root).standby and os.environ.get(asking.OFF) != "0"
    ):  # the last, and up at once: nobody waits for its imports
        found.append(Service("standby", STANDBY, root, lambda _: True, after=dispatcher, kept=(lock,)))
    return found


def _server(name: str, listener: socket.socket, module: str, alive: str, root: Path, lock: int) -> Service:
    url = address.of(listener).url
    environment = prefect_server.plain_environment() if name == "prefect" else dict(os.environ)
    return Service(
        name,
        module,
        root,
        answers(f"{url}{alive}"),
        listener=listener,
        url=url,
        environment=environment,
        kept=(lock,),
    )


def _dispatches(root: Path, pid: int) -> bool:
    """Whether the dispatcher has applied the deployments."""
    try:
        told = json.loads((root / ".state" / "dispatcher.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(told.get("pid") == pid)


def main(words: list[str]) -> int:
    """Keeps up what the command line asks for, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--lock", type=int, required=True)
    for name in SERVERS:
        parser.add_argument(f"--{name}", type=lambda fd: socket.socket(fileno=int(fd)))
    given = parser.parse_args(words)
    os.umask(0o077)
    os.environ.update(SWITCHES)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    kept = services(given.root, given.lock, given.prefect, given.mlflow)
    return Keeper(given.root, kept).run(stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
