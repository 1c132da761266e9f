"""Is my data and my model wired right? Two answers in seconds; no run is recorded, nothing is registered.

`fast_run` takes two batches through every step but the last. `overfit` learns a few batches by heart: a
network that can't do that, with nothing held back, will not learn more from many.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from prefect import Task
from torch import nn

from flows.books import extras, rehearsal
from flows.books.keeping import device_of
from flows.books.untracked import Untracked
from tasks.config import Augment, Cnn, Config, Fit, Network, Project
from tasks.dataset import Dataset
from tasks.extra import extra
from tasks.fit import encode_examples, new_network
from tasks.ladder.features import stratified
from tasks.learning import devices, training
from tasks.learning.encode import Encoder
from tasks.learning.loop.loss import make_loss
from tasks.records import SplitRecord
from tasks.splitting import parts

R = TypeVar("R")

BATCHES = 2
NEAR = 0.1
"""Share of the loss of the best constant answer that counts as learned by heart."""
STEPS = 600
MINUTES = 2.0


class FastRun(Untracked):
    """All steps before registration on so few rows that an epoch has two batches."""

    def do(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """The same, with a split of which most rows are laid aside."""
        record: Any = super().do(step, *args, **kwargs)
        if step.name == "split":
            record = self.records["split"] = self._thinned(record)
        made: R = record
        return made

    def call(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """The same; what comes of the few rows is nothing to be taken up later."""
        if step.name in ("fit", "evaluate"):
            kwargs["work"] = self.scratch
        return super().call(step, *args, **kwargs)

    def look(self, when: Literal["before", "after"], stage: str) -> None:
        """Runs the project's own steps, too; what they tell is told to the audience only."""
        for asked in extras.asked(self.config, when, stage):
            told = partial(extra.fn, asked, self.records, self.config, self.folder, self.scratch)
            self.extras.append(self._watched(asked.name, told))

    def _thinned(self, split: SplitRecord) -> SplitRecord:
        rows = Dataset.load(self.records["clean"].folder).rows
        folder = self.scratch / "split"
        folder.mkdir()
        fewer = thin(parts.load(split.folder), rows[self.config.target], self.config, BATCHES)
        parts.save(fewer, folder)
        train, validation, test = (int((fewer == name).sum()) for name in parts.PARTS)
        digest = parts.parts_hash(fewer)
        return replace(split, folder=folder, hash=digest, train=train, validation=validation, test=test)


def fast_run(project: Project, root: Path) -> Untracked:
    """Runs every step but register, with two batches of train and of validation rows and one epoch.

    Raises:
        ModelyardError: Whatever a training would raise.
    """
    once = {"epochs": 1, "max_examples": None, "patience": None, "refit": False}
    changed = project.config.model_copy(update={"fit": project.config.fit.model_copy(update=once)})
    books = FastRun(replace(project, config=changed), root, last="evaluate")
    books.run_steps()
    return books


def thin(dealt: pd.Series, target: pd.Series, config: Config, batches: int) -> pd.Series:
    """The parts by row id, with all but `batches` of each laid aside; no label is left without train rows."""
    size = batches * config.fit.batch_size
    fewer = pd.Series("aside", index=dealt.index, name=dealt.name)
    train = some(target[dealt == "train"], size, config)
    fewer[train] = "train"
    for name in ("validation", "test"):
        there = target[dealt == name]
        if config.task == "classification":
            there = there[there.isin(target[train])]
        fewer[some(there, size, config)] = name
    return fewer


def some(target: pd.Series, size: int, config: Config) -> pd.Index:
    """Ids of about `size` rows; of a classification every class by its share, and by one row at least."""
    if len(target) <= size:
        return target.index
    if config.task == "regression":
        return target.index[np.linspace(0, len(target) - 1, size).astype(np.int64)]
    firsts = np.flatnonzero(~target.duplicated().to_numpy())
    return target.index[np.union1d(stratified(target.to_numpy(dtype=object), size, config.seed), firsts)]


