"""What it costs to be orchestrated: `modelyard train` beside one plain script, and where the seconds go.

Each line is a whole process, timed from outside: the plain script (`plain.py`); the first training in a
root where nothing was ever run; a training that starts its own server; one beside the servers of
`modelyard up` (both with nothing kept of steps, runs and versions); and the same training again. The lines
are taken in turn, several times, and medians are shown. With `--mnist` the digits are the full MNIST. Beside
standing servers a command runs in the process that stands by, whose CPU seconds are those of its profile.

    .venv/bin/python tests/benchmarks/orchestration.py [--projects digits prices] [--mnist FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable]
YARD = [sys.executable, "-m", "flows.cli"]
MAKE = "import sys, pathlib; from tasks.registry import tracking; tracking.connect(pathlib.Path(sys.argv[1]))"
"""Makes an empty store of MLflow's."""
Measured = tuple[float, float]
"""Wall seconds of a process, and CPU seconds of it and of the children that it waited for."""


def timed(words: list[str]) -> tuple[Measured, str]:
    """Runs a process; how long it took, and what it printed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, env=environment
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (wall, cpu), done.stdout


class Yard:
    """A root with one project."""

    def __init__(self, folder: Path, project: str, words: list[str]) -> None:
        self.root, self.project, self.words = folder, project, words
        self.work = folder / "data" / project / "work"
        self.profile: list[dict] = []

    def make(self) -> None:
        """Begins anew, as if nothing had ever been run here."""
        shutil.rmtree(self.root, ignore_errors=True)
        ignored = shutil.ignore_patterns("work")
        shutil.copytree(ROOT / "data" / self.project, self.work.parent, ignore=ignored)

    def forget(self) -> None:
        """Takes away the steps' outputs, runs and versions; the databases stay, the one of MLflow empty."""
        for place in (self.work, self.root / "mlflow"):
            shutil.rmtree(place, ignore_errors=True)
        timed([*PYTHON, "-c", MAKE, str(self.root)])

    def train(self) -> Measured:
        """One training."""
        words = [*YARD, "train", self.project, "--root", str(self.root), "--json", "--profile", *self.words]
        took, said = timed(words)
        profile = json.loads(said)["profile"]
        self.profile = profile["rows"]
        return took[0], max(took[1], profile["cpu_seconds"])

    def await_standby(self) -> None:
        """Waits until who stands by has imported everything, as it long has when servers are up."""
        while not (self.root / ".state" / "standby.sock").exists():
            time.sleep(0.2)

    def call(self, name: str) -> Measured:
        """A command without arguments."""
        return timed([*YARD, name, "--root", str(self.root), "--json"])[0]


def measure(yard: Yard, rounds: int) -> tuple[dict[str, list[Measured]], dict[str, list[dict]]]:
    """Each line's processes, and the last profile of it."""
    found: dict[str, list[Measured]] = {}
    profiles: dict[str, list[dict]] = {}

    def take(line: str, run: Callable[[], Measured]) -> None:
        found.setdefault(line, []).append(run())
        profiles[line] = yard.profile

    for _ in range(rounds):
        take("plain script", lambda: timed([*PYTHON, plain(), yard.project, *yard.words])[0])
        yard.make()
        take("first run ever", yard.train)
        yard.forget()
        take("own server", yard.train)
        yard.forget()
        yard.call("up")
        try:
            yard.await_standby()
            take("servers up", yard.train)
            take("unchanged, servers up", yard.train)
            take("status, servers up", lambda: yard.call("status"))
        finally:
            yard.call("down")
        take("unchanged", yard.train)
        take("status", lambda: yard.call("status"))
        take("projects", lambda: yard.call("projects"))
        take("--help", lambda: timed([*YARD, "--help"])[0])
    return found, profiles


def plain() -> str:
    """The plain script."""
    return str(Path(__file__).with_name("plain.py"))


def show(title: str, found: dict[str, list[Measured]], profiles: dict[str, list[dict]]) -> None:
    """The table of processes, and where the seconds of the dearer ones went."""
    out = Console(width=140)
    table = Table("", "wall s", "CPU s", "more than plain", "times plain", title=title)
    base = statistics.median(wall for wall, _ in found["plain script"])
    for line, runs in found.items():
        wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        table.add_row(line, f"{wall:.2f}", f"{cpu:.2f}", f"{wall - base:+.2f}", f"{wall / base:.2f}")
    out.print(table)
    lines = ("first run ever", "own server", "servers up", "unchanged")
    causes: dict[str, dict[str, float]] = {}
    for line in lines:
        for row in profiles[line]:
            told = causes.setdefault(row["cause"], {})
            told[line] = told.get(line, 0.0) + row["seconds"]
    where = Table("where the seconds of the last round went", *lines)
    for cause, told in sorted(causes.items(), key=lambda pair: -max(pair[1].values())):
        if max(told.values()) >= 0.05:
            where.add_row(cause, *(f"{told[line]:.2f}" if line in told else "" for line in lines))
    out.print(where)


def main() -> None:
    """Prints two tables a project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", nargs="*", default=["digits", "prices"])
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    asked = [(name, name, []) for name in words.projects]
    if words.mnist:
        asked.append(("digits", "full MNIST", ["--source", str(words.mnist.resolve())]))
    for project, title, given in asked:
        with tempfile.TemporaryDirectory() as place:
            show(title, *measure(Yard(Path(place), project, given), words.rounds))


if __name__ == "__main__":
    main()
