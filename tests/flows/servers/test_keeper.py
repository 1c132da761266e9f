"""The keeper: what it starts stays up, and goes with it, however it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.servers import address, keeper, service, standing
from flows.servers.keeper import Keeper
from flows.servers.service import Service, answers
from tasks.config.settings import FILE

STAND_IN = """
    import http.server, os, sys
    from flows.servers import address, leash

    root, listener = address.arguments(sys.argv[1:])
    if (root / "broken").exists():
        sys.exit("no such luck")
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503 if (root / "hung").exists() else 200)
            self.end_headers()
        def log_message(self, *words):
            pass
    leash.hold(lambda: os._exit(0))
    server = http.server.HTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket = listener
    print("serving", flush=True)
    server.serve_forever()
"""
KEEP = """
    import sys, threading
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from test_keeper import kept
    from flows.servers import keeper, standing
    root = Path(sys.argv[1])
    lock = standing.lock(root)
    keeper.Keeper(root, kept(root, lock.fileno())).run(threading.Event())
"""


def kept(root: Path, lock: int | None = None) -> list[Service]:
    """Two servers of the stand-in, the second after the first."""
    (root / ".state" / "logs").mkdir(parents=True, exist_ok=True)
    (root / "stand_in.py").write_text(textwrap.dedent(STAND_IN))
    found: list[Service] = []
    for name in ("one", "two"):
        listener = address.listen("127.0.0.1", None, 0)
        url = address.of(listener).url
        found.append(
            Service(
                name,
                "stand_in",
                root,
                answers(f"{url}/"),
                listener=listener,
                url=url,
                after=found[0] if found else None,
                environment={**os.environ, "PYTHONPATH": str(root)},
                kept=() if lock is None else (lock,),
            )
        )
    return found


def eventually(holds: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


@contextmanager
def keeping(root: Path, services: list[Service]) -> Iterator[Callable[[], dict[str, Any]]]:
    """A keeper in a thread; yields what it tells of its services."""
    stop = threading.Event()
    thread = threading.Thread(target=Keeper(root, services).run, args=(stop,))
    thread.start()
    try:
        yield lambda: (standing.last(root) or {"services": {}})["services"]
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def states(told: dict[str, Any]) -> list[str]:
    return [each["state"] for each in told.values()]


def test_starts_in_order_and_ends_everything(tmp_path: Path) -> None:
    services = kept(tmp_path)
    with keeping(tmp_path, services) as told:
        first = eventually(lambda: told() if "starting" in states(told()) else None)
        assert (first["one"]["state"], first["two"]["state"]) == ("starting", "waiting")
        found = eventually(lambda: told() if states(told()) == ["up", "up"] else None)
        assert standing.record(tmp_path).stat().st_mode & 0o077 == 0
        pids = [each["pid"] for each in found.values()]
        assert all(standing.process(each).pid == each["pid"] for each in found.values())
        assert standing.process({**found["one"], "created": 1.0}) is None, "a pid that was given anew"
    assert not any(map(psutil.pid_exists, pids))
    assert not standing.record(tmp_path).exists()
    assert (tmp_path / ".state" / "logs" / "one.log").read_text() == "serving\n"


def test_killed_child_comes_back_at_its_port_with_growing_delay(tmp_path: Path, monkeypatch) -> None:
    services = kept(tmp_path)[:1]
    with keeping(tmp_path, services) as told:
        eventually(lambda: states(told()) == ["up"])
        before = told()["one"]
        for time_ in (1, 2):
            os.kill(told()["one"]["pid"], signal.SIGKILL)
            eventually(lambda: states(told()) == ["restarting"])
            with urllib.request.urlopen(before["url"], timeout=30) as answer:
                assert answer.status == 200, "whoever asks meanwhile waits, and is not refused"
            eventually(lambda n=time_: told()["one"]["restarts"] == n and states(told()) == ["up"])
        assert told()["one"]["port"] == before["port"]
        assert services[0]._delay == 4.0


def test_silent_child_is_replaced(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(service, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(service, "PROBES_MISSED", 2)
    with keeping(tmp_path, kept(tmp_path)[:1]) as told:
        eventually(lambda: states(told()) == ["up"])
        (tmp_path / "hung").touch()
        eventually(lambda: told()["one"]["restarts"] == 1)
        (tmp_path / "hung").unlink()
        eventually(lambda: states(told()) == ["up"])


def test_start_that_fails_ends_all(tmp_path: Path) -> None:
    services = kept(tmp_path)
    ready = services[0].ready

    def ready_then_broken(pid: int) -> bool:
        (tmp_path / "broken").write_text("") if (good := ready(pid)) else None
        return good

    services[0].ready = ready_then_broken
    assert Keeper(tmp_path, services).run(threading.Event()) == 1
    told = standing.last(tmp_path)["services"]
    assert told["two"]["state"] == "failed"
    assert "no such luck" in Path(told["two"]["log"]).read_text()
    assert not psutil.pid_exists(told["one"]["pid"])


def test_killed_keeper_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", textwrap.dedent(KEEP), str(tmp_path), str(Path(__file__).parent)]
    process = subprocess.Popen(words)
    try:
        eventually(lambda: states((standing.read(tmp_path) or {"services": {}})["services"]) == ["up", "up"])
        found = standing.read(tmp_path)["services"]
        assert standing.lock(tmp_path) is None
        process.kill()
        process.wait()
        assert standing.read(tmp_path) is None, "what its children hold is not kept up any more"
        eventually(lambda: not standing.stands(tmp_path))
        for each in found.values():
            assert standing.process(each) is None
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(each["url"], timeout=5)
    finally:
        process.kill()
        process.wait()


def test_long_log_is_moved_away(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(service, "LOG_BYTES", 10)
    monkeypatch.setattr(keeper, "TRIM_SECONDS", 0.1)
    log = tmp_path / ".state" / "logs" / "one.log"
    with keeping(tmp_path, kept(tmp_path)[:1]) as told:
        eventually(lambda: states(told()) == ["up"])
        with log.open("a") as file:
            file.write("x" * 100)
        eventually(lambda: log.stat().st_size == 0)
    assert log.with_name("one.log.1").read_text().endswith("x" * 100)


def test_somebody_stands_by_unless_that_is_switched_off(tmp_path: Path, monkeypatch) -> None:
    def names() -> list[str]:
        return [each.name for each in keeper.services(tmp_path, 0, None, None)]

    monkeypatch.setenv("MODELYARD_STANDBY", "1")
    assert names() == ["dispatcher", "standby"], "the last, for nothing waits for it"
    (tmp_path / FILE).write_text("standby: false\n")
    assert names() == ["dispatcher"]
    (tmp_path / FILE).unlink()
    monkeypatch.setenv("MODELYARD_STANDBY", "0")
    assert names() == ["dispatcher"]
