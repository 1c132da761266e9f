"""`modelyard serve`: a real process, asked over HTTP while the champion changes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from flows.cli import main
from flows.commands import serving
from tasks.errors import ConfigError

PROJECT = """
name: houses
task: regression
source: {kind: table, path: raw/houses.csv}
target: price
network: {kind: neuron}
evaluate: {metric: mae, baselines: [median]}
register: {name: houses}
"""
PATIENCE = 120.0
"""Seconds that a start may take on a busy machine."""


@dataclass
class Serving:
    """A running `modelyard serve houses --json`."""

    process: subprocess.Popen[str]
    document: dict[str, Any]

    @property
    def url(self) -> str:
        return self.document["url"]

    def end(self, how: signal.Signals) -> tuple[int, str, str]:
        """Exit code and what was printed since the start, after a signal."""
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture
def project(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shelf with a project around it and two versions, the first of them champion."""
    (shelf.root / "data" / "houses").mkdir(parents=True)
    (shelf.root / "data" / "houses" / "project.yaml").write_text(PROJECT)
    for seed in (1, 2):
        shelf.add(seed)
    shelf.promote(1)
    return shelf


@pytest.fixture
def start(project: Any) -> Iterator[Callable[..., Serving]]:
    """Starts the command; whatever is left of it at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def call(*words: str) -> Serving:
        where = ("--port", "0", "--root", str(project.root))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.cli", "serve", "houses", "--json", *where, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )  # fmt: skip
        started.append(process)
        return Serving(process, json.loads(first_line(process)))

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """The document, once it is there."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(PATIENCE):
            pytest.fail("nothing was printed")
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return line


def request(rows: pd.DataFrame) -> dict[str, Any]:
    return {"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}


class Client(threading.Thread):
    """Asks as fast as it is answered, over one connection, and keeps what came."""

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        super().__init__()
        self.url, self.body = url, body
        self.answers: list[tuple[int, str, str]] = []
        self.stop = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.stop.is_set():
                answer = client.post("/invocations", json=self.body)
                version = answer.headers.get("X-Model-Version", "")
                self.answers.append((answer.status_code, version, answer.text))


def test_a_promotion_under_load_loses_no_request(
    project: Any, start: Callable[..., Serving], houses: pd.DataFrame
) -> None:
    serving = start()
    clients = [Client(serving.url, request(houses.drop(columns="price")[:3])) for _ in range(2)]
    for client in clients:
        client.start()
    time.sleep(1.0)
    project.promote(2)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any("2" not in [a[1] for a in c.answers[-5:]] for c in clients):
        time.sleep(0.1)
    for client in clients:
        client.stop.set()
        client.join(PATIENCE)
    code, out, err = serving.end(signal.SIGTERM)

    for client in clients:
        assert {status for status, _, _ in client.answers} == {200}
        order = [version for _, version, _ in client.answers]
        assert order == sorted(order)
        assert set(order) == {"1", "2"}
    answers = Counter(answer[1:] for client in clients for answer in client.answers)
    assert len(answers) == 2, "each version has one answer, and it is its own"
    assert serving.document["model"] == {"name": "houses", "version": 1}
    assert (code, out) == (0, "")
    assert "version 2 is the champion now" in err
    assert "Traceback" not in err


def test_ctrl_c_is_a_regular_end_and_a_request_under_way_is_answered(
    start: Callable[..., Serving], houses: pd.DataFrame
) -> None:
    serving = start("--model-version", "2")
    url = httpx.URL(serving.url)
    body = json.dumps(request(houses.drop(columns="price")[:3])).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection((url.host, url.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nExpect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in connection.recv(1000)
        serving.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    out, err = serving.process.communicate(timeout=PATIENCE)

    assert answer.startswith("HTTP/1.1 200 ")
    assert "x-model-version: 2\r\n" in answer
    assert (serving.process.returncode, out, err.splitlines()[-1]) == (0, "", "stopped")
    assert "Traceback" not in err


def test_names_origins_and_credential_are_asked_for(
    start: Callable[..., Serving], houses: pd.DataFrame, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("me:correct-horse-battery\n")
    secret.chmod(0o600)
    url = start("--credentials", str(secret)).url
    port = httpx.URL(url).port
    good = ("me", "correct-horse-battery")
    with httpx.Client(base_url=url) as client:

        def status(path: str = "/version", auth: Any = good, **headers: str) -> int:
            return client.get(path, auth=auth, headers=headers).status_code

        assert [status(path, None) for path in ("/ping", "/health")] == [200, 200]
        assert [status(path, None) for path in ("/version", "/status", "/invocations", "/x")] == [401] * 4
        assert [status(), status(auth=("me", "wrong")), status(Host=f"localhost:{port}")] == [200, 401, 200]
        hosts = ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.:{port}")
        assert [status(Host=host) for host in hosts] == [400] * len(hosts)
        assert [status("/ping", None, Host=host) for host in hosts] == [400] * len(hosts)
        assert status(Origin="http://evil.example") == 403
        answer = client.post("/invocations", json=request(houses.drop(columns="price")[:1]), auth=good)
        assert answer.status_code == 200


def refusal(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> tuple[int, str]:
    """Exit code and the one line of a command that does not start."""
    code = main(["serve", "houses", *words, "--root", str(root)])
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return code, err


def test_what_it_does_not_start_with(
    project: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = refusal(capsys, project.root, "--port", str(port))
    assert (code, f"port {port} on" in line) == (2, True)
    code, line = refusal(capsys, project.root, "--port", "0", "--model-version", "9")
    assert (code, "no version 9" in line) == (5, True)
    code, line = refusal(capsys, project.root, "--port", "0", "--host", "192.0.2.1", "--expose")
    assert (code, "--credentials" in line) == (2, True)

    secret = tmp_path / "secret"
    secret.write_text("me:correct-horse-battery\n")
    secret.chmod(0o600)
    code, line = refusal(capsys, project.root, "--host", "0.0.0.0", "--credentials", str(secret))
    assert (code, "--expose" in line) == (2, True)


def test_a_project_without_a_champion_says_what_to_do(shelf: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf.root / "data" / "houses").mkdir(parents=True)
    (shelf.root / "data" / "houses" / "project.yaml").write_text(PROJECT)

    code, line = refusal(capsys, shelf.root, "--port", "0")

    assert (code, "no champion yet; train one" in line) == (2, True)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("me:correct-horse-battery", 0o640, "others can read"),
        ("me:correct-horse-battery", 0o602, "others can read"),
        ("me:short", 0o600, "16 characters"),
        (":correct-horse-battery", 0o600, "user:password"),
        ("correct-horse-battery", 0o600, "user:password"),
        ("me:correct-horse\nyou:correct-horse", 0o600, "one line"),
        (None, 0o600, "no file"),
    ],
)
def test_a_credential_is_private_and_long(text: str | None, mode: int, why: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)

    with pytest.raises(ConfigError, match=why) as caught:
        serving._credential(path)
    assert "horse" not in str(caught.value)
