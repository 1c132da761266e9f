"""What `modelyard up` raises on SQLite, shared by the tests that only look at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.servers import credentials


@dataclass(frozen=True)
class Ground:
    """A root, and the command line on it in a process of its own, as a person has it."""

    root: Path

    def __call__(self, *words: str, code: int = 0) -> Any:
        """The document of `modelyard WORDS... --json`; its exit code is checked."""
        command = [sys.executable, "-m", "flows.cli", *words, "--json", "--root", str(self.root)]
        hidden = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_AUTH_STRING")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=240, env=environment
        )
        assert done.returncode == code, done.stdout + done.stderr
        return {**json.loads(done.stdout), "said": done.stderr}


@pytest.fixture
def ground(tmp_path: Path, isolated: None, make_project: Callable[..., Path]) -> Ground:
    """A root where nothing is up."""
    make_project(tmp_path)
    return Ground(tmp_path)


@dataclass(frozen=True)
class Raised:
    """What is up: its ground, what `up` answered, the credential, and the addresses of both servers."""

    ground: Ground
    document: dict[str, Any]

    @property
    def root(self) -> Path:
        return self.ground.root

    @property
    def credential(self) -> str:
        return credentials.read(self.root)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.document["services"][name]


@pytest.fixture(scope="session")
def raised(
    tmp_path_factory: pytest.TempPathFactory, isolated: None, make_project: Callable[..., Path]
) -> Iterator[Raised]:
    """Both servers and the dispatcher, on SQLite."""
    ground = Ground(tmp_path_factory.mktemp("raised"))
    make_project(ground.root)
    try:
        yield Raised(ground, ground("up"))
    finally:
        ground("down")
