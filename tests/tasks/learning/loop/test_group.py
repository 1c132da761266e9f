from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor, nn

from tasks.config import Fit, WideDeep
from tasks.errors import ConfigError, ModelyardError, ResourceLimit, TrainingDiverged
from tasks.learning import training
from tasks.learning.loop import group
from tasks.learning.training import Examples, Task, Trained
from tasks.networks import InputSpec, build
from tasks.records import Epoch

SETTINGS = Fit(epochs=3, batch_size=32, learning_rate=0.01, schedule="cosine")
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}
"""Sums of float32 in another order, carried through a few epochs of AdamW. Measured: 6e-8."""


def table(rows: int = 131) -> Examples:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(rows, 3, generator=generator)
    codes = torch.randint(0, 4, (rows, 1), generator=generator)
    return Examples((numbers, codes), numbers @ torch.tensor([1.0, -2.0, 0.5]) + codes[:, 0].float())


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return build(
        {"kind": "mlp", "hidden": (16,), "dropout": 0.0, "members": 2}, InputSpec(1, numbers=3, levels=(4,))
    )


def squared_error(targets: Tensor) -> Task:
    # Inside, so that they travel by value: a process of the group has no test module.
    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs.squeeze(-1), wanted.expand(outputs.shape[:-1]))

    return Task(loss, lambda outputs: float(loss(outputs, targets)), higher_is_better=False)


def trained(
    folder: Path, processes: int, network: nn.Module | None = None, data: Examples | None = None,
    task: Task | None = None, **changes: object,
) -> Trained:  # fmt: skip
    data = data or table()
    settings = SETTINGS.model_copy(update={"processes": processes, **changes})
    return training.train(
        network or mlp(), data, data, task or squared_error(data.targets), settings, seed=0, device="cpu",
        precision="float32", checkpoint=folder,
    )  # fmt: skip


def test_two_processes_train_the_same_as_one(tmp_path: Path) -> None:
    seen: list[int] = []
    with training.watching(lambda epoch, planned: seen.append(epoch.epoch)):
        two = trained(tmp_path / "two", 2, network := mlp())
    one = trained(tmp_path / "one", 1)
    assert seen == [1, 2, 3]
    assert two.best_epoch == one.best_epoch
    for name, weight in one.weights.items():
        torch.testing.assert_close(two.weights[name], weight, **TOLERANCE)
        assert torch.equal(network.state_dict()[name], two.weights[name])
    for of_two, of_one in zip(two.history, one.history, strict=True):
        assert of_two.train_loss == pytest.approx(of_one.train_loss, rel=1e-4)
        assert of_two.validation_loss == pytest.approx(of_one.validation_loss, rel=1e-4)
    assert not (tmp_path / "two" / "group").exists()
    assert (two.taken_up, two.restarts) == (0, 0)


def test_class_weights_and_the_hooks_of_a_network_hold_for_a_group(tmp_path: Path) -> None:
    """Of 9 rows a batch; the last has 5, and one class weighs four times the other."""
    generator = torch.Generator().manual_seed(3)
    words = torch.randint(1, 20, (41, 12), generator=generator, dtype=torch.int32)
    words[torch.arange(12) >= torch.randint(1, 13, (41, 1), generator=generator)] = 0
    grams = words.sort(dim=1, descending=True).values.contiguous()
    data = Examples((words, grams), torch.randint(0, 2, (41,), generator=generator))
    weights, targets = torch.tensor([4.0, 1.0]), data.targets

    def loss(outputs: Tensor, wanted: Tensor) -> Tensor:
        many = wanted.expand(outputs.shape[:-1]).flatten()
        return nn.functional.cross_entropy(outputs.flatten(0, -2), many, weights)

    task = Task(
        loss, lambda outputs: float(loss(outputs, targets)), higher_is_better=False,
        weight=lambda wanted: weights[wanted].sum(),
    )  # fmt: skip
    found = []
    for processes in (1, 2):
        torch.manual_seed(0)
        quiet = WideDeep(hidden=4, embedding=4, dropout=0.0, word_dropout=0.0)
        spec = InputSpec(outputs=2, vocabulary=20, buckets=20, word_grams=12)
        network = build(quiet.model_dump(), spec)
        found.append(trained(tmp_path / str(processes), processes, network, data, task, batch_size=9))
    one, two = found
    for of_two, of_one in zip(two.history, one.history, strict=True):
        assert of_two.train_loss == pytest.approx(of_one.train_loss, rel=1e-4)
    for name, weight in one.weights.items():
        # `spread`, a running size of scores, is the first process', of its rows.
        loose = {"rtol": 0.5, "atol": 0.05} if name == "spread" else {"rtol": 2e-3, "atol": 1e-4}
        torch.testing.assert_close(two.weights[name], weight, **loose)


