"""The door: a request for us, from us, with the credential; everything else stays outside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flows.servers.credentials import header
from flows.servers.door import Door

HOST = "127.0.0.1:4200"
OWN = f"http://{HOST}"
KNOWN = "modelyard:open-sesame"
RIGHT = header(KNOWN)


def knock(
    path: str = "/api/runs",
    method: str = "GET",
    kind: str = "http",
    in_band: bool = False,
    guard: bool = True,
    **heads: str | list[str],
) -> int | str:
    """The status that the door refuses with, or `in` where the application was reached."""
    seen: list[int | str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append("in")

    async def send(message: Any) -> None:
        if message["type"] == "websocket.close":
            seen.append("closed")
        elif message["type"] == "http.response.start":
            seen.append(message["status"])
            asked = dict(message["headers"]).get(b"www-authenticate", b"")
            assert asked.startswith(b"Basic") == (message["status"] == 401)

    heads = {"host": HOST, **{name.replace("_", "-"): value for name, value in heads.items()}}
    pairs = [
        (name.lower().encode(), value.encode())
        for name, values in heads.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    scope = {"type": kind, "path": path, "headers": pairs}
    if kind == "http":
        scope["method"] = method
    door = Door(
        inner,
        hosts=(HOST, "localhost:4200"),
        origins=(OWN, "http://localhost:4200"),
        credential=KNOWN if guard else None,
        open_paths=("/api/health",),
        in_band=in_band,
    )
    asyncio.run(door(scope, None, send))
    assert len(seen) == 1
    return seen[0]


def test_right_request_passes() -> None:
    assert knock(**RIGHT) == "in"
    assert knock(**RIGHT, method="POST", origin=OWN) == "in"
    assert knock(**RIGHT, host="LOCALHOST:4200") == "in"


@pytest.mark.parametrize(
    "given",
    [
        {},
        header("modelyard:open-sesam"),
        header("modelyard:open-sesame "),
        header(":"),
        {"Authorization": RIGHT["Authorization"].replace("Basic", "Bearer")},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!!"},
        {"Authorization": "Basic \xe9"},
        {"Authorization": [RIGHT["Authorization"], header("a:b")["Authorization"]]},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE", "get"])
def test_without_the_credential(given: dict[str, Any], method: str) -> None:
    assert knock(**given, method=method) == 401


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:4201",
        "127.0.0.1:4200.evil.example",
        "10.evil.example:4200",
        "",
    ],
)
def test_name_that_is_not_ours(host: str) -> None:
    assert knock(**RIGHT, host=host) == 400
    assert knock("/api/health", host=host) == 400


def test_no_name_and_two_names() -> None:
    assert knock(**RIGHT, host=[]) == 400
    assert knock(**RIGHT, host=[HOST, "evil.example"]) == 400


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:4200", "http://127.0.0.1:50", f"{OWN}.evil"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_page_of_another_site(origin: str, method: str) -> None:
    assert knock(**RIGHT, origin=origin, method=method) == 403
    assert knock("/api/health", origin=origin) == 403


def test_what_another_site_embeds() -> None:
    evil = {"sec_fetch_site": "cross-site"}
    for what in ("empty", "image", "script", "iframe"):
        assert knock(**RIGHT, **evil, sec_fetch_dest=what) == 403
    assert knock(**RIGHT, **evil, sec_fetch_dest="document") == "in", "a link that a person follows"
    assert knock(**RIGHT, sec_fetch_site="same-site", sec_fetch_dest="iframe") == 403, (
        "another port is foreign"
    )
    assert knock(**RIGHT, sec_fetch_site="same-origin", sec_fetch_dest="iframe") == "in"


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/api/health", "GET", "in"),
        ("/api/health", "HEAD", "in"),
        ("/api/health", "POST", 401),
        ("/api/health/", "GET", 401),
        ("//api/health", "GET", 401),
        ("/x/api/health", "GET", 401),
        ("/api/variables/name/health", "GET", 401),
        ("/api/health;x", "GET", 401),
        ("/API/HEALTH", "GET", 401),
    ],
)
def test_liveness_and_its_imitations(path: str, method: str, expected: int | str) -> None:
    assert knock(path, method) == expected


def test_web_sockets() -> None:
    assert knock(kind="websocket") == "closed"
    assert knock(kind="websocket", **RIGHT) == "in"
    assert knock(kind="websocket", in_band=True) == "in", "the application asks in its first message"
    assert knock(kind="websocket", in_band=True, **header("a:b")) == "closed"
    assert knock(kind="websocket", in_band=True, origin="http://evil.example") == "closed"
    assert knock(kind="websocket", **RIGHT, host="evil.example") == "closed"
    assert knock("/api/health", kind="websocket") == "closed"


def test_without_a_credential_the_other_questions_remain() -> None:
    assert knock(guard=False) == "in"
    assert knock(guard=False, host="evil.example") == 400
    assert knock(guard=False, origin="http://evil.example") == 403


def test_lifespan_passes() -> None:
    reached = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    asyncio.run(Door(inner, hosts=(), origins=(), credential=KNOWN)({"type": "lifespan"}, None, None))
    assert reached == ["lifespan"]
