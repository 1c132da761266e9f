"""The managed Prefect server's own process: `python -P prefect_process.py STATE_FOLDER`.

It serves the API and its pages on a loopback port for as long as somebody uses it, and no longer.
A user holds a shared lock on `users.lock`; whoever can take that lock exclusively knows that no user
is alive, since a lock dies with its owner, however it died. The lock `server.lock` lets one server
run per folder: a second one leaves at once. Nothing of modelyard is imported here.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import uvicorn

PREFERRED_PORT = 4200
POLL_SECONDS = 0.5
LOCK_TRIES = 10
LEAVE_SECONDS = 4.0
"""An orderly shutdown takes about one second; past this limit the process ends anyway."""


def main(state: Path) -> int:
    """Serves until the last user is gone. Returns the process's exit code."""
    for _ in range(LOCK_TRIES):  # a command that only looks holds it for a moment
        if (lock := exclusive(state / "server.lock")) is not None:
            break
        time.sleep(0.1)
    else:
        return 0
    listener = _listen()
    port = int(listener.getsockname()[1])
    os.environ.update(environment(state, port))
    import uvicorn  # noqa: PLC0415  (reads nothing, but the application does: environment first)

    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=10,
        )
    )
    threading.Thread(target=_announce, args=(server, state, port), daemon=True).start()
    threading.Thread(target=_watch, args=(server, state), daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        (state / "server.json").unlink(missing_ok=True)
        lock.close()
    return 0 if server.started else 1


def environment(state: Path, port: int) -> dict[str, str]:
    """The settings that the server runs with.

    The pages call the address that they are told, 4200 unless told otherwise. The recorder writes
    task runs in batches, soon: with its defaults the rows of a flow's last moments are lost when
    the server stops. Its interval must be a whole second: a fraction is cut to 0, and the recorder
    then spins, which took 40 % of a core from the training. Only pages from this very origin may
    call the API, and only with a token.
    """
    origin = f"http://127.0.0.1:{port}"
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    return {
        "PREFECT_HOME": str(state),
        "PREFECT_API_URL": f"{origin}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{state / 'prefect.db'}",
        "PREFECT_SERVER_UI_API_URL": f"{origin}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origin,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        f"{recorder}_BATCH_SIZE": "100",
        f"{recorder}_READ_BATCH_SIZE": "100",
        f"{recorder}_FLUSH_INTERVAL": "1",
    }


def exclusive(path: Path) -> IO[bytes] | None:
    """An open file that holds the exclusive lock on `path`, or None while somebody else holds one."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _listen() -> socket.socket:
    """A bound loopback socket on the usual port where it is free, else on any free one."""
    for port in (PREFERRED_PORT, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError("no free port on 127.0.0.1")


def _announce(server: uvicorn.Server, state: Path, port: int) -> None:
    """Writes `server.json` once requests are answered."""
    while not server.started:
        time.sleep(0.05)
    text = json.dumps({"port": port, "pid": os.getpid(), "started": time.time()})
    temporary = state / f".server.json.{os.getpid()}"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(state / "server.json")


def _watch(server: uvicorn.Server, state: Path) -> None:
    """Ends the server when nobody uses it; the lock stays taken until the process is gone."""
    while True:
        time.sleep(POLL_SECONDS)
        try:
            alone = exclusive(state / "users.lock")
        except OSError:  # the folder is gone: nobody can come any more
            break
        if alone is not None:
            break
    server.should_exit = True
    (state / "server.json").unlink(missing_ok=True)
    time.sleep(LEAVE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
