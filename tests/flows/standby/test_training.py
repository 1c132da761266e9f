"""A training that the process that stands by runs: the same model, and no import waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.flows.standby.conftest import eventually


def train(root: Path, standby: str, *words: str) -> dict[str, Any]:
    environment = {**os.environ, "MODELYARD_STANDBY": standby}
    command = [sys.executable, "-m", "flows.cli", "train", "rings", "--json", "--root", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def imports(document: dict[str, Any]) -> float:
    rows = document["profile"]["rows"]
    return sum(row["seconds"] for row in rows if row["cause"] in ("import torch", "import mlflow"))


def test_it_is_the_same_training(tmp_path: Path, isolated: None, make_project: Callable[..., Path]) -> None:
    roots = [tmp_path / name for name in ("alone", "helped")]
    for root in roots:
        make_project(root)
    state = roots[1] / ".state"
    state.mkdir(mode=0o700, exist_ok=True)
    with (state / "log").open("wb") as log:
        standing = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.standby.process", str(roots[1])],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        alone = train(roots[0], "0", "--profile")
        eventually((state / "standby.sock").exists, 120)
        helped = train(roots[1], "1", "--profile")
    finally:
        standing.kill()
        standing.communicate()
    assert imports(alone) > 0.1
    assert imports(helped) < 0.1, (state / "log").read_text()
    for key in ("outcome", "scores"):
        assert alone[key] == helped[key]
    weights = [next(root.glob("data/rings/work/fit/*/weights.safetensors")).read_bytes() for root in roots]
    assert weights[0] == weights[1]
