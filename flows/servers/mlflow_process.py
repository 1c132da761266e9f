"""The MLflow server's own process: `python -P -m flows.servers.mlflow_process ROOT --listen FD`.

It serves MLflow's application on the root's store behind our door, in one process, for as long as its
standard input is open. `mlflow server` would start workers and a runner of jobs beside it, and its
list of allowed hosts takes patterns for names; MLflow's own sign-in leaves routes out, hashes a
password for every request and wants a database of its own.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from flows.servers import address, credentials, leash
from flows.servers.address import Address
from flows.servers.door import Door
from tasks.config import root_settings
from tasks.registry import backend

if TYPE_CHECKING:
    import uvicorn

PROCESS = "flows.servers.mlflow_process"
PREFERRED_PORT = 5000
LEAVE_SECONDS = 4.0
OPEN_PATHS = ("/health",)
TOLD = (
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
    "MLFLOW_DISABLE_TELEMETRY",
)
"""Settings that the log shows at the start."""


def main(root: Path, listener: socket.socket | None = None) -> int:
    """Serves until standard input ends. Returns the process's exit code."""
    os.umask(0o077)
    listener = listener or address.listen("127.0.0.1", None, PREFERRED_PORT)
    where = address.of(listener, root_settings(root).names)
    credential = credentials.read(root)
    os.environ.update(environment(root, where, backend.connect(root)))
    server = _server(where, credential)

    def leave() -> None:
        server.should_exit = True

    leash.hold(leave, patience=LEAVE_SECONDS)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def environment(root: Path, where: Address, uri: str) -> dict[str, str]:
    """The settings that the server runs with, those among them that `mlflow server` hands to its workers.

    Clients that come over HTTP leave their artifacts with the server, which keeps them where ours are.
    A version's source has to lie there too: MLflow would register, and show, any file of this machine.
    """
    place = backend.artifacts(root, "").rstrip("/")
    sources = "|".join(["models:/", "runs:/", "mlflow-artifacts:/", f"{re.escape(place)}/"])
    return {
        "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": place,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(where.hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(where.origins),
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "false",
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": rf"^(?!.*\.\.)(?:{sources})",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _server(where: Address, credential: str) -> uvicorn.Server:
    import uvicorn  # noqa: PLC0415

    def application() -> Door:
        from mlflow import environment_variables as known  # noqa: PLC0415
        from mlflow.server.fastapi_app import app  # noqa: PLC0415  (built at import, from the environment)

        for name in TOLD:  # what holds in the end, as MLflow reads it
            sys.stderr.write(f"{name}={getattr(known, name).get()}\n")
        return Door(
            app, hosts=where.hosts, origins=where.origins, credential=credential, open_paths=OPEN_PATHS
        )

    return uvicorn.Server(
        uvicorn.Config(
            application,
            factory=True,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=10,
        )
    )


if __name__ == "__main__":
    sys.exit(main(*address.arguments(sys.argv[1:])))