def members(folder: Path) -> list[psutil.Process]:
    """Processes of the group whose folder this is."""
    found = []
    for process in psutil.process_iter():
        words = words_of(process)  # read once: the process may end meanwhile
        ours = "tasks.learning.loop.member" in words and str(folder / "group") in words
        if ours and "torch.distributed.run" not in words:
            found.append(process)
    return found


def slow() -> nn.Module:
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 1)

        def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
            time.sleep(0.02)
            return self.inner(numbers)

    torch.manual_seed(0)
    return Slow()


@contextlib.contextmanager
def after_epoch(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """Does something to the group, once, when it has told of that epoch."""
    seen: list[int] = []

    def watch(epoch: Epoch, planned: int) -> None:
        seen.append(epoch.epoch)
        if epoch.epoch == number:
            act()

    with training.watching(watch):
        yield seen


def test_a_killed_process_takes_the_group_back_to_the_last_checkpoint(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        killed.extend(process.pid for process in members(tmp_path / "cut"))
        os.kill(max(killed), signal.SIGKILL)

    with after_epoch(2, kill) as seen:
        cut = trained(tmp_path / "cut", 2, slow(), epochs=12)
    assert len(killed) == 2
    assert not [pid for pid in killed if psutil.pid_exists(pid)]  # never half a group
    assert cut.restarts == 1
    assert seen == [*range(1, 13)]  # each once, though some were trained twice
    whole = trained(tmp_path / "whole", 1, slow(), epochs=12)
    for name, weight in whole.weights.items():
        torch.testing.assert_close(cut.weights[name], weight, **TOLERANCE)


def test_a_group_that_is_killed_again_and_again_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "RESTARTS", 0)
    killing = after_epoch(1, lambda: members(tmp_path)[0].kill())
    with pytest.raises(ResourceLimit, match="one of 2 processes of the training ended") as caught, killing:
        trained(tmp_path, 2, slow(), epochs=50)
    assert caught.value.exit_code == 7
    assert members(tmp_path) == []
    assert list(tmp_path.glob("epoch-*")) != []  # the next run goes on from here


def test_who_stops_watching_stops_the_group_and_the_next_goes_on(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), after_epoch(2, stop):
        trained(tmp_path, 2, slow(), epochs=50)
    assert members(tmp_path) == []
    assert not (tmp_path / "group").exists()
    resumed = trained(tmp_path, 1, slow(), epochs=50)  # with as many processes as one likes
    assert resumed.taken_up >= 1
    assert len(resumed.history) == 50


def test_the_group_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_group as here;"
        "here.trained(pathlib.Path(sys.argv[2]), 2, here.slow(), epochs=10_000)"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(words) as parent:
        try:
            wait_for(lambda: len(members(tmp_path)) == 2 and list(tmp_path.glob("epoch-*")))
        finally:
            parent.kill()
    wait_for(lambda: not members(tmp_path))
    wait_for(lambda: not [p for p in psutil.process_iter() if str(tmp_path) in " ".join(words_of(p))])


def words_of(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        threading.Event().wait(0.1)


def test_what_a_process_raises_is_raised_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "RESTARTS", 0)
    with pytest.raises(TrainingDiverged, match="in epoch 1, step"):
        trained(tmp_path, 2, learning_rate=1e30, clip=None)

    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
            raise TypeError("no such thing")

    with pytest.raises(ModelyardError, match="TypeError: no such thing") as caught:
        trained(tmp_path / "broken", 2, Broken())
    assert caught.value.fix == "see what it says with fit.processes: 1"


def test_processes_need_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"fit.processes is 2, but this machine has 1 cuda device; set"):
        group.check_devices(2, "cuda")
    with pytest.raises(ConfigError, match="mps"):
        group.check_devices(2, "mps")
    group.check_devices(8, "cpu")
