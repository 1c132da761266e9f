"""Answering over HTTP in this very process, until somebody asks it to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from flows.servers.door import Application

STOPS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 30
"""Seconds that requests under way have when it stops."""
IDLE = 60
"""Seconds that a connection may be silent before it is closed."""


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
