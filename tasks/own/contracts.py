"""What a project may bring of its own, and what each part has to be: the contracts, in one place.

Any callable that keeps a contract will do; nothing has to be inherited. The settings name a part by its
import path, `package.module:name`, in a module of the yard's root or anywhere that Python imports from:

    source: {kind: "my_parts:load", options: {year: 2024}}       # Loader
    clean: [{"my_parts:tidy": {column: size}}]                   # Operation
    network: {kind: "my_parts:net", options: {width: 32}}        # Network
    evaluate: {metric: "my_parts:cost", baselines: [median, "my_parts:neighbours"]}   # Metric, Baseline
    steps: [{run: "my_parts:look", after: split}]                # ExtraStep

`tasks.testkit` has a test for each. What a part raises on purpose had better be a `ModelyardError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from torch import nn

from tasks.config import Config
from tasks.networks.spec import InputSpec
from tasks.predictions import Predictions
from tasks.records import Fact


class Loader(Protocol):
    """A source of rows. Paths start from the project's folder; nothing is repaired, nothing is drawn."""

    def __call__(self, project: Path, **options: Any) -> pd.DataFrame | tuple[pd.DataFrame, np.ndarray]:
        """The rows as they stand, the same whenever nothing changed.

        Args:
            project: The project's folder, `data/NAME`.
            options: From the settings.

        Returns:
            A frame of n rows with the target among its columns; for images a pair: a frame with the
            column `label`, and pixels, uint8 (n, height, width) or (n, height, width, 3).

        Raises:
            DataFormatError: What it reads is not what it should be.
        """


class Operation(Protocol):
    """A cleaning operation on tables. It sees one row at a time, for it also runs inside the model."""

    def __call__(self, rows: pd.DataFrame, **options: Any) -> pd.DataFrame:
        """The rows cleaned; columns may be changed, added or left out.

        What becomes of a row depends on that row alone: a request of one is answered like one of many,
        and nothing of a test row reaches training. The target is not among the columns.

        Args:
            rows: Rows as the operations before it left them; a copy, which may be changed.
            options: From the settings.

        Returns:
            A frame under the same index. A value that can't be read becomes a missing one.
        """


class Network(Protocol):
    """A factory of networks. Initial weights come from torch's generator, which is seeded before."""

    def __call__(self, spec: InputSpec, **options: Any) -> nn.Module:
        """The untrained module.

        Its `forward` takes what the encoder writes, n examples at a time, and answers float32
        (n, spec.outputs): one logit a class, or one standardised number.

        - Tables: `(numbers (n, spec.numbers) float32, codes (n, len(spec.levels)) int64)`; a code of
          column j lies below `spec.levels[j]`.
        - Images: `(pixels (n, channels, height, width) float32, standardised)`; see `spec.image`.
        - Texts: `(words (n, length) int64, ngrams (n, most) int64)`, both padded with 0; words lie below
          `spec.vocabulary`, n-grams below `spec.buckets`.

        In eval mode an example's answer does not depend on the others beside it. In training mode it may
        answer (members, n, outputs). `tasks/learning/hooks.py` says what else a network may have:
        `prime(inputs, targets)`, `lengths(inputs)`, `optimizer(learning_rate, weight_decay)`.

        Args:
            spec: Sizes of what goes in and comes out.
            options: From the settings.

        Raises:
            ValueError: It can't read such inputs; the sentence is shown.
        """


class Metric(Protocol):
    """A metric that is a mean over rows, which makes a resample of its interval one product."""

    higher_is_better: bool
    """Direction; it has to be said: `cost.higher_is_better = False` below the function."""

    def __call__(self, truth: np.ndarray, predictions: Predictions) -> np.ndarray | None:
        """What each row contributes.

        Args:
            truth: (n,) labels, or float64.
            predictions: `values` (n,), and for classification `probabilities` (n, k) by `classes` (k,).

        Returns:
            (n,) float64, of which the mean is the metric; None where it is undefined.
        """


class MetricOfMeans(Protocol):
    """A metric that is a function of means over rows, such as a root or a ratio: an object of two."""

    higher_is_better: bool
    """Direction."""

    def statistics(self, truth: np.ndarray, predictions: Predictions) -> np.ndarray | None:
        """What each row contributes: (n, s) float64 for some small s; None where nothing would define it."""

    def value(self, means: np.ndarray) -> np.ndarray:
        """Means of the statistics, (..., s), to the metric, (...); NaN where it is undefined."""


class Baseline(Protocol):
    """A factory of a rung below the network: anything with scikit-learn's `fit` and `predict`."""

    def __call__(self, seed: int) -> Any:
        """The estimator, not fitted; the same seed gives the same answers.

        Its `fit(X, y)` sees the cleaned train rows alone. X is, for tables, an array (n, p) float64:
        numbers as they are with NaN for missing, then a code for each category; for images (n, pixels)
        float32 in 0..1; for texts a list of n strings. With `predict_proba` and `classes_` it has a
        log loss, too.

        Args:
            seed: Of whatever is drawn, below 2**32.
        """


@dataclass(frozen=True)
class Context:
    """What an extra step is told. The frames lie in the folders of the records: `Dataset.load(folder)`.

    Attributes:
        records: What the stages so far returned, by stage; see `tasks.records`.
        config: The project's settings.
        project: The project's folder.
        folder: An empty folder; files in it become artifacts of the run.
    """

    records: Mapping[str, Any]
    config: Config
    project: Path
    folder: Path


class ExtraStep(Protocol):
    """A step before or after a stage: it looks, tells and may refuse.

    It can't change the data. What is changed outside the model is not changed where the model predicts;
    a cleaning operation is, because it travels inside.
    """

    def __call__(self, context: Context, **options: Any) -> Mapping[str, Fact]:
        """Facts about the run, shown in its report: to MLflow a number is a metric, anything else a tag.

        Args:
            context: What is known so far.
            options: From the settings.

        Raises:
            DataRejected: The run is to stop here.
        """
