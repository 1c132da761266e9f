"""The routes of MLflow's scoring protocol, answered by whoever is champion when a request arrives.

`/ping`, `/health`, `/version` and `/invocations` are MLflow's; `/status` is ours and says which version
answers and whether something keeps a newer one from it. Every answer bears the headers `X-Model-Name`
and `X-Model-Version`; `X-Unfamiliar-Values` counts, for each column, categories that training never saw and
gaps where it saw none.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tasks.registry.serving.following import Champion
from tasks.registry.serving.model import Answer, Served

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * 2**20
"""Largest body that is read: some ten thousand images, or a million short rows."""
THREADS = 4
"""Most predictions at a time. The interpreter's lock makes many slow; one would wait for each large one."""
OPEN_PATHS = ("/ping", "/health")
"""What is asked by programs that only want to know whether somebody is there."""


def application(champion: Champion, say: Callable[[str], None], *, body_bytes: int = BODY_BYTES) -> ASGIApp:
    """The app; `say` hears of a fault of ours, in one line."""
    from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT  # noqa: PLC0415
    from mlflow.version import VERSION  # noqa: PLC0415

    app = FastAPI(openapi_url=None)
    pool = ThreadPoolExecutor(max(2, min(THREADS, os.cpu_count() or 1)), thread_name_prefix="scoring")
    seconds = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get()

    async def ping() -> Response:
        return Response("\n", media_type="application/json")

    async def version() -> Response:
        return Response(VERSION, media_type="application/json")

    async def status(request: Request) -> Response:
        known = _served(request).known
        model = {"name": known.name, "version": known.version}
        return JSONResponse({"model": model, "problem": champion.problem})

    async def invocations(request: Request) -> Response:
        body = await _body(request, body_bytes)
        if body is None:
            answer = Answer(413, f"The body is larger than {body_bytes} bytes", "text/plain")
        else:
            work = pool.submit(_served(request).answer, body, request.headers.get("content-type", ""))
            answer = await _within(seconds, asyncio.wrap_future(work), say)
            if answer.fault:
                say(f"the model failed on a request: {answer.fault}")
        headers = {"X-Unfamiliar-Values": json.dumps(answer.unfamiliar)} if answer.unfamiliar else None
        return Response(answer.text, answer.status, headers, media_type=answer.media_type)

    for path, get in (("/ping", ping), ("/health", ping), ("/version", version), ("/status", status)):
        app.get(path)(get)
    app.post("/invocations")(invocations)
    return Stamped(app, champion)


class Stamped:
    """Gives each request the version that it is answered by, and its name to the answer's headers."""

    def __init__(self, app: ASGIApp, champion: Champion) -> None:
        self._app, self._champion = app, champion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        served = self._champion.current
        known = served.known
        stamp = [(b"x-model-name", known.name.encode()), (b"x-model-version", b"%d" % known.version)]

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *stamp]
            await send(message)

        await self._app({**scope, "modelyard.served": served}, receive, stamped)


def _served(request: Request) -> Served:
    served: Served = request.scope["modelyard.served"]
    return served


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None as soon as it is known to be too large."""
    if int(request.headers.get("content-length", 0)) > limit:
        return None
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > limit:
            return None
    return b"".join(parts)


async def _within(seconds: float, work: asyncio.Future[Answer], say: Callable[[str], None]) -> Answer:
    """The answer, or what MLflow's server says when it takes too long or fails."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError:  # in Python 3.11 and later also that of asyncio
        return Answer(504, "Request processing time exceeded limit", "application/json")
    except Exception as error:
        say(f"a request failed, which is a fault of modelyard's: {type(error).__name__}: {error}")
        return Answer(500, "Internal Server Error", "text/plain")
