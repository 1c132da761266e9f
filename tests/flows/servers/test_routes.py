"""Every route of both servers, walked: outside without the credential, from elsewhere, or under another name.

The walk is over the route tables of the installed versions: a route that a new version brings is asked too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.servers.credentials import header

TABLES = """
import json
from starlette.routing import Mount, WebSocketRoute
from prefect.server.api.server import create_app
from mlflow.server import app as flask
from mlflow.server.fastapi_app import app as native

def walk(routes, prefix=""):
    for route in routes:
        if hasattr(route, "original_router"):
            yield from walk(route.original_router.routes, prefix + route.include_context.prefix)
        elif isinstance(route, Mount):
            yield from walk(getattr(route.app, "routes", None) or [], prefix + route.path)
            yield prefix + route.path + "/anything", ["GET"]
        else:
            yield prefix + route.path, sorted(getattr(route, "methods", None) or ["WEBSOCKET"])

rules = [(rule.rule, sorted(rule.methods)) for rule in flask.url_map.iter_rules()]
print(json.dumps({"prefect": list(walk(create_app().routes)), "mlflow": [*walk(native.routes), *rules]}))
"""
LIVENESS = {
    "prefect": {(method, f"/api/{name}") for method in ("GET", "HEAD") for name in ("health", "ready")},
    "mlflow": {(method, "/health") for method in ("GET", "HEAD")},
}
LEAST = {"prefect": 200, "mlflow": 400}
"""Routes that are there at the least; a walk that finds fewer has lost its way."""
WRONG = header("modelyard:" + "a" * 43)


@pytest.fixture(scope="module")
def tables(raised: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Method and path, made concrete, of each route of each server; WEBSOCKET stands for a method."""
    home = {"PREFECT_HOME": str(tmp_path_factory.mktemp("tables")), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", TABLES], env={**os.environ, **home}, capture_output=True, text=True, check=True
    )
    known = json.loads(done.stdout.splitlines()[-1])
    found = {
        name: {(method, concrete(path)) for path, methods in table for method in methods}
        for name, table in known.items()
    }
    for name, table in found.items():
        assert len(table) > LEAST[name]
    return found


def concrete(path: str) -> str:
    """A path with something in the place of each parameter."""
    return re.sub(r"\{[^}]*\}|<[^>]*>", "7", path) or "/"


def clients(raised: Any) -> Iterator[tuple[str, httpx.Client]]:
    for name in ("prefect", "mlflow"):
        with httpx.Client(base_url=raised[name]["url"], timeout=30) as client:
            yield name, client


def asked(tables: dict[str, set[tuple[str, str]]], name: str) -> list[tuple[str, str]]:
    return sorted(route for route in tables[name] if route[0] != "WEBSOCKET")


def test_without_the_credential(raised: Any, tables: dict[str, Any]) -> None:
    for name, client in clients(raised):
        let_in = {r for r in asked(tables, name) if client.request(*r).status_code not in (401, 403)}
        assert let_in == LIVENESS[name] & tables[name]


def test_with_a_wrong_credential(raised: Any, tables: dict[str, Any]) -> None:
    for name, client in clients(raised):
        let_in = {
            r for r in asked(tables, name) if client.request(*r, headers=WRONG).status_code not in (401, 403)
        }
        assert let_in == LIVENESS[name] & tables[name]


def test_from_a_foreign_page(raised: Any, tables: dict[str, Any]) -> None:
    heads = {**header(raised.credential), "Origin": "http://evil.example"}
    for name, client in clients(raised):
        routes = {*asked(tables, name), *(("OPTIONS", path) for _, path in asked(tables, name))}
        assert {client.request(*r, headers=heads).status_code for r in sorted(routes)} == {403}


def test_under_another_name(raised: Any, tables: dict[str, Any]) -> None:
    for name, client in clients(raised):
        port = raised[name]["port"]
        for host in ("evil.example", f"10.evil.example:{port}", f"127.0.0.1.evil.example:{port}"):
            heads = {**header(raised.credential), "Host": host}
            assert {client.request(*r, headers=heads).status_code for r in asked(tables, name)} == {400}


def test_paths_that_end_like_liveness(raised: Any) -> None:
    starts = ("/x", "/api/variables/name", "/api/2.0/mlflow", "/ajax-api", "/static-files", "/%2e%2e/x")
    for name, client in clients(raised):
        for path in (start + end for start in starts for end in ("/health", "/ready", "/api/health")):
            assert client.get(path).status_code == 401, (name, path)


def test_the_credential_opens(raised: Any) -> None:
    for name, client in clients(raised):
        heads = {**header(raised.credential), "Origin": raised[name]["url"]}
        path = "/api/admin/version" if name == "prefect" else "/version"
        assert client.get(path, headers=heads).status_code == 200
        assert client.get("/", headers=heads).status_code in (200, 307)


def test_openapi_is_part_of_the_walk(raised: Any, tables: dict[str, Any]) -> None:
    answer = httpx.get(
        f"{raised['prefect']['url']}/openapi.json", headers=header(raised.credential), timeout=60
    )
    paths = answer.json()["paths"]
    walked = {path for _, path in tables["prefect"]}
    assert len(paths) > 100
    assert {concrete(f"/api{path}") for path in paths} <= walked


def test_web_sockets(raised: Any, tables: dict[str, Any]) -> None:
    sockets = sorted(path for method, path in tables["prefect"] if method == "WEBSOCKET")
    assert "/api/events/in" in sockets
    for path in sockets:
        url = raised["prefect"]["url"].replace("http", "ws", 1) + path
        with pytest.raises(InvalidStatus, match="403"), connect(url):  # not Prefect's protocol
            pass
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(url, subprotocols=["prefect"], origin="http://a.b"),
        ):
            pass
        with pytest.raises(InvalidStatus, match="403"), connect(url, additional_headers=WRONG):
            pass
        with connect(url, subprotocols=["prefect"]) as socket:
            socket.send(json.dumps({"type": "auth", "token": "wrong"}))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=30)
        with connect(url, subprotocols=["prefect"]) as socket:
            socket.send(json.dumps({"type": "auth", "token": raised.credential}))
            assert json.loads(socket.recv(timeout=30))["type"] == "auth_success"
