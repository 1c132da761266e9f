"""What every request to a server of ours has to pass, whatever routes the server has.

A plain ASGI middleware around the whole application, so that a route that a new version brings is
behind it too. It asks in turn: is the request meant for this server (the Host header, which a page
that rebinds its name to our address gets wrong), does it come from one of our own pages if it comes
from a page at all, and does it bear the credential.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION = 1008
WORDS = {
    400: "this server does not go by that name",
    401: "user and password are wanted: see .state/credentials, or the file that was named at the start",
    403: "no other site may speak to this server",
}


class Door:
    """The application `app` behind the three questions.

    Args:
        app: What is guarded.
        hosts: Host headers that are ours, in lower case, with the port.
        origins: Origins of our own pages.
        credential: `user:password`, for HTTP's Basic scheme; None asks for none.
        open_paths: Exact paths that GET and HEAD reach without the credential: liveness.
        in_band: Whether a web socket without the credential may go on to `app`, which then asks
            for it in its first message.
    """

    def __init__(
        self,
        app: Application,
        *,
        hosts: Collection[str],
        origins: Collection[str],
        credential: str | None,
        open_paths: Collection[str] = (),
        in_band: bool = False,
    ) -> None:
        self.app = app
        self.hosts = frozenset(host.encode() for host in hosts)
        self.origins = frozenset(origin.encode() for origin in origins)
        self.credential = None if credential is None else credential.encode()
        self.open_paths = frozenset(open_paths)
        self.in_band = in_band

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what may not pass, hands on what may."""
        if scope["type"] == "lifespan" or (status := self._objection(scope)) is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await _refuse(status, send)

    def _objection(self, scope: Scope) -> int | None:
        """The status that a request is refused with, None for one that may pass."""
        names, origins, given = (_all(scope, head) for head in (b"host", b"origin", b"authorization"))
        if len(names) != 1 or names[0].lower() not in self.hosts:
            return 400
        if not self.origins.issuperset(origins) or _embedded(scope):
            return 403
        if self.credential is None or self._open(scope) or (len(given) == 1 and self._fits(given[0])):
            return None
        if scope["type"] == "websocket" and self.in_band and not given:
            return None
        return 401

    def _open(self, scope: Scope) -> bool:
        return scope.get("method") in ("GET", "HEAD") and scope["path"] in self.open_paths

    def _fits(self, given: bytes) -> bool:
        scheme, _, code = given.partition(b" ")
        try:
            known = b64decode(code.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = self.credential or b""
        return secrets.compare_digest(known, wanted) and scheme.lower() == b"basic"


def _all(scope: Scope, head: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name.lower() == head]


def _embedded(scope: Scope) -> bool:
    """Whether another site's page makes its reader's browser send this: in a frame, a picture, a script.

    The browser would add the credential by itself. A link that a person follows is a document of its own.
    """
    foreign = not {b"none", b"same-origin"}.issuperset(_all(scope, b"sec-fetch-site"))
    return foreign and _all(scope, b"sec-fetch-dest") != [b"document"]


async def _refuse(status: int, send: Send) -> None:
    body = f"{status}: {WORDS[status]}\n".encode()
    heads = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        heads.append((b"www-authenticate", b'Basic realm="modelyard", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": heads})
    await send({"type": "http.response.body", "body": body})
