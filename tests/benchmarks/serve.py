"""Serving under load: latency and throughput beside `mlflow models serve`, a promotion half-way.

.venv/bin/python tests/benchmarks/serve.py [--project prices] [--seconds 20] [--rows 1] [--clients 2]

Trains two versions of a shipped project in a folder of its own (few epochs: what a request costs does
not depend on how well a network was fitted), and lets client processes ask as fast as they are
answered, each over one connection that stays open. Half-way the alias champion moves from version 1 to
version 2. The run fails if a request fails, if an answer is not that of the version in its header, or
if a client sees the old version after the new one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from tasks.registry import backend

ROOT = Path(__file__).resolve().parents[2]
TURNS = 4
"""The two servers are asked in turns, since a shared machine is not equally fast for long."""
START = 180.0
"""Seconds that a server may take to start."""


def train(root: Path, project: str) -> None:
    """Two versions of the project in the root's own registry, the first of them champion."""
    shutil.copytree(ROOT / "data" / project, root / "data" / project, ignore=shutil.ignore_patterns("work"))
    for seed in (0, 1):
        changes = [f"--set={change}" for change in (f"seed={seed}", "fit.epochs=2", "gate=[]")]
        manual = [] if seed == 0 else ["--set=register.champion=manual"]
        modelyard = [sys.executable, "-P", "-m", "flows.cli", "train", project, *changes, *manual]
        subprocess.run([*modelyard, "--json", "--root", str(root)], check=True, stdout=subprocess.DEVNULL)


def client(url: str, path: Path, seconds: float, wire: Any) -> None:
    """One client process: sends seconds a request, versions, digests of answers, failures."""
    body = path.read_bytes()
    times, versions, digests, failures = [], [], [], []
    with httpx.Client(base_url=url, timeout=60, headers={"Content-Type": "application/json"}) as http:
        http.post("/invocations", content=body)
        wire.send("ready")
        wire.recv()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            began = time.perf_counter()
            try:
                answer = http.post("/invocations", content=body)
            except httpx.HTTPError as error:
                failures.append(repr(error))
                continue
            times.append(time.perf_counter() - began)
            if answer.status_code != 200:
                failures.append(answer.text[:200])
            versions.append(answer.headers.get("X-Model-Version"))
            digests.append(hashlib.sha256(answer.content).hexdigest())
    wire.send((times, versions, digests, failures))


@dataclass(frozen=True)
class Server:
    """A scoring server that answers."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU that it has used, children included."""
        leader = psutil.Process(self.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (leader, *leader.children(recursive=True)))


@contextmanager
def server(command: Sequence[str], root: Path) -> Iterator[Server]:
    """Runs a scoring server until the block ends; yields it once it answers."""
    python = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow' / 'mlflow.db'}",
    }
    port = free_port()
    log_file = root / f"{port}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=root,
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                httpx.get(f"{url}/ping", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        else:
            raise SystemExit(log_file.read_text())
        yield Server(url, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@dataclass(frozen=True)
class Load:
    """What the client processes found: of each its times, versions, digests and failures."""

    found: list[Any]
    seconds: float
    cpu: float
    """Seconds of CPU that the server used meanwhile."""

    @property
    def times(self) -> np.ndarray:
        """Milliseconds of every request."""
        return np.concatenate([times for times, *_ in self.found]) * 1000

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds

    def line(self) -> list[str]:
        """The figures, as the table shows them."""
        tail = [*np.percentile(self.times, [50, 95, 99]), self.times.max(), self.cpu * 1000 / len(self.times)]
        return [f"{len(self.times):,}", f"{self.rate:.0f}", *(f"{value:.1f}" for value in tail)]

    def answered(self) -> Load:
        """Itself; ends the run if a request failed."""
        if failures := [failure for *_, failed in self.found for failure in failed]:
            raise SystemExit(f"{len(failures)} requests failed, the first: {failures[0]}")
        return self

    def check(self) -> None:
        """Ends the run unless each version answered as itself, and the old one first."""
        answers = {
            pair for _, versions, digests, _ in self.found for pair in zip(versions, digests, strict=True)
        }
        if {version for version, _ in answers} != {"1", "2"} or len(answers) != 2:
            raise SystemExit(f"answers and versions do not fit: {answers}")
        if any(versions != sorted(versions) for _, versions, *_ in self.found):
            raise SystemExit("the old version answered after the new one")


def merged(loads: Sequence[Load]) -> Load:
    """Several turns as one."""
    found = [one for load in loads for one in load.found]
    return Load(found, sum(load.seconds for load in loads), sum(load.cpu for load in loads))


def load(server: Server, path: Path, seconds: float, clients: int, half_way: Any = None) -> Load:
    """Asks a server; `half_way` is called when half of the time is over."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(clients)]
    workers = [
        context.Process(target=client, args=(server.url, path, seconds, theirs)) for _, theirs in pipes
    ]
    for worker in workers:
        worker.start()
    for ours, _ in pipes:
        ours.recv()
    before = server.cpu()
    for ours, _ in pipes:
        ours.send("go")
    if half_way is not None:
        time.sleep(seconds / 2)
        half_way()
    found = [ours.recv() for ours, _ in pipes]
    used = server.cpu() - before
    for worker in workers:
        worker.join()
    return Load(found, seconds, used).answered()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def registry(root: Path) -> Any:
    """A client of the root's registry, warmed up."""
    known = backend.client(f"sqlite:///{root / 'mlflow' / 'mlflow.db'}")
    known.search_registered_models()
    return known


def request_file(root: Path, rows: int) -> Path:
    """A request for `rows` rows, made from the input example that version 1 carries."""
    example = next((root / "mlflow" / "artifacts").rglob("serving_input_example.json"))
    body = json.loads(example.read_text())
    if "inputs" in body:
        body["inputs"] = (body["inputs"] * rows)[:rows]
    else:
        body["dataframe_split"]["data"] = (body["dataframe_split"]["data"] * rows)[:rows]
    path = root / "request.json"
    path.write_text(json.dumps(body))
    return path


def main() -> None:
    """Prints a line a server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", default="prices")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--clients", type=int, default=2)
    wanted = parser.parse_args()
    title = f"{wanted.project}: {wanted.rows} rows a request, {wanted.clients} client processes"
    heads = ("server", "requests", "a second", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU ms")
    table = Table(*heads, title=title)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        train(root, wanted.project)
        request = request_file(root, wanted.rows)
        turn = (request, wanted.seconds / TURNS, wanted.clients)
        move = partial(registry(root).set_registered_model_alias, wanted.project, "champion", "2")
        uri = f"models:/{wanted.project}@champion"
        mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
        modelyard = [sys.executable, "-P", "-m", "flows.cli", "serve", wanted.project, "--root", str(root)]
        with server(mlflow, root) as theirs, server(modelyard, root) as ours:
            turns = [(load(theirs, *turn), load(ours, *turn)) for _ in range(TURNS)]
            promoted = load(ours, request, wanted.seconds, wanted.clients, half_way=move)
    before, after = (merged(loads) for loads in zip(*turns, strict=True))
    promoted.check()
    table.add_row("mlflow models serve", *before.line())
    table.add_row("modelyard serve", *after.line())
    table.add_row("the same, promoted half-way", *promoted.line())
    Console(width=110).print(table)
    print(f"no request failed; {after.rate / before.rate:.2f} times the throughput of mlflow models serve")


if __name__ == "__main__":
    main()
