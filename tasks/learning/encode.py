"""Everything that is learned from data besides the weights: fitted on train rows, kept with the model.

An `Encoder` turns cleaned rows (or pixels) into the arrays that a network reads and a target into
what the loss compares, and back. Its state is plain JSON; `state_hash` names it, and no test or
validation row can change that name. numpy and pandas only: the module travels inside the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import DataRejected
from tasks.learning.features import (
    FIRST_LEVEL,
    MISSING,
    UNKNOWN,
    Category,
    Number,
    fit_category,
    fit_number,
    numbers_of,
    texts_of,
)
from tasks.learning.subwords import SubwordInputs
from tasks.learning.targets import Labels, Scale
from tasks.learning.words import TextInputs


@dataclass(frozen=True)
class TableInputs:
    """Numbers (n, p) float32, with one column more for each number that had gaps, and codes (n, q)."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]

    @staticmethod
    def fit(rows: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str], how: str) -> TableInputs:
        """Learns from train rows."""
        return TableInputs(
            tuple(fit_number(name, numbers_of(rows[name]), how) for name in numeric),
            tuple(fit_category(name, texts_of(rows[name])) for name in categorical),
        )

    @property
    def width(self) -> int:
        """p, the number of numeric inputs."""
        return sum(1 + number.indicator for number in self.numbers)

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of codes of each category, unknown and missing included."""
        return tuple(FIRST_LEVEL + len(category.levels) for category in self.categories)

    def encode(self, rows: pd.DataFrame) -> tuple[np.ndarray, ...]:
        """Rows to (numbers (n, p) float32, codes (n, q) int64)."""
        numbers = np.empty((len(rows), self.width), dtype=np.float32)
        at = 0
        for number in self.numbers:
            values = numbers_of(rows[number.name])
            numbers[:, at] = number.encode(values)
            if number.indicator:
                numbers[:, at + 1] = np.isnan(values)
            at += 1 + number.indicator
        codes = np.empty((len(rows), len(self.categories)), dtype=np.int64)
        for j, category in enumerate(self.categories):
            codes[:, j] = category.encode(rows[category.name])
        return numbers, codes

    def unfamiliar(self, rows: pd.DataFrame, codes: np.ndarray) -> dict[str, int]:
        """Count for each column the cells that training saw nothing like; columns without one are left out.

        Args:
            rows: (n, columns), cleaned.
            codes: (n, q), what `encode` made of their categories.
        """
        found = {
            number.name: int(rows[number.name].isna().sum())
            for number in self.numbers
            if not number.indicator
        }
        for j, category in enumerate(self.categories):
            strange = codes[:, j] == UNKNOWN
            found[category.name] = int(
                (strange if category.gaps else strange | (codes[:, j] == MISSING)).sum()
            )
        return {name: count for name, count in found.items() if count}


@dataclass(frozen=True)
class ImageInputs:
    """Pixels stay uint8; the mean and spread of train pixels, by channel, are applied batch by batch."""

    shape: tuple[int, ...]
    """(height, width) or (height, width, 3)."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """In units of 0..255, one a channel."""

    @staticmethod
    def fit(pixels: np.ndarray) -> ImageInputs:
        """Learns from train images, uint8 (n, h, w) or (n, h, w, c)."""
        axes = (0, 1, 2)
        wide = pixels if pixels.ndim == 4 else pixels[..., None]
        # Sums of integers are exact, so the order of rows can't change a bit of the result.
        count = wide.shape[0] * wide.shape[1] * wide.shape[2]
        total = wide.sum(axis=axes, dtype=np.int64)
        squares = np.zeros_like(total)
        for start in range(0, len(wide), 4096):
            squares += (wide[start : start + 4096].astype(np.int64) ** 2).sum(axis=axes)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return ImageInputs(
            tuple(int(side) for side in pixels.shape[1:]),
            tuple(float(m) for m in mean),
            tuple(float(s) or 1.0 for s in spread),
        )

    def encode(self, pixels: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images as they are, after a check of their shape."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.shape:
            raise DataRejected(
                f"images are {pixels.dtype} of shape {pixels.shape[1:]}; "
                f"the model was trained on uint8 of shape {self.shape}"
            )
        return (np.ascontiguousarray(pixels),)


@dataclass(frozen=True)
class Encoder:
    """Inputs and target of one model."""

    inputs: TableInputs | ImageInputs | TextInputs | SubwordInputs
    target: Labels | Scale

    def state(self) -> dict[str, Any]:
        """Everything that was learned, as plain JSON data; floats survive exactly."""
        if isinstance(self.inputs, TableInputs):
            numbers = [vars(n) for n in self.inputs.numbers]
            inputs = {"numbers": numbers, "categories": [vars(c) for c in self.inputs.categories]}
        else:
            inputs = dict(vars(self.inputs))
        plain = {"inputs": inputs, "target": vars(self.target)}
        return dict(json.loads(json.dumps(plain)))

    @property
    def state_hash(self) -> str:
        """sha256 of the state."""
        text = json.dumps(self.state(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @staticmethod
    def restore(state: dict[str, Any]) -> Encoder:
        """The encoder whose `state` this is."""
        inputs, target = state["inputs"], state["target"]
        if "numbers" in inputs:
            read: TableInputs | ImageInputs | TextInputs | SubwordInputs = TableInputs(
                tuple(
                    Number(n["name"], n["median"], n["indicator"], tuple(n["knots"]), tuple(n["scores"]))
                    for n in inputs["numbers"]
                ),
                tuple(Category(c["name"], tuple(c["levels"]), c["gaps"]) for c in inputs["categories"]),
            )
        elif "tokenizer" in inputs:
            read = SubwordInputs.restored(inputs)
        elif "vocabulary" in inputs:
            lists = {"vocabulary": tuple(inputs["vocabulary"])}
            read = TextInputs(**{**inputs, **lists, "character_grams": tuple(inputs["character_grams"])})
        else:
            read = ImageInputs(*(tuple(inputs[key]) for key in ("shape", "mean", "std")))
        is_labels = "classes" in target
        if not is_labels:
            return Encoder(read, Scale(**target))
        known = {"classes": tuple(target["classes"]), "counts": tuple(target["counts"])}
        return Encoder(read, Labels(**{**target, **known}))
