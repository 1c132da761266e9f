"""How far off a predicted number may be: split conformal intervals.

Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005); Lei et al.,
Distribution-Free Predictive Inference for Regression (2018). The scores are the candidate's errors on
the test rows, which it never learned from: absolute ones, or, where the target's logarithm was
learned, those of the logarithm. The ceil((n + 1) * level)-th smallest of n scores is the width. For
new rows that are exchangeable with the test rows, the interval then holds the truth with at least that
probability, whatever the model is; for rows that have drifted it promises nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tasks.learning.scoring import ENCODER
from tasks.records import from_json, to_json

TAG = "modelyard.interval"
"""The version's tag that keeps its interval, as JSON."""
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Around a prediction: plus and minus `width`, or times and divided by exp(`width`) for `ratio`.

    Attributes:
        level: Share of new rows whose truth lies inside.
        kind: Which of the two.
        width: In the target's unit, or in its logarithm.
        rows: Test rows that it was taken from.
    """

    level: float
    kind: Literal["absolute", "ratio"]
    width: float
    rows: int

    def around(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends, (n,) float64 each, for predictions (n,)."""
        if self.kind == "ratio":
            return values * math.exp(-self.width), values * math.exp(self.width)
        return values - self.width, values + self.width


def measured(truth: np.ndarray, values: np.ndarray, *, log: bool, level: float = LEVEL) -> Interval | None:
    """The interval that n rows outside of training allow; None where they are too few.

    Args:
        truth: (n,) float64.
        values: (n,) predictions.
        log: Whether the target's logarithm was learned.
        level: Share of new rows that the interval has to hold; 0.9 takes 9 rows or more.
    """
    if log:  # a truth that has no logarithm is infinitely far away
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.nan_to_num(np.abs(np.log(truth) - np.log(values)), nan=np.inf, posinf=np.inf)
    else:
        scores = np.abs(truth - values)
    rank = math.ceil((len(scores) + 1) * level)
    if rank > len(scores) or not math.isfinite(width := float(np.sort(scores)[rank - 1])):
        return None
    return Interval(level=level, kind="ratio" if log else "absolute", width=width, rows=len(scores))


def tags(predictions: Path, bundle: Path) -> dict[str, str]:
    """The version's tag, made from a candidate's stored test answers; none for a classification.

    Args:
        predictions: The file with `truth` and `candidate` of each test row.
        bundle: The candidate's folder.
    """
    target = json.loads((bundle / ENCODER).read_text(encoding="utf-8"))["target"]
    if "classes" in target:
        return {}
    stored = pd.read_parquet(predictions, columns=["truth", "candidate"])
    found = measured(stored["truth"].to_numpy(), stored["candidate"].to_numpy(), log=bool(target["log"]))
    return {} if found is None else {TAG: json.dumps(to_json(found))}


def parse(text: str | None) -> Interval | None:
    """The interval that a tag holds; None where there is none, or nothing that can be read."""
    try:
        return None if text is None else from_json(Interval, json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None
