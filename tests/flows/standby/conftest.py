"""A process that stands by for commands that the tests make up."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

COMMANDS = """
import json, os, signal, sys, time
from pathlib import Path
from flows.standby import process

def main(words):
    name, *rest = words
    if name == "facts":
        mask = os.umask(0)
        os.umask(mask)
        open_files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n != "99"
                      and os.path.exists(f"/proc/self/fd/{n}")]
        import numpy as np
        print(json.dumps({
            "folder": os.getcwd(), "environment": dict(os.environ), "umask": mask, "argv": sys.argv,
            "draw": float(np.random.rand()), "files": open_files, "pid": os.getpid(), "group": os.getpgid(0),
            "said": sys.stdin.read(), "path": sys.path,
        }))
        print("a word aside", file=sys.stderr)
        return 3
    if name == "sleep":
        Path(rest[0]).write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            return 130
    if name == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("no such command")

process.cli.main = main
sys.exit(process.stand(Path(sys.argv[1]), needed=sys.argv[2:]))
"""
ASK = """
import sys
from pathlib import Path
from flows.standby import asking
code = asking.hand_over(sys.argv[2:], Path(sys.argv[1]))
sys.exit(99 if code is None else code)
"""
NOT_ANSWERED = 99


@dataclass
class Yard:
    """A root, who stands by for it, and how commands ask."""

    root: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    callers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.root / ".state" / "standby.sock"

    def stand(self, *needed: str) -> None:
        """Starts the process and waits until it listens."""
        script = self.root / "stand.py"
        script.write_text(COMMANDS)
        with (self.root / ".state" / "log").open("wb") as log, (self.root / "lock").open("wb") as lock:
            self.process = subprocess.Popen(
                [sys.executable, "-P", script, self.root, *needed],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=self.environment, start_new_session=True,
                pass_fds=(lock.fileno(),),
            )  # fmt: skip
        eventually(self.socket.exists)

    def ask(self, *words: str, cwd: Path | None = None, **changed: str) -> subprocess.Popen[str]:
        """A command that asks; `changed` replaces variables of its environment."""
        asked = subprocess.Popen(
            [sys.executable, "-P", "-c", textwrap.dedent(ASK), self.root, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**self.environment, **changed}, cwd=cwd or self.root,
        )  # fmt: skip
        self.callers.append(asked)
        return asked

    def log(self) -> str:
        return (self.root / ".state" / "log").read_text()


def eventually(holds: Callable[[], Any], seconds: float = 30) -> Any:
    """What `holds` answers once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    (tmp_path / ".state").mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[3]}:{tmp_path}"}
    found = Yard(tmp_path, environment)
    try:
        yield found
    finally:
        for each in (found.process, *found.callers):
            if each is not None:
                each.kill()
                each.communicate()
