from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.config import Fit
from tasks.errors import ConfigError, TrainingDiverged
from tasks.learning import checkpoints, hooks, training
from tasks.learning.devices import resolve_device, resolve_precision
from tasks.learning.schedule import learning_rate, planned_epochs
from tasks.learning.training import Examples, Task, Trained
from tasks.networks import InputSpec, build
from tasks.records import Epoch

SETTINGS = Fit(epochs=4, batch_size=16, learning_rate=0.01)


def examples(rows: int = 96) -> Examples:
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(rows, 3, generator=generator)
    codes = torch.randint(0, 4, (rows, 1), generator=generator)
    return Examples((numbers, codes), numbers @ torch.tensor([1.0, -2.0, 0.5]) + codes[:, 0].float())


def squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(outputs.squeeze(-1), targets.expand(outputs.shape[:-1]))


def trained(folder: Path, settings: Fit = SETTINGS, seed: int = 0, **changes: object) -> Trained:
    data = examples()
    validation = Examples(tuple(x[:32] for x in data.inputs), data.targets[:32])
    torch.manual_seed(seed)
    net = build(
        {"kind": "mlp", "hidden": (16,), "dropout": 0.1, "members": 2}, InputSpec(1, numbers=3, levels=(4,))
    )
    metric = lambda outputs: float(((outputs[:, 0] - validation.targets) ** 2).mean())  # noqa: E731
    task = Task(loss=squared, metric=metric, higher_is_better=False)
    how: dict = {"seed": seed, "device": "cpu", "precision": "float32", "checkpoint": folder, **changes}
    return training.train(net, data, validation, task, settings, **how)


