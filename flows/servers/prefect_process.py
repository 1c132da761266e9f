"""The Prefect server's own process: `python -P -m flows.servers.prefect_process ROOT [--listen FD]`.

It serves the API and its pages, behind our door, and has one of two lives. A temporary server lasts
as long as somebody uses it: a user holds a shared lock on `users.lock`; whoever can take that lock
exclusively knows that no user is alive, since a lock dies with its owner, however it died. With
`--listen`, a bound socket of our parent's, it lasts as long as its standard input. In both lives the
lock `server.lock` lets one server run per root: a second one leaves at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.servers import address, credentials, leash
from flows.servers.address import Address
from flows.servers.door import Door
from flows.servers.locks import exclusive
from tasks.config.settings import Settings, for_asyncpg, root_settings
from tasks.starting.importing import undisturbed
from tasks.store import blanks

if TYPE_CHECKING:
    import uvicorn

PROCESS = "flows.servers.prefect_process"
PREFERRED_PORT = 4200
POLL_SECONDS = 0.5
LOCK_TRIES = 10
LEAVE_SECONDS = 4.0
"""An orderly shutdown takes about one second; past this limit the process ends anyway."""
OPEN_PATHS = ("/api/health", "/api/ready")


def main(root: Path, listener: socket.socket | None = None) -> int:
    """Serves until the life of this server ends. Returns the process's exit code."""
    os.umask(0o077)
    home = root / ".state" / "prefect"
    for _ in range(LOCK_TRIES):  # a command that only looks holds it for a moment
        if (lock := exclusive(home / "server.lock")) is not None:
            break
        time.sleep(0.1)
    else:
        sys.stderr.write(f"another Prefect server runs in {home}\n")
        return 0 if listener is None else 1
    settings, credential = root_settings(root), credentials.read(root)
    stays = listener is not None
    listener = listener or address.listen("127.0.0.1", None, PREFERRED_PORT)
    where = address.of(listener, settings.names)
    os.environ.update(environment(home, where, settings, credential))
    if settings.prefect.database is None:
        make_database(home / "prefect.db")
    server = _server(where, credential)
    threading.Thread(target=_announce, args=(server, home, where.port), daemon=True).start()
    if stays:
        leash.hold(lambda: _leave(server, home), patience=LEAVE_SECONDS)
    else:
        threading.Thread(target=_watch, args=(server, home), daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        (home / "server.json").unlink(missing_ok=True)
        lock.close()
    return 0 if server.started else 1


def make_database(path: Path) -> None:
    """Makes the server's SQLite file where there is none.

    If there is no copy to be had, migrations take six seconds; the environment names the file to them.
    """
    if not path.exists():
        blanks.provide("prefect", path, _migrate)


def prepare() -> None:
    """Makes the empty database ahead that is kept, when the installation is made."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "prefect.db"
        os.environ["PREFECT_HOME"] = place
        os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{path}"
        make_database(path)


def _migrate() -> None:
    with undisturbed():
        from prefect.server.database import provide_database_interface  # noqa: PLC0415

        asyncio.run(_make_tables(provide_database_interface()))


async def _make_tables(database: Any) -> None:
    await database.create_db()
    await (await database.engine()).dispose()


def environment(home: Path, where: Address, settings: Settings, credential: str) -> dict[str, str]:
    """The settings that the server runs with.

    The recorder writes task runs in batches, soon: with its defaults the rows of a flow's last moments
    are lost when the server stops. Its interval must be a whole second: a fraction is cut to 0, and the
    recorder then spins, which took 40 % of a core from the training. Only pages from this very origin
    may call the API, and only with a token.
    """
    database, recorder = settings.prefect.database, "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    sqlite = f"sqlite+aiosqlite:///{home / 'prefect.db'}"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{where.url}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": for_asyncpg(database) if database else sqlite,
        "PREFECT_SERVER_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": where.host,
        "PREFECT_SERVER_API_PORT": str(where.port),
        "PREFECT_SERVER_API_AUTH_STRING": credential,
        "PREFECT_API_AUTH_STRING": credential,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(where.origins),
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        f"{recorder}_BATCH_SIZE": "100",
        f"{recorder}_READ_BATCH_SIZE": "100",
        f"{recorder}_FLUSH_INTERVAL": "1",
    }


def _server(where: Address, credential: str) -> uvicorn.Server:
    import uvicorn  # noqa: PLC0415  (reads nothing, but the application does: environment first)

    return uvicorn.Server(
        uvicorn.Config(
            lambda: Door(
                _application(),
                hosts=where.hosts,
                origins=where.origins,
                credential=credential,
                open_paths=OPEN_PATHS,
                in_band=True,
            ),
            factory=True,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=10,
        )
    )


def _application() -> Any:
    """Prefect's own, but for one answer: its pages need not ask for what the browser gave at the door."""
    with undisturbed():
        from prefect.server.api.server import create_app  # noqa: PLC0415
        from starlette.responses import JSONResponse  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415

        app: Any = create_app()
    pages = next(route.app for route in app.routes if getattr(route, "name", "") == "ui")
    known = next(route for route in pages.routes if getattr(route, "path", "") == "/ui-settings")
    told = {**known.endpoint().model_dump(mode="json"), "auth": None}
    pages.router.routes.insert(0, Route("/ui-settings", lambda _: JSONResponse(told)))
    return app


def _announce(server: uvicorn.Server, home: Path, port: int) -> None:
    """Writes `server.json` once requests are answered."""
    while not server.started:
        time.sleep(0.05)
    text = json.dumps({"port": port, "pid": os.getpid(), "started": time.time()})
    temporary = home / f".server.json.{os.getpid()}"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(home / "server.json")


def _watch(server: uvicorn.Server, home: Path) -> None:
    """Ends the server when nobody uses it; the lock stays taken until the process is gone."""
    while True:
        time.sleep(POLL_SECONDS)
        try:
            alone = exclusive(home / "users.lock")
        except OSError:  # the folder is gone: nobody can come any more
            break
        if alone is not None:
            break
    _leave(server, home)
    time.sleep(LEAVE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(server: uvicorn.Server, home: Path) -> None:
    server.should_exit = True
    (home / "server.json").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(*address.arguments(sys.argv[1:])))
