from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.config import Augment, Cnn, Columns, Custom, Encode, Fit, Mlp, Neuron, Trim
from tasks.dataset import Dataset
from tasks.errors import ConfigError, ResourceLimit, TrainingDiverged, Unavailable
from tasks.features.schema import types_of
from tasks.fit import fit, fit_encoder, make_task
from tasks.learning import checkpoints, scoring, training
from tasks.learning.augment import mirror_images
from tasks.learning.encode import Encoder, ImageInputs
from tasks.learning.loop.loss import class_weights, make_loss
from tasks.learning.loop.remarks import gap_warning
from tasks.learning.targets import Labels, Scale
from tasks.records import CleanRecord, Epoch, FitRecord, RunRef, SplitRecord, Step, ValidateRecord
from tasks.registry import tracking
from tasks.splitting import parts
from tasks.tables import table as table_of


def prepared(folder: Path, raw: Dataset, cleaned: Dataset | None = None) -> dict[str, Any]:
    """Records as the three steps before would leave them: two thirds train, a sixth each of the rest."""
    cleaned = cleaned or raw
    for name, data in (("raw", raw), ("cleaned", cleaned)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        table_of.save(folder / name, data, types_of(data.rows), len(raw))
    dealt = pd.Series(np.resize(["train", "train", "train", "train", "validation", "test"], len(cleaned)))
    dealt.index = cleaned.rows.index
    (folder / "split").mkdir(exist_ok=True)
    dealt.to_frame("part").to_parquet(folder / "split" / parts.FILE)
    step, rows = Step(name="made"), len(raw)
    return {
        "raw": ValidateRecord(
            step=step, folder=folder / "raw", fingerprint="f", files=(), read=rows, kept=rows, quarantined=0,
            reasons={}, findings=(), expectations=1, columns=tuple(raw.rows.columns),
            types=types_of(raw.rows),
        ),
        "cleaned": CleanRecord(
            step=step, folder=folder / "cleaned", digest="c", read=rows, kept=rows, dropped=0, quarantined=0,
            operations=(),
        ),
        "split": SplitRecord(step=step, folder=folder / "split", hash="s", train=1, validation=1, test=1),
        "work": folder / "work",
    }  # fmt: skip


PRICES: dict[str, Any] = {
    "kind": "regression", "target": "price", "columns": Columns(), "exclude": (), "clean": (),
    "encode": Encode(numeric="quantile", target="log"), "metric": "mae", "seed": 0,
    "network": Mlp(hidden=(16,), dropout=0.0, members=2, bins=4),
    "settings": Fit(epochs=6, batch_size=32, learning_rate=0.01),
}  # fmt: skip


def fitted(folder: Path, raw: Dataset, cleaned: Dataset | None = None, **changes: Any) -> FitRecord:
    return fit.fn(**{**prepared(folder, raw, cleaned), **PRICES, **changes})


def stripes(rows: int = 60) -> Dataset:
    """Made images of two classes: bright rows or bright columns."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (rows, 10, 10), dtype=np.uint8)
    for i in range(rows):
        lines = pixels[i] if i % 2 else pixels[i].T
        lines[rng.integers(0, 10)] = 255
    frame = pd.DataFrame({"label": np.where(np.arange(rows) % 2, "rows", "columns")})
    frame.index.name = "row"
    return Dataset(frame, pixels)


IMAGES: dict[str, Any] = {
    "kind": "classification", "target": "label", "network": Cnn(widths=(4, 6, 8)), "metric": "log_loss",
    "settings": Fit(
        epochs=12, batch_size=8, learning_rate=0.02, schedule="one_cycle", augment=Augment(shift=1)
    ),
}  # fmt: skip


def test_a_table_becomes_a_model_that_takes_raw_rows(tmp_path: Path, houses: pd.DataFrame) -> None:
    raw = houses.copy()
    raw["town"] = raw["town"] + "  "  # the cleaning inside the model strips it
    record = fitted(tmp_path, Dataset(raw), Dataset(houses), clean=(Trim(trim=("town",)),))
    assert record.device == "cpu"
    assert record.precision == "float32"
    assert len(record.history) == 6
    model = scoring.load(record.folder)
    assert model.manifest["columns"] == [
        {"name": "area", "type": "number"},
        {"name": "rooms", "type": "integer"},
        {"name": "garden", "type": "number"},
        {"name": "town", "type": "category"},
    ]
    answers = model.predict(raw.drop(columns="price"))
    error = np.abs(answers.values - houses["price"]).mean()
    assert error < 0.5 * np.abs(houses["price"] - houses["price"].median()).mean()
    np.testing.assert_array_equal(answers.values, model.predict(raw).values)  # the target is ignored


def test_training_changes_images_as_the_settings_say() -> None:
    data = stripes()
    encoder = fit_encoder(
        data, target="label", kind="classification", columns=Columns(), exclude=(), encode=Encode()
    )
    settings = Fit(augment=Augment(mirror=True))
    task = make_task(encoder, data.rows["label"], settings, "log_loss", "classification")
    pixels = torch.from_numpy(np.asarray(data.pixels))
    torch.manual_seed(0)
    (moved,) = task.augment((pixels,))
    torch.manual_seed(0)
    assert torch.equal(moved, mirror_images(pixels))
    assert not torch.equal(moved, pixels)


def test_images_become_a_model_that_takes_raw_images(tmp_path: Path) -> None:
    data = stripes()
    record = fitted(tmp_path, data, **IMAGES)
    model = scoring.load(record.folder)
    assert model.manifest["image_shape"] == [10, 10]
    assert model.manifest["classes"] == ["columns", "rows"]
    answers = model.predict(np.asarray(data.pixels))
    assert (answers.values == data.rows["label"]).mean() > 0.9
    np.testing.assert_allclose(answers.probabilities.sum(1), 1.0)  # type: ignore[union-attr]


def test_changing_test_rows_changes_nothing_that_was_learned(tmp_path: Path, houses: pd.DataFrame) -> None:
    before = fitted(tmp_path / "a", Dataset(houses))
    spoiled = houses.copy()
    at_test = spoiled.index % 6 == 5
    spoiled.loc[at_test, ["area", "garden"]] = -1e6
    spoiled.loc[at_test, "price"] = 1.0
    spoiled.loc[at_test, "town"] = "elsewhere"
    after = fitted(tmp_path / "b", Dataset(spoiled))
    assert after.state_hash == before.state_hash
    assert after.digest == before.digest
    spoiled.loc[0, "area"] += 1.0
    assert fitted(tmp_path / "c", Dataset(spoiled)).state_hash != before.state_hash


def test_the_same_inputs_are_not_trained_twice(tmp_path: Path, houses: pd.DataFrame) -> None:
    first = fitted(tmp_path, Dataset(houses))
    again = fitted(tmp_path, Dataset(houses))
    assert (first.step.status, again.step.status) == ("ran", "reused")
    assert again.digest == first.digest
    assert again.history == first.history
    other = fitted(tmp_path, Dataset(houses), seed=1)
    assert other.step.status == "ran"
    assert "seed" in other.step.why


def test_a_damaged_bundle_is_trained_again_to_the_same_bits(tmp_path: Path, houses: pd.DataFrame) -> None:
    first = fitted(tmp_path, Dataset(houses))
    weights = first.folder / scoring.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    again = fitted(tmp_path, Dataset(houses))
    assert again.step.status == "ran"
    assert again.digest == first.digest


def test_a_killed_training_goes_on_and_leaves_no_checkpoint(tmp_path: Path, houses: pd.DataFrame) -> None:
    def kill(epoch: Epoch, planned: int) -> None:
        if epoch.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), training.watching(kill):
        fitted(tmp_path, Dataset(houses))
    (folder,) = (tmp_path / "work" / "checkpoints").iterdir()
    assert checkpoints.load(folder) is not None
    resumed = fitted(tmp_path, Dataset(houses))
    whole = fitted(tmp_path / "whole", Dataset(houses))
    assert resumed.digest == whole.digest
    assert (whole.taken_up, resumed.taken_up > 0) == (0, True)
    assert not list((tmp_path / "work" / "checkpoints").iterdir())


def test_a_refit_learns_from_validation_rows_too_and_still_not_from_test_rows(
    tmp_path: Path, houses: pd.DataFrame
) -> None:
    settings = Fit(epochs=6, batch_size=32, learning_rate=0.01, refit=True)
    plain = fitted(tmp_path / "plain", Dataset(houses))
    refitted = fitted(tmp_path / "refit", Dataset(houses), settings=settings)
    assert refitted.digest != plain.digest
    assert refitted.state_hash == plain.state_hash
    assert [e.validation_loss for e in refitted.history] == [e.validation_loss for e in plain.history]
    part = np.resize(["train", "train", "train", "train", "validation", "test"], 300)
    for name, changes in (("validation", True), ("test", False)):
        spoiled = houses.copy()
        spoiled.loc[part == name, "price"] *= 1.0 + 0.001 * np.arange((part == name).sum())
        other = fitted(tmp_path / name, Dataset(spoiled), settings=settings)
        if other.best_epoch == refitted.best_epoch:
            assert (other.digest != refitted.digest) is changes
        assert other.state_hash == plain.state_hash
    assert not list((tmp_path / "refit" / "work" / "checkpoints").iterdir())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_refit_that_the_budget_cuts_leaves_the_judged_weights(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """No time is left when it would begin, or it runs out on the way."""
    free = Fit(epochs=3, batch_size=32, learning_rate=0.01)
    plain = fitted(tmp_path / "plain", Dataset(houses), settings=free)
    real, began = training.train, []

    def late(*args: Any, **how: Any) -> training.Trained:
        began.append(how.get("stop_at"))
        done = real(*args, **how)
        if began[-1] is None:
            return dataclasses.replace(done, seconds=3600.0 if at_once else 0.0)
        return dataclasses.replace(done, stopped="minutes")

    monkeypatch.setattr(training, "train", late)
    bound = free.model_copy(update={"refit": True, "minutes": 1.0})
    record = fitted(tmp_path / "bound", Dataset(houses), settings=bound)
    assert record.digest == plain.digest
    assert len(began) == (1 if at_once else 2)
    assert any("fit.minutes (1)" in warning for warning in record.warnings)


BAGGED = {
    "network": Mlp(hidden=(16,), dropout=0.1, members=3, bins=4),
    "settings": Fit(epochs=6, batch_size=32, learning_rate=0.01, bagging=True),
}


def test_members_with_rows_of_their_own_learn_from_all_but_test_rows(
    tmp_path: Path, houses: pd.DataFrame
) -> None:
    record = fitted(tmp_path / "bagged", Dataset(houses), **BAGGED)
    assert record.learned_from == ("train", "validation")
    assert fitted(tmp_path / "again", Dataset(houses), **BAGGED).digest == record.digest
    part = np.resize(["train", "train", "train", "train", "validation", "test"], 300)
    for name, changes in (("validation", True), ("test", False)):
        spoiled = houses.copy()
        spoiled.loc[part == name, "price"] *= 1.0 + 0.001 * np.arange((part == name).sum())
        other = fitted(tmp_path / name, Dataset(spoiled), **BAGGED)
        assert (other.digest != record.digest) is changes
        assert other.state_hash == record.state_hash
    answers = scoring.load(record.folder).predict(houses.drop(columns="price")).values
    baseline = (houses["price"] - houses["price"].median()).abs().mean()
    assert (answers - houses["price"]).abs().mean() < 0.5 * baseline


def test_the_validation_metric_of_bagging_is_that_of_each_member_on_its_own_rows(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def compute(_metric: str, truth: np.ndarray, found: Any) -> float:
        seen.append((len(truth), len(found.values)))
        return 1.0

    monkeypatch.setattr("tasks.ladder.metrics.compute", compute)
    fitted(tmp_path, Dataset(houses), **BAGGED)
    assert set(seen) == {(150, 150)}  # three members, 50 validation rows each


@pytest.mark.parametrize("network", [Neuron(), Mlp(hidden=(4,))])
def test_bagging_needs_members(tmp_path: Path, houses: pd.DataFrame, network: Mlp | Neuron) -> None:
    with pytest.raises(ConfigError, match="no members that could hold out rows"):
        fitted(tmp_path, Dataset(houses), network=network, settings=Fit(bagging=True))


def test_the_split_column_is_no_feature(tmp_path: Path, houses: pd.DataFrame) -> None:
    houses["part"] = "train"
    record = fitted(tmp_path, Dataset(houses), exclude=("part",), columns=Columns(drop=("rooms",)))
    names = [column["name"] for column in scoring.load(record.folder).manifest["columns"]]
    assert names == ["area", "garden", "town"]


def test_a_users_own_network_is_built_from_its_import_path(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\n"
        "class Only(nn.Module):\n"
        "    def __init__(self, spec, width):\n"
        "        super().__init__()\n"
        "        self.net = nn.Sequential(nn.Linear(spec.numbers, width), nn.Linear(width, 1))\n"
        "    def forward(self, numbers, codes): return self.net(numbers)\n"
        "def make(spec, width=3): return Only(spec, width)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    record = fitted(tmp_path, Dataset(houses), network=Custom(kind="mynets:make", options={"width": 5}))
    assert record.parameters == 4 * 5 + 5 + 5 + 1
    assert scoring.load(record.folder).predict(houses).values.shape == (300,)


def test_what_can_not_be_trained_is_told_before_it_is(tmp_path: Path, houses: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="'cnn' needs images"):
        fitted(tmp_path, Dataset(houses), network=Cnn())
    with pytest.raises(ConfigError, match="no feature column is left"):
        fitted(tmp_path, Dataset(houses), columns=Columns(drop=("area", "rooms", "garden", "town")))


def test_a_missing_device_is_refused_before_any_data_is_read(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Dataset, "load", lambda folder: pytest.fail("data was read"))
    with pytest.raises(ConfigError, match="has none"):
        fitted(tmp_path, Dataset(houses), settings=Fit(device="cuda"))


def test_divergence_leaves_nothing_behind(tmp_path: Path, houses: pd.DataFrame) -> None:
    settings = Fit(epochs=50, learning_rate=100.0, schedule="constant", clip=None)
    encode = Encode(numeric="none", target="none")
    huge = houses.assign(area=houses["area"] * 1e30)
    with pytest.raises(TrainingDiverged):
        fitted(tmp_path, Dataset(huge), settings=settings, encode=encode, network=Neuron())
    assert not [p for p in (tmp_path / "work" / "fit").iterdir() if p.is_dir()]


def test_memory_that_runs_out_is_told_as_such(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **how: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(training, "train", full)
    with pytest.raises(ResourceLimit, match="batches of 32"):
        fitted(tmp_path, Dataset(houses))


def test_epochs_reach_tracking_and_its_absence_stops_nothing(
    tmp_path: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(tracking, "log_epochs", lambda run, epochs: sent.extend(e.epoch for e in epochs))
    run = RunRef(uri="none", experiment_id="0", run_id="r")
    assert fitted(tmp_path / "a", Dataset(houses), run=run).warnings == ()
    assert sent == [1, 2, 3, 4, 5, 6]

    def absent(run: RunRef, epochs: list[Epoch]) -> None:
        raise Unavailable("no server")

    monkeypatch.setattr(tracking, "log_epochs", absent)
    (warning,) = fitted(tmp_path / "b", Dataset(houses), run=run).warnings
    assert warning == "6 epochs are missing from MLflow's curves: no server"


def test_balanced_weights_agree_with_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = Labels(("a", "b", "c"), (60, 30, 10), balanced=True)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.repeat([0, 1, 2], [60, 30, 10]))
    np.testing.assert_allclose(class_weights(labels), expected, rtol=1e-6)  # type: ignore[arg-type]
    assert class_weights(dataclasses.replace(labels, balanced=False)) is None


def test_with_class_weights_log_loss_weighs_the_rows_that_pick_the_epoch_as_the_loss_does() -> None:
    target = pd.Series(["a"] * 9 + ["b"])
    inputs = ImageInputs.fit(np.ones((2, 8, 8), dtype=np.uint8))
    for balanced in (False, True):
        labels = Labels(("a", "b"), (9, 1), balanced=balanced)
        task = make_task(Encoder(inputs, labels), target, Fit(), "log_loss", "classification")
        frequent, fair = torch.tensor([[2.0, 0.0]] * 10), torch.zeros(10, 2)
        assert (task.metric(frequent) < task.metric(fair)) != balanced
        assert task.metric(fair) == pytest.approx(np.log(2))


def test_a_bundle_of_balanced_classes_answers_shares_and_finds_the_rare_one(tmp_path: Path) -> None:
    data = stripes(120)
    known = data.take(np.flatnonzero((np.arange(120) % 2 == 0) | (np.arange(120) % 12 == 1)))
    settings = IMAGES["settings"].model_copy(update={"class_weights": "balanced", "epochs": 30})
    record = fitted(tmp_path, known, **{**IMAGES, "settings": settings})
    scorer = scoring.load(record.folder)
    assert record.balanced
    assert scorer.encoder.target.balanced  # type: ignore[union-attr]
    answers = scorer.predict(np.asarray(known.pixels))
    assert answers.probabilities is not None
    assert (answers.values == "rows").mean() > 0.05
    assert answers.probabilities[:, 1].mean() < 0.35


def test_members_losses_are_averaged() -> None:
    targets, outputs = torch.tensor([0, 1, 1]), torch.randn(4, 3, 2)
    loss = make_loss(Labels((0, 1), (1, 2)))
    each = torch.stack([torch.nn.functional.cross_entropy(o, targets) for o in outputs])
    torch.testing.assert_close(loss(outputs, targets), each.mean())
    squared = make_loss(Scale(False, 0.0, 1.0, 0.0, 1.0))
    numbers, goals = torch.randn(4, 3, 1), torch.randn(3)
    expected = torch.stack([((n[:, 0] - goals) ** 2).mean() for n in numbers]).mean()
    torch.testing.assert_close(squared(numbers, goals), expected)


def test_overfitting_is_told() -> None:
    def epoch(number: int, train: float, validation: float) -> Epoch:
        return Epoch(
            epoch=number, train_loss=train, validation_loss=validation, validation_metric=0.0,
            learning_rate=0.1, seconds=1.0,
        )  # fmt: skip

    rising = [epoch(1, 1.0, 1.0), epoch(2, 0.5, 0.8), epoch(3, 0.1, 1.2)]
    assert gap_warning(rising, 2)[0].startswith(
        "overfitting after epoch 2: validation loss rose from 0.8 to 1.2"
    )
    assert gap_warning(rising[:2], 2) == ()
