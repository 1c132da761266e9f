"""One yard for all tests of the flows: a made project, one managed server, one MLflow store."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

PROJECT = """
    name: rings
    task: classification
    source: {kind: table, path: raw/rings.csv}
    target: ring
    validate: {quarantine: 0.05}
    clean: [{trim: [colour]}]
    split: {strategy: stratified, validation: 0.15, test: 0.3}
    network: {kind: mlp, hidden: [24], dropout: 0.0}
    fit: {epochs: 25, batch_size: 32, learning_rate: 0.02}
    evaluate: {metric: accuracy, baselines: [majority, logistic], slices: [colour]}
    gate: [{better_than: logistic}, {not_worse_than: champion}]
    register: {name: rings, champion: auto}
"""
SUITE = {
    "name": "rings",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "ring"}, "severity": "critical"},
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "x", "min_value": -10, "max_value": 10},
            "severity": "critical",
        },
    ],
}


def rings(count: int = 360) -> pd.DataFrame:
    """Two rings, one in the other: no line parts them, a small network does."""
    rng = np.random.default_rng(3)
    outer = rng.random(count) < 0.5
    angle, radius = rng.random(count) * 2 * np.pi, np.where(outer, 2.0, 0.8) + rng.normal(0, 0.12, count)
    frame = pd.DataFrame({"x": radius * np.cos(angle), "y": radius * np.sin(angle)}).round(4)
    frame["colour"] = rng.choice(["red", "blue ", "green"], count)
    frame["ring"] = np.where(outer, "outer", "inner")
    return frame


def write_project(root: Path, name: str = "rings", frame: pd.DataFrame | None = None, **changes: str) -> Path:
    """A project of rings below `root`; `changes` replace whole lines of its YAML by key."""
    folder = root / "data" / name
    (folder / "raw").mkdir(parents=True)
    (rings() if frame is None else frame).to_csv(folder / "raw" / "rings.csv", index=False)
    (folder / "expectations.json").write_text(json.dumps(SUITE))
    lines = textwrap.dedent(PROJECT).strip().splitlines()
    lines = [next((v for k, v in changes.items() if line.startswith(f"{k}:")), line) for line in lines]
    (folder / "project.yaml").write_text("\n".join(lines).replace("name: rings", f"name: {name}") + "\n")
    return folder


@dataclass(frozen=True)
class Answer:
    """How a command line ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Yard:
    """A root with projects, and the command line on it."""

    root: Path

    def __call__(self, *words: str | Path) -> Answer:
        """Runs `modelyard WORDS... --root ROOT` in this process."""
        from flows.cli import main

        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([*map(str, words), "--root", str(self.root)])
        return Answer(code, out.getvalue(), err.getvalue())

    def versions(self, name: str = "rings") -> dict[int, tuple[str, ...]]:
        """The registry: aliases by version."""
        from tasks.registry import tracking

        return {v.version: v.aliases for v in tracking.versions(tracking.connect(self.root), name)}


@pytest.fixture(scope="session")
def ring_rows() -> pd.DataFrame:
    """360 rows of two rings."""
    return rings()


@pytest.fixture(scope="session")
def make_project() -> Callable[..., Path]:
    """Writes a project of rings below a root."""
    return write_project


@pytest.fixture(scope="session")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No profile, server or root of the user's is seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_PROFILES_PATH", str(tmp_path_factory.mktemp("none") / "profiles.toml"))
        for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MODELYARD_ROOT"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def opened(
    tmp_path_factory: pytest.TempPathFactory, isolated: None
) -> Callable[[], AbstractContextManager[Yard]]:
    """Opens a yard, its managed server held open so that each command shares it."""

    @contextmanager
    def opened() -> Iterator[Yard]:
        from flows.servers.prefect_server import prefect_server

        root = tmp_path_factory.mktemp("yard")
        write_project(root)
        with prefect_server(root):
            yield Yard(root)

    return opened


@pytest.fixture(scope="session")
def yard(opened: Callable[[], AbstractContextManager[Yard]]) -> Iterator[Yard]:
    """The yard that most tests share."""
    with opened() as yard:
        yield yard


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, isolated: None) -> Yard:
    """A root where nothing was ever run: one sound project, and one that does not load."""
    root = tmp_path_factory.mktemp("fresh")
    write_project(root)
    write_project(root, "torn", network="network: {kind: mpl}")
    return Yard(root)


@pytest.fixture(scope="session")
def trained(yard: Yard) -> dict[str, Any]:
    """The first training's document: registered, champion."""
    answer = yard("train", "rings", "--json")
    assert answer.code == 0, answer.err
    return answer.document


@pytest.fixture(scope="session")
def busy(opened: Callable[[], AbstractContextManager[Yard]]) -> Iterator[Yard]:
    """The yard of tests that train again and again, while others look at the latest run of theirs."""
    with opened() as yard:
        yield yard


@pytest.fixture(scope="session")
def busy_trained(busy: Yard) -> dict[str, Any]:
    """Its first training's document."""
    answer = busy("train", "rings", "--json")
    assert answer.code == 0, answer.err
    return answer.document
