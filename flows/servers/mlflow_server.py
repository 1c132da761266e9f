"""MLflow's pages on the local store, for as long as somebody looks."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.servers import address, credentials, mlflow_process
from flows.servers.launch import launch
from tasks.errors import Unavailable

START_LIMIT = 120.0
"""Seconds that a start may take; about ten are usual."""


@contextmanager
def mlflow_server(root: Path, uri: str, port: int) -> Iterator[str]:
    """Serves the root's store on loopback for the length of the block; the address of its pages.

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
    listener = address.listen("127.0.0.1", port, mlflow_process.PREFERRED_PORT)
    credentials.ensure(root)
    path = root / ".state" / "mlflow.log"
    with listener, path.open("wb") as log:
        process = launch(mlflow_process.PROCESS, root, log, listener=listener)
        url = address.of(listener).url
    try:
        yield _wait(process, url, path)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=5 * mlflow_process.LEAVE_SECONDS)


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
