"""Several machines, here by two agents of torchrun on one: the same weights, and the same end."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tasks import lease
from tasks.config import Training
from tasks.errors import ConfigError
from tasks.learning.loop import group, joining


@pytest.fixture
def grouped() -> ModuleType:
    """The helpers of the tests of groups."""
    spec = importlib.util.spec_from_file_location("grouped", Path(__file__).with_name("test_group.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["grouped"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> Training:
    """Two machines that meet on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PET_LOCAL_ADDR", "127.0.0.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", group.LOOPBACK[sys.platform])
    return Training(nodes=2, rendezvous=f"127.0.0.1:{port}")


@pytest.fixture
def other(tmp_path: Path, over: Training) -> Iterator[subprocess.Popen[str]]:
    """The other machine, which joins one group."""
    code = "import pathlib, sys; from tasks.learning.loop import joining; "
    code += "joining.main(pathlib.Path(sys.argv[1]), 1)"
    work = tmp_path / "data" / "made" / "work"
    work.mkdir(parents=True)
    words = [sys.executable, "-c", code, str(work)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        yield process
        process.kill()


def test_two_machines_train_the_same_as_one(
    tmp_path: Path, over: Training, other: subprocess.Popen[str], grouped: ModuleType
) -> None:
    work = tmp_path / "data" / "made" / "work"
    with group.spread(over):
        two = grouped.trained(work / "checkpoints" / "k", 2, network := grouped.mlp())
    _, told = other.communicate(timeout=60)
    assert "joins k\n" in told
    assert "left k: 0\n" in told
    one = grouped.trained(tmp_path / "one", 1)
    for name, weight in one.weights.items():
        torch.testing.assert_close(two.weights[name], weight, **grouped.TOLERANCE)
        assert torch.equal(network.state_dict()[name], two.weights[name])
    assert two.restarts == 0


def test_processes_are_spread_evenly(over: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, env = group.launch(tmp_path, Training(nodes=2, rendezvous="gpu.example:29400"), 8, None)
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=gpu.example:29400"} <= set(words)
    assert not any("127.0.0.1" in word or "store_type" in word for word in words)
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE" not in env
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with group.spread(over):
        group.check_devices(4, "cuda")
        group.check_devices(1, "cuda")
        with pytest.raises(
            ConfigError, match=r"fit\.processes is 3, and training\.nodes .* is 2; set .* multiple of 2"
        ):
            group.check_devices(3, "cpu")
        with pytest.raises(ConfigError, match="is 3 a machine, but this machine has 2 cuda devices"):
            group.check_devices(6, "cuda")


def test_groups_of_one_machine_and_of_runs_that_ended_are_passed_over(tmp_path: Path) -> None:
    folders = [tmp_path / "checkpoints" / name / "group" for name in ("alone", "ended", "there", "torn")]
    for folder, nodes in zip(folders, (1, 2, 2, 2), strict=True):
        folder.mkdir(parents=True)
        (folder / group.NODES).write_text(json.dumps({"nodes": nodes}))
    folders[3].joinpath(group.NODES).write_text("{")
    held = [lease.take(folder / "owner") for folder in folders if folder.parent.name != "ended"]
    assert [folder for folder, _ in joining.groups(tmp_path)] == [folders[2]]
    for one in held:
        one.release()