# --- learning by heart --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByHeart:
    """How well a few batches were learned.

    Attributes:
        rows: Rows in them.
        constant: Loss of the best constant answer to them.
        loss: Loss after training, in eval mode.
        epochs: Passes over the rows.
        learned: Whether `loss` is near zero: below a tenth of `constant`.
        seconds: Time of the training.
    """

    rows: int
    constant: float
    loss: float
    epochs: int
    learned: bool
    seconds: float

    @property
    def sentence(self) -> str:
        """The answer in words."""
        figures = (
            f"{self.rows} rows, {self.epochs} epochs: loss {self.loss:.4g}, where the best constant answer "
            f"costs {self.constant:.4g}"
        )
        if self.learned:
            return f"wired right: learned by heart ({figures})"
        return (
            f"not learned by heart ({figures}): labels that do not belong to their rows, a network that is "
            "too small or answers the same for all, or a learning rate that does not fit"
        )


def overfit(project: Project, root: Path, batches: int) -> ByHeart:
    """Trains on `batches` of train rows alone, with nothing that holds a network back, and says how it went.

    No dropout, no augmentation, no weight decay, a constant learning rate; at most 600 steps or 2 minutes.

    Raises:
        ConfigError: The network can't read such data.
        TrainingDiverged: The loss stopped being finite.
    """
    books, c = Untracked(project, root, last="split"), project.config
    records = books.run_steps()
    data, dealt = Dataset.load(records["clean"].folder), parts.load(records["split"].folder)
    chosen = some(data.rows.loc[dealt.index[dealt == "train"], c.target], batches * c.fit.batch_size, c)
    rows = data.take(data.rows.index.get_indexer(chosen))
    encoder = rehearsal.encoder_of(c, rows, books.exclude)
    return _by_heart(c, encoder, encode_examples(rows, encoder, c.target), batches)


def _by_heart(c: Config, encoder: Encoder, examples: training.Examples, batches: int) -> ByHeart:
    network = new_network(_undisturbed(c.network), encoder, c.seed)
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    loss = make_loss(encoder.target)
    constant = _constant(examples, c)
    near = partial(max, NEAR * constant / 2)  # beyond it nothing counts as better, and patience runs out
    task = training.Task(
        loss=loss,
        metric=lambda outputs: near(float(loss(outputs, examples.targets))),
        higher_is_better=False,
    )
    device = device_of(c)
    with tempfile.TemporaryDirectory() as place:
        trained = training.train(
            network, examples, examples, task, _bare(c.fit, batches), seed=c.seed, device=device,
            precision=devices.resolve_precision("float32", device, convolutional=False),
            checkpoint=Path(place) / "checkpoint",
        )  # fmt: skip
    best = trained.history[trained.best_epoch - 1].validation_loss
    return ByHeart(
        rows=len(examples),
        constant=constant,
        loss=best,
        epochs=len(trained.history),
        learned=best <= NEAR * constant,
        seconds=round(trained.seconds, 3),
    )


def _undisturbed(network: Network) -> Network:
    """The network without what hides values from it in training."""
    hides = {name: 0.0 for name in type(network).model_fields if "dropout" in name}
    return network.model_copy(update=hides | ({"mirror": False} if isinstance(network, Cnn) else {}))


def _bare(settings: Fit, batches: int) -> Fit:
    plain = {
        "epochs": max(1, STEPS // batches), "max_examples": None, "patience": max(5, 100 // batches),
        "refit": False, "minutes": MINUTES, "schedule": "constant", "weight_decay": 0.0,
        "augment": Augment(), "class_weights": "none", "precision": "float32",
        "processes": 1,
    }  # fmt: skip
    return settings.model_copy(update=plain)


def _constant(examples: training.Examples, c: Config) -> float:
    """Loss of the best constant answer: entropy of the labels in nats, or variance of the target."""
    if c.task == "regression":
        return float(examples.targets.var(correction=0))
    shares = torch.bincount(examples.targets).double() / len(examples)
    return float(-torch.special.xlogy(shares, shares).sum())
