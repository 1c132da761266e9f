"""The target as the loss compares it, and back: classes, or a scaled number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import DataRejected, quoted


@dataclass(frozen=True)
class Labels:
    """Classes, sorted, and how many train rows each had."""

    classes: tuple[Any, ...]
    counts: tuple[int, ...]
    balanced: bool = False
    """Whether training weighs each row by the rarity of its class (`fit.class_weights`)."""

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Weight of each class in the loss: rows / (classes x rows of the class); None for equal weights."""
        if not self.balanced:
            return None
        rows = sum(self.counts)
        return tuple(rows / (len(self.counts) * count) for count in self.counts)

    @staticmethod
    def fit(target: pd.Series) -> Labels:
        """Learns from train targets."""
        counts = target.value_counts()
        classes = sorted(counts.index)
        return Labels(
            tuple(_plain(label) for label in classes), tuple(int(counts[label]) for label in classes)
        )

    def encode(self, target: pd.Series) -> np.ndarray:
        """Labels to int64 class numbers (n,). Raises DataRejected for a label that training never saw."""
        codes = pd.Index(self.classes).get_indexer(pd.Index(target))
        if (codes < 0).any():
            label = target.iloc[int(np.argmax(codes < 0))]
            raise DataRejected(
                f"class {quoted(label)} has no train rows",
                fix="give it more rows, or drop it with a clean operation",
            )
        return np.asarray(codes, dtype=np.int64)


def unweighted(probabilities: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Correct probabilities for the class weights that a model was trained with.

    A model whose loss weighs class k by w_k answers the posterior under priors proportional to
    w_k times the share of class k. Dividing by w_k and renormalising gives the posterior under the shares
    themselves (Saerens, Latinne and Decaestecker, Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 14, 2002, equation 2.4).

    Args:
        probabilities: (n, k) float64, each row summing to 1.
        weights: k positive numbers.

    Returns:
        (n, k) float64, each row summing to 1.
    """
    divided = probabilities / np.asarray(weights, dtype=np.float64)
    return np.asarray(divided / divided.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Scale:
    """A regression target: its logarithm if `log`, standardised; predictions stay in [low, high]."""

    log: bool
    mean: float
    std: float
    low: float
    high: float

    @staticmethod
    def fit(target: pd.Series, how: str) -> Scale:
        """Learns from train targets; `how` is auto, log or none."""
        values = target.to_numpy(dtype=np.float64)
        if how == "log" and values.min() <= 0:
            raise DataRejected(
                f"encode.target is 'log', but the smallest train target is {values.min():g}",
                fix="use encode.target: none",
            )
        log = how == "log" or (how == "auto" and bool(values.min() > 0) and skewness(values) > 1)
        seen = np.log(values) if log else values
        return Scale(
            log, float(seen.mean()), float(seen.std()) or 1.0, float(values.min()), float(values.max())
        )

    def encode(self, target: pd.Series) -> np.ndarray:
        """Targets (n,) to float32 (n,)."""
        values = target.to_numpy(dtype=np.float64)
        seen = np.log(np.maximum(values, 1e-12)) if self.log else values
        return ((seen - self.mean) / self.std).astype(np.float32)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Network outputs (n,) to targets, kept within the range that training saw.

        A linear extrapolation in log space can be off by factors of thousands; the clip bounds it.
        """
        return np.asarray(np.clip(self._free(outputs), self.low, self.high))

    def beyond(self, outputs: np.ndarray) -> int:
        """How many of the network's outputs (n,) the clip changes."""
        free = self._free(outputs)
        return int(((free < self.low) | (free > self.high)).sum())

    def _free(self, outputs: np.ndarray) -> np.ndarray:
        values: np.ndarray = outputs.astype(np.float64) * self.std + self.mean
        return np.asarray(np.exp(np.minimum(values, 700.0)) if self.log else values)


def skewness(values: np.ndarray) -> float:
    """Third standardised moment; 0 for a constant."""
    centered = values - values.mean()
    spread = centered.std()
    return float((centered**3).mean() / spread**3) if spread > 0 else 0.0


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
