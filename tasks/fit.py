"""Step 4: learn from train rows, pick the best epoch on validation rows, never look at test rows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from prefect import task
from torch import Tensor, nn

from tasks import store
from tasks.config import Columns, Encode, Fit, Mlp, Network, Operation, Pretrained, higher_is_better
from tasks.config import Task as Kind
from tasks.dataset import Dataset
from tasks.errors import ConfigError, ResourceLimit, Unavailable
from tasks.ladder import metrics
from tasks.learning import augment, devices, pretrained, scoring, training
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.features import feature_columns
from tasks.learning.loop import bagging, group
from tasks.learning.loop.loss import class_weights, make_loss
from tasks.learning.loop.memory import ran_out
from tasks.learning.loop.remarks import cut_warning, remarks
from tasks.learning.pieces import fit_encoder as whole
from tasks.learning.pieces import shards
from tasks.learning.targets import Labels, Scale
from tasks.learning.training import Examples, Trained
from tasks.learning.words import TextInputs
from tasks.networks import count_parameters
from tasks.own.extension import digests, ours
from tasks.records import CleanRecord, Epoch, FitRecord, RunRef, SplitRecord, Step, ValidateRecord
from tasks.registry import tracking
from tasks.spans import ITSELF, span
from tasks.splitting import parts
from tasks.tables import table


def fit_encoder(
    train: Dataset, *, target: str, kind: Kind, columns: Columns, exclude: Sequence[str], encode: Encode,
    network: Network | None = None,
) -> Encoder:  # fmt: skip
    """Everything learned besides the weights, from train rows only; a pretrained network reads its own way.

    Raises:
        ConfigError: No column is left to learn from, or there is no such pretrained model.
        DataRejected: The target can't be scaled as asked.
    """
    goal = train.rows[target]
    answer = Labels.fit(goal) if kind == "classification" else Scale.fit(goal, encode.target)
    if train.pixels is not None:
        return Encoder(ImageInputs.fit(train.pixels), answer)
    if columns.text is not None and isinstance(network, Pretrained):
        return Encoder(pretrained.inputs(pretrained.find(network.model), network, columns.text), answer)
    if columns.text is not None:
        return Encoder(TextInputs.fit(train.rows, columns.text, **encode.words.model_dump()), answer)
    numeric, categorical = feature_columns(train.rows, target=target, columns=columns, exclude=exclude)
    if not numeric and not categorical:
        raise ConfigError("no feature column is left after columns.drop", fix="drop fewer columns")
    return Encoder(TableInputs.fit(train.rows, numeric, categorical, encode.numeric), answer)


def weighted(encoder: Encoder, how: str) -> Encoder:
    """The same encoder, its labels weighted as `fit.class_weights` says."""
    if not isinstance(encoder.target, Labels):
        return encoder
    return replace(encoder, target=replace(encoder.target, balanced=how == "balanced"))


def encode_examples(data: Dataset, encoder: Encoder, target: str) -> Examples:
    """Cleaned examples as tensors on the CPU."""
    source: Any = data.rows if data.pixels is None else data.pixels
    inputs = encoder.inputs.encode(source)
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in inputs)
    return Examples(tensors, torch.from_numpy(encoder.target.encode(data.rows[target])))


def dealt(
    train: Dataset, validation: Dataset, encoder: Encoder, target: str, network: nn.Module, settings: Fit,
    seed: int,
) -> tuple[Examples, Examples, pd.Series]:  # fmt: skip
    """Examples to learn from, examples that choose the epoch, and the targets of these in their own terms.

    Raises:
        ConfigError: `fit.bagging`, and a network with no members that can be given rows of their own.
    """
    known, held_out = (encode_examples(rows, encoder, target) for rows in (train, validation))
    goal = validation.rows[target]
    if not settings.bagging:
        return known, held_out, goal
    known, held_out = bagging.deal(known + held_out, bagging.members(network), len(held_out), seed)
    order = cast(Tensor, held_out.own).flatten().numpy()
    return known, held_out, pd.concat([train.rows[target], goal]).iloc[order]


def make_task(
    encoder: Encoder, validation: pd.Series, settings: Fit, metric: str, kind: Kind
) -> training.Task:
    """Loss, validation metric in the target's own terms, and augmentation.

    With class weights `log_loss` weighs validation rows as the loss does: the log-loss of rows that count
    alike is lowest where a model knows the frequent classes only.
    """
    truth = validation.to_numpy()
    codes = torch.from_numpy(encoder.target.encode(validation))
    weights, loss = class_weights(encoder.target), make_loss(encoder.target)

    def measured(outputs: Tensor) -> float:
        if metric == "log_loss" and weights is not None:
            return float(loss(outputs, codes))
        return metrics.compute(metric, truth, scoring.decode(outputs.numpy(), encoder.target))

    images = isinstance(encoder.inputs, ImageInputs)
    return training.Task(
        loss=loss,
        weight=torch.numel if weights is None else partial(_weight, weights),
        metric=measured,
        higher_is_better=higher_is_better(kind, metric),
        augment=augment.changes(settings.augment) if images else lambda inputs: inputs,
    )


def _weight(of_class: Tensor, targets: Tensor) -> Tensor:
    return of_class.to(targets.device)[targets].sum()


def describe(
    raw: Dataset,
    types: Mapping[str, str],
    network: Network,
    clean: Sequence[Operation],
    *,
    kind: Kind,
    target: str,
    unused: Sequence[str],
) -> scoring.Bundle:
    """What the model is, in terms of the raw data that it takes."""
    images = raw.pixels is not None
    named = [{"name": name, "type": kind} for name, kind in types.items()]
    inputs = [column for column in named if column["name"] not in unused]
    known_by = ("digest", target) if images else (target, *(column["name"] for column in inputs))
    return scoring.Bundle(
        task=kind,
        target=target,
        network=network.model_dump(mode="json"),
        columns=None if images else inputs,
        image_shape=list(raw.pixels.shape[1:]) if raw.pixels is not None else None,
        clean=[] if images else [operation.model_dump(mode="json") for operation in clean],
        unused=sorted(unused),
        identity=[column for column in named if column["name"] in known_by],
    )


def unused_columns(raw: Dataset, *, target: str, columns: Columns, exclude: Sequence[str]) -> list[str]:
    """Columns that the model does not take; of texts, all but the text itself."""
    if columns.text is not None:
        return sorted(str(name) for name in raw.rows.columns if name != columns.text)
    return sorted({target, *columns.drop, *exclude})


class _Live:
    """Sends epochs to MLflow as they end, at most once a second.

    A store that does not answer never stops the training: what could not be sent goes with a later
    epoch, or is a warning at the end.
    """

    def __init__(self, run: RunRef | None) -> None:
        self.run = run
        self.waiting: list[Epoch] = []
        self.sent_at = 0.0

    def __call__(self, epoch: Epoch, _planned: int) -> None:
        self.waiting.append(epoch)
        if time.monotonic() - self.sent_at > 1.0:
            self.send()

    def send(self) -> tuple[str, ...]:
        """Sends what waits; a sentence if that failed."""
        if self.run is not None and self.waiting:
            try:
                tracking.log_epochs(self.run, self.waiting)
            except Unavailable as error:
                return (f"{len(self.waiting)} epochs are missing from MLflow's curves: {error.message}",)
            finally:
                self.sent_at = time.monotonic()
        self.waiting.clear()
        return ()


def new_network(network: Network, encoder: Encoder, seed: int) -> nn.Module:
    """The untrained network, its initial weights drawn from `seed`, or the base model's where it has one.

    Raises:
        ConfigError: It can't read such data.
    """
    torch.manual_seed(seed)
    try:
        module: Any = scoring.make_network(network.model_dump(mode="json"), encoder)
        if isinstance(network, Pretrained):
            module.load_pretrained(str(pretrained.find(network.model).folder))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return cast(nn.Module, module)


def refit(
    chosen: Trained, make: Callable[[], nn.Module], known: Examples, held_out: Examples, what: training.Task,
    settings: Fit, checkpoint: Path, how: dict[str, Any],
) -> Trained:  # fmt: skip
    """Trains anew on train and validation rows for as many epochs as were best on the latter.

    The schedule is laid over these epochs, so it ends in small steps although the best epoch was in the
    midst of the first one's. What was fitted besides the weights stays as the train rows made it. The
    history stays too: it is the one whose validation losses mean something. Where it is not asked for, or
    `fit.minutes` ends it early, `chosen` stays: fewer epochs than were best would be another network.
    """
    if not settings.refit:
        return chosen
    place = checkpoint.with_name(f"{checkpoint.name}-refit")
    if settings.minutes is not None:
        left = settings.minutes - chosen.seconds / 60
        if left * 60 * len(chosen.history) < chosen.seconds * chosen.best_epoch:
            return chosen
        settings = settings.model_copy(update={"minutes": left})
    with training.unwatched():
        again = training.train(
            make(),
            known + held_out,
            held_out,
            what,
            settings,
            checkpoint=place,
            stop_at=chosen.best_epoch,
            **how,
        )
    shutil.rmtree(place, ignore_errors=True)
    weights = chosen.weights if again.stopped == "minutes" else again.weights
    return replace(chosen, weights=weights, seconds=chosen.seconds + again.seconds)


@contextmanager
def _memory(settings: Fit) -> Iterator[None]:
    """Memory that ran out, told as such."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise ResourceLimit(
            f"memory ran out in training with batches of {settings.batch_size}",
            fix="lower fit.batch_size or the network's widths",
        ) from error


