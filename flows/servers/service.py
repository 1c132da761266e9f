"""One process that is kept up: started, watched, started again with growing delay, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flows.servers import standing
from flows.servers.launch import launch

State = Literal["waiting", "starting", "up", "restarting", "failed", "stopping"]

LONGEST_DELAY = 60.0
"""Seconds before a process that keeps dying is started again; the first time it is one."""
STEADY_SECONDS = 60.0
"""Who lived so long starts with a small delay again."""
PROBE_SECONDS = 10.0
PROBES_MISSED = 6
"""So many silent probes in a row, and a living server is taken for hung."""
LOG_BYTES = 10 * 2**20
"""A log beyond this is moved to NAME.log.1, whose earlier content is lost."""


@dataclass
class Service:
    """A process of ours and how it is doing.

    Attributes:
        name: What people call it.
        module: What `python -m` runs.
        root: Its argument.
        ready: Whether it serves, asked with its process number; within two seconds.
        listener: The socket that it serves on, held here too: restarts keep the port, and whoever
            asks meanwhile waits instead of being refused.
        url: Where people find it.
        after: The service that has to be up before it starts.
        patience: Seconds that an orderly end may take.
        environment: Its environment; ours when absent.
        kept: Descriptors that it inherits.
    """

    name: str
    module: str
    root: Path
    ready: Callable[[int], bool]
    listener: socket.socket | None = None
    url: str | None = None
    after: Service | None = None
    patience: float = 8.0
    environment: Mapping[str, str] | None = None
    kept: tuple[int, ...] = ()
    state: State = field(default="waiting", init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    restarts: int = field(default=0, init=False)
    since: float = field(default=0.0, init=False)
    """When it came up or, before that, when it was started; Unix time."""
    _was_up: bool = field(default=False, init=False)
    _next: float = field(default=0.0, init=False)
    _delay: float = field(default=1.0, init=False)
    _missed: int = field(default=0, init=False)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.root / ".state" / "logs" / f"{self.name}.log"

    def tend(self) -> None:
        """Does what is due."""
        if self.state == "failed" or (self.after is not None and not self.after._was_up):
            return
        if self.process is None:
            if time.monotonic() >= self._next:
                self._start()
        elif self.process.poll() is not None:
            self._ended()
        elif time.monotonic() >= self._next:
            self._probe(self.process.pid)

    def ask(self) -> None:
        """Asks it to end: by a signal, and by letting go of the leash."""
        self.state = "stopping"
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self._let_go()

    def wait(self) -> None:
        """Waits until it ended, and kills what is left of it."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def describe(self) -> dict[str, Any]:
        """Its part of `up.json`."""
        host, port = self.listener.getsockname()[:2] if self.listener is not None else (None, None)
        return {
            "state": self.state,
            "pid": self.process.pid if self.process is not None else None,
            "created": standing.created(self.process.pid) if self.process is not None else None,
            "url": self.url,
            "host": host,
            "port": port,
            "log": str(self.log),
            "restarts": self.restarts,
            "since": self.since,
        }

    def trim(self) -> None:
        """Moves a long log away; the process goes on writing to the emptied one."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES:
                self.log.with_name(f"{self.log.name}.1").write_bytes(self.log.read_bytes())
                os.truncate(self.log, 0)

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = launch(
                self.module,
                self.root,
                log,
                listener=self.listener,
                kept=self.kept,
                environment=self.environment,
            )
        self.state = "restarting" if self._was_up else "starting"
        self.since, self._missed = time.time(), 0

    def _ended(self) -> None:
        """One that never was up has something wrong that a second try would not mend."""
        steady = self.state == "up" and time.time() - self.since > STEADY_SECONDS
        self._let_go()
        self.process = None
        if not self._was_up:
            self.state = "failed"
            return
        self.state, self.restarts = "restarting", self.restarts + 1
        self._delay = 1.0 if steady else min(2 * self._delay, LONGEST_DELAY)
        self._next = time.monotonic() + self._delay

    def _probe(self, pid: int) -> None:
        if self.ready(pid):
            if self.state != "up":
                self.since = time.time()
            self.state, self._was_up, self._missed = "up", True, 0
            self._next = time.monotonic() + PROBE_SECONDS
        elif self.state == "up":
            self._missed += 1
            self._next = time.monotonic() + PROBE_SECONDS
            if self._missed >= PROBES_MISSED:
                os.killpg(pid, signal.SIGKILL)

    def _let_go(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


def answers(url: str) -> Callable[[int], bool]:
    """Whether a GET of `url` is answered with 200."""

    def ready(_: int) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False

    return ready