@pytest.fixture
def each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each epoch, however short that is."""
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)


def test_loss_goes_down(tmp_path: Path) -> None:
    history = trained(tmp_path, Fit(epochs=25, batch_size=16, learning_rate=0.02)).history
    assert history[-1].train_loss < 0.2 * history[0].train_loss
    assert history[-1].validation_loss < 0.2 * history[0].validation_loss


def test_same_seed_same_bits_and_another_seed_other_bits(tmp_path: Path) -> None:
    first, second = trained(tmp_path / "a"), trained(tmp_path / "b")
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert [e.train_loss for e in first.history] == [e.train_loss for e in second.history]
    other = trained(tmp_path / "c", seed=1)
    assert not torch.equal(first.weights["output.weight"], other.weights["output.weight"])


def test_the_best_epochs_weights_come_back(tmp_path: Path) -> None:
    settings = Fit(epochs=12, batch_size=16, learning_rate=0.9, schedule="constant", clip=None)
    result = trained(tmp_path, settings)
    values = [epoch.validation_metric for epoch in result.history]
    assert result.best_epoch == int(np.argmin(values)) + 1
    stopped_there = trained(tmp_path / "again", settings.model_copy(update={"epochs": result.best_epoch}))
    assert all(torch.equal(result.weights[n], stopped_there.weights[n]) for n in result.weights)


def test_among_equal_metrics_the_smaller_loss_decides(tmp_path: Path) -> None:
    """A metric that counts rows is the same in many epochs; the first of them is seldom the best."""
    data = examples()
    torch.manual_seed(0)
    net = build({"kind": "mlp", "hidden": (16,)}, InputSpec(1, numbers=3, levels=(4,)))
    task = Task(loss=squared, metric=lambda outputs: 0.75, higher_is_better=True)
    how: dict = {"seed": 0, "device": "cpu", "precision": "float32", "checkpoint": tmp_path}
    result = training.train(net, data, data, task, Fit(epochs=8, learning_rate=0.02, batch_size=16), **how)
    losses = [epoch.validation_loss for epoch in result.history]
    assert result.best_epoch == 1 + losses.index(min(losses)) > 1


def test_patience_stops_early(tmp_path: Path) -> None:
    settings = Fit(epochs=200, batch_size=16, learning_rate=2.0, schedule="constant", patience=3)
    result = trained(tmp_path, settings)
    assert result.stopped == "early"
    assert len(result.history) == result.best_epoch + 3 < 200


def test_a_time_budget_ends_with_the_best_so_far(tmp_path: Path) -> None:
    result = trained(tmp_path, Fit(epochs=100_000, batch_size=16, minutes=0.01))
    assert result.stopped == "minutes"
    assert result.seconds < 10
    assert result.weights


class Clock:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


def test_an_epoch_longer_than_the_budget_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = trained(tmp_path / "whole", Fit(epochs=9, batch_size=1))
    monkeypatch.setattr(training, "time", Clock())
    result = trained(tmp_path / "cut", Fit(epochs=9, batch_size=1, minutes=0.5))
    assert result.stopped == "minutes"
    assert (len(result.history), result.best_epoch) == (1, 1)
    assert result.seconds < 40  # of that clock: 96 batches would have taken 96
    assert math.isfinite(result.history[0].validation_metric)
    assert result.history[0].validation_metric != reference.history[0].validation_metric
    assert checkpoints.load(tmp_path / "cut") is None  # nothing half is ever taken up


def test_a_later_epoch_that_is_cut_wins_only_if_it_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Fit(epochs=9, batch_size=8, learning_rate=30.0, schedule="constant", clip=None)
    first = trained(tmp_path / "first", bad.model_copy(update={"epochs": 1})).history[0]
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)

    def slow_down(epoch: Epoch, planned: int) -> None:
        clock.perf_counter = lambda: 50.0 if epoch.epoch == 1 else 0.0  # type: ignore[method-assign]

    with training.watching(slow_down):
        result = trained(tmp_path / "cut", bad.model_copy(update={"minutes": 0.7}))
    assert result.stopped == "minutes"
    assert len(result.history) == 2
    best = min(result.history, key=lambda epoch: epoch.validation_metric)
    assert result.best_epoch == best.epoch
    assert result.history[0].validation_metric == first.validation_metric


def test_a_budget_that_suffices_changes_no_bit(tmp_path: Path) -> None:
    free, bound = (
        trained(tmp_path / "a"),
        trained(tmp_path / "b", SETTINGS.model_copy(update={"minutes": 60})),
    )
    assert bound.stopped == "epochs"
    assert all(torch.equal(free.weights[name], bound.weights[name]) for name in free.weights)


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")

    def interrupt(epoch: Epoch, planned: int) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), training.watching(interrupt):
        trained(tmp_path / "cut")
    seen: list[int] = []
    with training.watching(lambda epoch, planned: seen.append(epoch.epoch)):
        resumed = trained(tmp_path / "cut")
    assert seen == [3, 4]
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    assert [e.train_loss for e in whole.history] == [e.train_loss for e in resumed.history]


@pytest.mark.usefixtures("each_epoch")
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_checkpoint_is_never_loaded(tmp_path: Path, damage: str) -> None:
    trained(tmp_path)
    newest, before = sorted(tmp_path.glob("*.safetensors"), reverse=True)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes({"flip": bytes(data), "cut": bytes(data[:100]), "empty": b""}[damage])
    state = checkpoints.load(tmp_path)
    assert state is not None
    assert len(state.history) == 3
    before.unlink()
    assert checkpoints.load(tmp_path) is None


@pytest.mark.usefixtures("each_epoch")
def test_checkpoints_leave_no_temporary_files(tmp_path: Path) -> None:
    trained(tmp_path)
    assert len(list(tmp_path.iterdir())) == checkpoints.KEPT


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(tmp_path: Path, bad: float) -> None:
    data = examples()
    data.targets[:] = bad
    net = build({"kind": "neuron"}, InputSpec(1, numbers=3, levels=(4,)))
    task = Task(loss=squared, metric=lambda outputs: 0.0, higher_is_better=True)
    with pytest.raises(TrainingDiverged, match=r"loss became (nan|inf) in epoch 1, step 1") as caught:
        training.train(
            net,
            data,
            examples(),
            task,
            SETTINGS,
            seed=0,
            device="cpu",
            precision="float32",
            checkpoint=tmp_path,
        )
    assert caught.value.exit_code == 8
    assert not list(tmp_path.iterdir())


def test_an_undefined_metric_falls_back_on_the_loss(tmp_path: Path) -> None:
    data = examples()
    net = build({"kind": "neuron"}, InputSpec(1, numbers=3, levels=(4,)))
    task = Task(loss=squared, metric=lambda outputs: math.nan, higher_is_better=True)
    result = training.train(
        net, data, data, task, SETTINGS, seed=0, device="cpu", precision="float32", checkpoint=tmp_path
    )
    losses = [epoch.validation_loss for epoch in result.history]
    assert result.best_epoch == int(np.argmin(losses)) + 1


def test_a_device_that_is_not_there_is_refused_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"fit\.device is 'cuda', but this machine has none") as caught:
        resolve_device("cuda")
    assert caught.value.exit_code == 2
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"


def test_precision_is_lowered_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert resolve_precision("auto", "cpu", convolutional=True) == "bfloat16"
    assert resolve_precision("auto", "cpu", convolutional=False) == "float32"
    assert resolve_precision("auto", "cpu", convolutional=False, wide=True) == "bfloat16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert resolve_precision("auto", "cpu", convolutional=True) == "float32"
    assert resolve_precision("bfloat16", "cpu", convolutional=False) == "bfloat16"


def test_the_budget_of_examples_shortens_the_schedule() -> None:
    settings = Fit(epochs=16, max_examples=220_000)
    assert planned_epochs(settings, 3_500) == 16
    assert planned_epochs(settings, 54_000) == 4
    assert planned_epochs(settings, 10_000_000) == 1


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_learning_rate_rises_once_then_falls_to_almost_nothing(schedule: str) -> None:
    settings = Fit(schedule=schedule, learning_rate=1.0)  # type: ignore[arg-type]
    rates = np.array([learning_rate(step, 1000, settings) for step in range(1000)])
    peak = int(rates.argmax())
    assert rates[peak] == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(rates[:peak]) > 0).all()
    assert (np.diff(rates[peak:]) < 1e-12).all()
    assert rates[-1] < 0.002


def test_one_cycle_agrees_with_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=1000, pct_start=0.2, div_factor=10, final_div_factor=100
    )
    settings = Fit(schedule="one_cycle", learning_rate=1.0)
    for step in range(1000):
        assert learning_rate(step, 1000, settings) == pytest.approx(reference.get_last_lr()[0], abs=0.008)
        optimizer.step()
        reference.step()


def test_only_matrices_decay() -> None:
    net = build({"kind": "mlp", "hidden": (4,)}, InputSpec(1, numbers=3))
    decayed, spared = hooks.optimizer(net, SETTINGS).param_groups
    assert {tuple(p.shape) for p in decayed["params"]} == {(1, 3, 4), (1, 4, 1)}
    assert {tuple(p.shape) for p in spared["params"]} == {(1, 1, 4), (1, 1, 1)}
    assert spared["weight_decay"] == 0.0
