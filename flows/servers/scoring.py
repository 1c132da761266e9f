"""Answering over HTTP in this very process, until somebody asks it to stop."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import psutil
import uvicorn

from tasks.errors import ConfigError, quoted

if TYPE_CHECKING:
    from flows.servers.door import Application

STOPS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 30
"""Seconds that requests under way have when it stops."""
IDLE = 60
"""Seconds that a connection may be silent before it is closed."""
HTTP = 80
"""The port that a client leaves out of the name."""


def run(app: Application, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves `app` until SIGTERM or Ctrl-C; what was asked before is answered.

    Args:
        app: An ASGI application without a lifespan.
        listener: A listening socket.
        ready: Called once requests are answered.
    """
    settings = uvicorn.Config(
        app,
        lifespan="off",
        log_level="critical",  # a fault is the application's to tell; a client's nonsense is nobody's
        access_log=False,
        server_header=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=PATIENCE,
    )
    _Server(settings, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is ready; being asked to stop is its regular end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals as uvicorn takes them, but it would raise them once more when all is done."""
        before: dict[signal.Signals, Any] = {which: signal.signal(which, self.handle_exit) for which in STOPS}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        ConfigError: The port is taken, or `host` is no address of this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is taken", fix="choose another with --port") from None
        reason = error.strerror or str(error)
        raise ConfigError(f"--host {quoted(host)}, port {port}: can't listen there ({reason})") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def own_names(host: str, port: int) -> list[str]:
    """Host headers that mean a server of ours.

    A server that other machines reach goes by the machine's names and addresses too.
    """
    names = {"localhost", "127.0.0.1", "::1", host}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
        names |= {known.address for card in psutil.net_if_addrs().values() for known in card}
    shown = {f"[{name}]" if ":" in name else name.lower() for name in names}
    return sorted([f"{name}:{port}" for name in shown] + (list(shown) if port == HTTP else []))
