"""The routes: whose answer it is, what is too large, what a fault looks like from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tasks.records import ModelVersion
from tasks.registry.serving.app import application
from tasks.registry.serving.model import Answer


@dataclass
class Version:
    """Stands in for a served version; it answers with its own number."""

    number: int
    gate: threading.Event | None = None
    entered: threading.Event = field(default_factory=threading.Event)

    @property
    def known(self) -> ModelVersion:
        return ModelVersion(name="houses", version=self.number)

    def answer(self, body: bytes, content_type: str) -> Answer:
        self.entered.set()
        if body == b"explode":
            raise ZeroDivisionError("a bug")
        if body == b"fault":
            return Answer(400, "no", "application/json", "ZeroDivisionError: in the model")
        if self.gate is not None:
            self.gate.wait(30)
        return Answer(200, f"{self.number} {len(body)} {content_type}", "application/json")


@dataclass
class Champion:
    """Stands in for the one that follows the alias."""

    current: Any
    problem: str | None = None


def talk(app: Any, say: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    """Runs `say` with a client of the application."""

    async def session() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await say(client)

    return asyncio.run(session())


def names(answer: httpx.Response) -> tuple[str, str]:
    return answer.headers["X-Model-Name"], answer.headers["X-Model-Version"]


def test_mlflows_routes_and_ours() -> None:
    from mlflow.version import VERSION

    app = application(Champion(Version(3), "it hurts"), print)

    async def say(client: httpx.AsyncClient) -> Any:
        paths = ("/ping", "/health", "/version", "/status", "/docs", "/openapi.json")
        return [await client.get(path) for path in paths] + [await client.get("/invocations")]

    ping, health, version, status, *others = talk(app, say)
    assert (ping.status_code, ping.text, health.text) == (200, "\n", "\n")
    assert version.text == VERSION
    assert status.json() == {"model": {"name": "houses", "version": 3}, "problem": "it hurts"}
    assert [answer.status_code for answer in others] == [404, 404, 405]
    assert {names(answer) for answer in (ping, health, version, status, *others)} == {("houses", "3")}


def test_a_request_is_answered_by_the_champion_of_its_arrival() -> None:
    old = Version(1, gate=threading.Event())
    champion = Champion(old)
    app = application(champion, print)

    async def say(client: httpx.AsyncClient) -> Any:
        slow = asyncio.create_task(client.post("/invocations", content=b"first"))
        await asyncio.to_thread(old.entered.wait, 30)
        champion.current = Version(2)
        late = await client.post("/invocations", content=b"second")
        assert not slow.done()
        old.gate.set()
        return await slow, late

    slow, late = talk(app, say)
    assert (slow.text[0], names(slow)) == ("1", ("houses", "1"))
    assert (late.text[0], names(late)) == ("2", ("houses", "2"))


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_and_not_kept(announced: bool) -> None:
    version = Version(1)
    app = application(Champion(version), print, body_bytes=1000)
    sent = 0

    async def pieces() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 100
            yield b"x" * 100

    async def say(client: httpx.AsyncClient) -> Any:
        return (
            await client.post("/invocations", content=b"x" * 1000),
            await client.post("/invocations", content=b"x" * 1001 if announced else pieces()),
        )

    fits, large = talk(app, say)
    assert (fits.status_code, fits.text.split()[1]) == (200, "1000")
    assert (large.status_code, names(large)) == (413, ("houses", "1"))
    assert "1000 bytes" in large.text
    assert sent < 2000


def test_a_fault_of_ours_is_one_line_for_the_operator_and_nothing_for_the_caller() -> None:
    told: list[str] = []
    app = application(Champion(Version(1)), told.append)

    answers = [
        talk(app, lambda client, body=body: client.post("/invocations", content=body))
        for body in (b"fine", b"explode", b"fault")
    ]

    assert [answer.status_code for answer in answers] == [200, 500, 400]
    assert not any("Zero" in answer.text for answer in answers)
    assert [line.rpartition("Error: ")[2] for line in told] == ["a bug", "in the model"]


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "1")
    version = Version(1, gate=threading.Event())
    app = application(Champion(version), print)

    answer = talk(app, lambda client: client.post("/invocations", content=b"slow"))
    version.gate.set()

    assert answer.status_code == 504
