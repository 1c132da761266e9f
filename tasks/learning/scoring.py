"""The model as it is kept and used: a bundle of four files, raw data in, answers out.

`manifest.json` says what the model is and holds the digests of the others, `weights.safetensors`
holds the numbers, `encoder.json` what was fitted besides, `seen.safetensors` a hash of each row that
it learned from, so that it is never judged on one of them. Nothing is pickled; nothing is run that is
not in this package or the user's own network module. Preprocessing is inside: `Scorer.predict` takes
rows as the source gives them, or uint8 images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.cleaning import operations
from tasks.errors import ArtifactTampered, DataRejected, quoted
from tasks.features.schema import frame
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.seen import MANIFEST, SEEN, marks, schema_of
from tasks.learning.subwords import SubwordInputs
from tasks.learning.targets import Labels, Scale, unweighted
from tasks.learning.words import TextInputs
from tasks.networks import InputSpec, Standardise, build
from tasks.predictions import Predictions

FORMAT = 1
WEIGHTS, ENCODER = "weights.safetensors", "encoder.json"
PARTS = (WEIGHTS, ENCODER, SEEN)
"""Files whose digests the manifest holds."""
BATCH = 4096


@dataclass(frozen=True)
class Bundle:
    """What a model is, apart from its learned numbers.

    Attributes:
        task: regression or classification.
        target: Name of the target column.
        network: The `network:` section as plain data.
        columns: Raw input columns, each {"name", "type"}, or None for images.
        image_shape: [height, width] or [height, width, 3], or None for tables.
        clean: Cleaning operations in order, as plain data.
        unused: Columns of the source that the model does not take: the target and what is no feature.
        identity: Columns, each {"name", "type"}, by which a raw row is known again.
    """

    task: str
    target: str
    network: Mapping[str, Any]
    columns: list[dict[str, str]] | None
    image_shape: list[int] | None
    clean: list[dict[str, Any]]
    unused: list[str]
    identity: list[dict[str, str]]


def input_spec(encoder: Encoder) -> InputSpec:
    """Sizes of a network that reads what `encoder` writes."""
    outputs = len(encoder.target.classes) if isinstance(encoder.target, Labels) else 1
    if isinstance(encoder.inputs, TableInputs):
        return InputSpec(outputs=outputs, numbers=encoder.inputs.width, levels=encoder.inputs.levels)
    if isinstance(encoder.inputs, TextInputs):
        word_grams, grams = encoder.inputs.grams
        return InputSpec(
            outputs=outputs, vocabulary=encoder.inputs.words, buckets=grams, word_grams=word_grams
        )
    if isinstance(encoder.inputs, SubwordInputs):
        return InputSpec(outputs=outputs, architecture=encoder.inputs.architecture)
    height, width = encoder.inputs.shape[:2]
    return InputSpec(outputs=outputs, image=(len(encoder.inputs.mean), height, width))


def make_network(network: Mapping[str, Any], encoder: Encoder) -> nn.Module:
    """The untrained module behind its standardisation, if it reads images.

    Raises:
        ValueError: The kind of network can't read such inputs.
    """
    module = build(network, input_spec(encoder))
    if isinstance(encoder.inputs, ImageInputs):
        module = nn.Sequential(Standardise(encoder.inputs.mean, encoder.inputs.std), module)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def save(
    folder: Path, bundle: Bundle, encoder: Encoder, weights: Mapping[str, Tensor], learned_from: pd.DataFrame
) -> str:
    """Writes the four files into an existing folder and returns the sha256 of the weights file.

    Args:
        folder: Where.
        bundle: What the model is.
        encoder: What was fitted besides the weights.
        weights: The network's state.
        learned_from: Raw rows of the train and validation parts, of which hashes are kept.
    """
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    (folder / ENCODER).write_text(json.dumps(encoder.state(), indent=1) + "\n", encoding="utf-8")
    seen = np.unique(marks(learned_from, bundle.identity)).view(np.int64)
    save_file({"seen": torch.from_numpy(seen)}, folder / SEEN)
    digests = {name: sha256((folder / name).read_bytes()).hexdigest() for name in PARTS}
    classes = list(encoder.target.classes) if isinstance(encoder.target, Labels) else None
    manifest = {"format": FORMAT, **vars(bundle), "classes": classes, "digests": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return digests[WEIGHTS]


def load(folder: Path) -> Scorer:
    """The model in `folder`, on the CPU, its digests verified first.

    Raises:
        ArtifactTampered: A file is missing, damaged or not what the manifest says.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = {name: (folder / name).read_bytes() for name in PARTS}
        for name, data in found.items():
            actual, expected = sha256(data).hexdigest(), manifest["digests"][name]
            if actual != expected:
                raise ArtifactTampered(
                    f"{name} in {folder} has sha256 {actual[:16]}…, but its manifest says {expected[:16]}…",
                    fix="fetch the model again, or train anew",
                )
        encoder = Encoder.restore(json.loads(found[ENCODER]))
        network = make_network(manifest["network"], encoder)
        network.load_state_dict(read_tensors(found[WEIGHTS]))
        seen = read_tensors(found[SEEN])["seen"].numpy().view(np.uint64)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = quoted(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise ArtifactTampered(f"{folder} holds no model that can be opened: {reason}") from error
    return Scorer(manifest, encoder, network.eval(), seen)


@dataclass(frozen=True)
class Scorer:
    """A model that takes raw data.

    Attributes:
        manifest: What `manifest.json` says: task, target, columns, image_shape, classes, ...
        encoder: What was fitted besides the weights.
        network: In eval mode.
        seen: Sorted hashes of the rows that it learned from, uint64.
    """

    manifest: dict[str, Any]
    encoder: Encoder
    network: nn.Module = field(repr=False)
    seen: np.ndarray = field(repr=False, default_factory=lambda: np.empty(0, dtype=np.uint64))

    def predict(self, data: pd.DataFrame | pa.Table | np.ndarray) -> Predictions:
        """Answers for raw rows (n) or images, uint8 (n, height, width[, 3]).

        Raises:
            DataRejected: A column is missing, or a row can't be read.
        """
        predictions, bad = self.predict_each(data)
        if bad:
            first = min(bad)
            raise DataRejected(
                f"{len(bad)} of {len(data)} rows can't be read; the first is row {first + 1}: {bad[first]}",
                fix="mend them, or use `modelyard predict`, which marks them and goes on",
            )
        return predictions

    def predict_each(self, data: pd.DataFrame | pa.Table | np.ndarray) -> tuple[Predictions, dict[int, str]]:
        """Answers for every row, and the reason for each row (by position) that can't be read.

        The answer of an unreadable row means nothing.
        """
        bad: dict[int, str] = {}
        if not isinstance(self.encoder.inputs, ImageInputs):
            if not isinstance(data, (pd.DataFrame, pa.Table)):
                raise DataRejected("this model takes a table, not images", fix="pass a pandas DataFrame")
            rows, bad = self._prepare(data)
            inputs = self.encoder.inputs.encode(rows)
        else:
            if isinstance(data, (pd.DataFrame, pa.Table)):
                raise DataRejected(
                    "this model takes images, not a table", fix="pass a uint8 array (n, height, width)"
                )
            inputs = self.encoder.inputs.encode(data)
        answers = self._decode(self._forward(inputs))
        if isinstance(self.encoder.inputs, TableInputs):
            good = np.ones(len(rows), dtype=bool)
            good[list(bad)] = False
            answers = replace(answers, unfamiliar=self.encoder.inputs.unfamiliar(rows[good], inputs[1][good]))
        return answers, bad

    def has_seen(self, rows: pd.DataFrame) -> np.ndarray:
        """Which raw rows (n), target included, are among those that the model learned from: bool (n,)."""
        return np.isin(marks(rows, self.manifest["identity"]), self.seen)

    def _prepare(self, data: pd.DataFrame | pa.Table) -> tuple[pd.DataFrame, dict[int, str]]:
        """Raw rows to cleaned rows in the same order, numbered from 0."""
        columns = self.manifest["columns"]
        if columns is None:
            raise DataRejected(
                "this model takes images, not a table", fix="pass a uint8 array (n, height, width)"
            )
        schema = schema_of(columns)
        read = schema.read(data)
        applied = operations.apply(
            frame(read.table), self.manifest["clean"], optional=self.manifest["unused"]
        )
        bad = {int(row): reason for row, reason in applied.bad.items()}
        return applied.rows, {**bad, **schema.reasons(read.unreadable)}

    @torch.inference_mode()
    def _forward(self, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        """Encoded inputs to outputs (n, k) float32, batch by batch."""
        parts = []
        for start in range(0, len(inputs[0]), BATCH):
            batch = (torch.from_numpy(x[start : start + BATCH]) for x in inputs)
            parts.append(self.network(*batch).float())
        if not parts:
            return np.empty((0, input_spec(self.encoder).outputs), dtype=np.float32)
        return np.asarray(torch.cat(parts).numpy())

    def _decode(self, outputs: np.ndarray) -> Predictions:
        return decode(outputs, self.encoder.target)


def decode(outputs: np.ndarray, target: Labels | Scale) -> Predictions:
    """Network outputs (n, k) float32 to answers in the target's own terms.

    Of a model that was trained with class weights the label is the class with the largest weighted output, so
    that every class counts the same, and the probabilities are corrected for the weights: the label need not
    be the most probable class.
    """
    if isinstance(target, Scale):
        return Predictions(target.decode(outputs[:, 0]), bounded=target.beyond(outputs[:, 0]))
    shifted = outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    if target.weights is not None:
        probabilities = unweighted(probabilities, target.weights)
    classes = np.asarray(target.classes)
    return Predictions(classes[outputs.argmax(axis=1)], probabilities, classes)