def precision_of(settings: Fit, device: str, data: Dataset, network: Network) -> str:
    """float32 or bfloat16, by the device and the kind and size of the network."""
    images, encoder = data.pixels is not None, isinstance(network, Pretrained)
    wide = isinstance(network, Mlp) and min(network.hidden, default=0) >= devices.WIDE
    return devices.resolve_precision(
        settings.precision, device, convolutional=images, encoder=encoder, wide=wide
    )


def _own_parts(network: Network, metric: str, clean: Sequence[Operation]) -> list[str | None]:
    return [network.kind, metric, *(getattr(operation, "run", None) for operation in clean)]


@task(name="fit")
@span(ITSELF)
def fit(
    raw: ValidateRecord,
    cleaned: CleanRecord,
    split: SplitRecord,
    *,
    kind: Kind,
    target: str,
    columns: Columns,
    exclude: tuple[str, ...],
    clean: tuple[Operation, ...],
    encode: Encode,
    network: Network,
    settings: Fit,
    metric: str,
    seed: int,
    work: Path,
    run: RunRef | None = None,
) -> FitRecord:
    """Trains a network on the train rows and writes its bundle.

    Args:
        raw: Accepted raw rows: the model's inputs are described in their terms.
        cleaned: Cleaned rows.
        split: Which of them are train and validation.
        kind: regression or classification.
        target: Column to predict.
        columns: How columns are read.
        exclude: Columns that are no features.
        clean: Cleaning operations; they travel inside the model.
        encode: How inputs and target are scaled.
        network: Kind of network and its options.
        settings: The `fit:` section.
        metric: Validation metric that picks the best epoch.
        seed: Initial weights, order of rows, dropout, augmentation.
        work: The project's folder of step outputs.
        run: MLflow run that gets each epoch's metrics as it ends.

    Raises:
        ConfigError: The device is not there, or the network can't read such data.
        TrainingDiverged: A loss or gradient stopped being finite.
        ResourceLimit: Memory ran out.
    """
    device, own_parts = devices.resolve_device(settings.device), _own_parts(network, metric, clean)
    group.check_devices(settings.processes, device)
    inputs = {
        "raw": raw.fingerprint, "cleaned": cleaned.digest, "split": split.hash, "kind": kind, "seed": seed,
        "target": target, "columns": columns.model_dump(mode="json"), "exclude": exclude, "device": device,
        "clean": [op.model_dump(mode="json") for op in clean], "encode": encode.model_dump(mode="json"),
        "network": network.model_dump(mode="json"), "fit": settings.model_dump(mode="json"),
        "metric": metric, "own": digests(own_parts), "memory_mb": table.load(cleaned.folder).memory_mb,
        "base": pretrained.identity(network.model) if isinstance(network, Pretrained) else None,
    }  # fmt: skip
    checkpoint = work / "checkpoints" / store.key(inputs, __name__, *ours(own_parts))

    def build(folder: Path) -> FitRecord:
        data, part = Dataset.load(cleaned.folder), parts.load(split.folder)
        train, validation = (data.take((part == name).to_numpy()) for name in ("train", "validation"))
        encoder = fit_encoder(
            train, target=target, kind=kind, columns=columns, exclude=exclude, encode=encode, network=network
        )
        encoder = whole.completed(encoder, cleaned.folder, split.folder, target, encode)
        encoder = weighted(encoder, settings.class_weights)
        precision = precision_of(settings, device, data, network)
        make = partial(new_network, network, encoder, seed)
        module, live = make(), _Live(run)
        known, held_out, goal = dealt(train, validation, encoder, target, module, settings, seed)
        known = shards.completed(known, cleaned.folder, split.folder, encoder, target, checkpoint / "shards")
        what = make_task(encoder, goal, settings, metric, kind)
        how: dict[str, Any] = {"seed": seed, "device": device, "precision": precision}
        with _memory(settings), training.watching(live), span("training"):
            judged = training.train(module, known, held_out, what, settings, checkpoint=checkpoint, **how)
            trained = refit(judged, make, known, held_out, what, settings, checkpoint, how)
        before = Dataset.load(raw.folder)
        unused = unused_columns(before, target=target, columns=columns, exclude=exclude)
        bundle = describe(before, raw.types, network, clean, kind=kind, target=target, unused=unused)
        met = before.rows.loc[part.index[(part != "test").to_numpy()]]
        return FitRecord(
            step=Step(name="fit"),
            folder=folder,
            digest=scoring.save(folder, bundle, encoder, trained.weights, met),
            state_hash=encoder.state_hash,
            device=device,
            precision=precision,
            parameters=count_parameters(module),
            best_epoch=trained.best_epoch,
            train_seconds=round(trained.seconds, 3),
            stopped=trained.stopped,
            history=trained.history,
            taken_up=trained.taken_up, rows_at_once=trained.rows_at_once,
            learned_from=settings.learned_from,
            balanced=settings.class_weights == "balanced",
            base=pretrained.about(encoder.inputs, module),
            warnings=(
                *cut_warning(train, encoder), *remarks(settings, judged, trained), *live.send(),
                *table.load(cleaned.folder).told("quantiles and the best epoch were taken from"),
            ),
        )  # fmt: skip

    record = store.remember(work, "fit", inputs, FitRecord, build, ours(own_parts))
    if record.step.status == "ran":
        shutil.rmtree(checkpoint, ignore_errors=True)
    return record
