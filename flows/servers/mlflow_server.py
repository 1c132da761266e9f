"""MLflow's pages on the local store, for as long as somebody looks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.servers import leash
from tasks.errors import ConfigError, Unavailable

START_LIMIT = 120.0
"""Seconds that a start may take; about ten are usual."""


@contextmanager
def mlflow_server(root: Path, uri: str, port: int) -> Iterator[str]:
    """Serves the store at `uri` on loopback for the length of the block; the address of its pages.

    Args:
        root: The checkout; the log goes to `root/.state/mlflow.log`.
        uri: Tracking URI. One that is a server itself is used as it is.
        port: Port to listen on.

    Raises:
        ConfigError: The port is taken.
        Unavailable: The server does not start.
    """
    if uri.startswith(("http://", "https://")):
        yield uri
        return
    _check_free(port)
    state = root / ".state"
    state.mkdir(exist_ok=True)
    with (state / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", leash.__file__, *_command(uri, root, port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=state,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        yield _wait(process, f"http://127.0.0.1:{port}", state / "mlflow.log")
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=3 * leash.PATIENCE)


def _command(uri: str, root: Path, port: int) -> list[str]:
    place = (root / "mlflow" / "artifacts").as_uri()
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", uri, "--default-artifact-root", place]
    return [sys.executable, "-P", "-m", "mlflow", "server", *where, *store]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigError(f"port {port} is taken", fix="choose another with --port") from None


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> str:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310
                if answer.status == 200:
                    return url
        except OSError:
            time.sleep(0.1)
    raise Unavailable(f"MLflow's server did not start at {url}", fix=f"see {log}")
