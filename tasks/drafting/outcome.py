"""What follows from the target: budget, split, metric, rungs and gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import Task, with_dummy
from tasks.drafting import suite
from tasks.drafting.columns import present
from tasks.drafting.guesses import Guess
from tasks.errors import DataRejected, quoted
from tasks.learning.targets import skewness

RARE = 10
"""A class of fewer rows is set aside: train, validation and test can hardly show it."""

IMBALANCED = 3
"""Times that the largest class is as frequent as the smallest, from which accuracy flatters."""

BUDGET = 0.01
"""Share of rows that may be bad, beyond those that are known to be."""


@dataclass(frozen=True)
class Outcome:
    """What a target asks for.

    Attributes:
        task: Kind of task.
        classes: Those that are learned, sorted; empty for numbers.
        metric: What the candidate is judged by.
        split: Strategy.
        quarantine: Share of rows that may be set aside.
        balanced: Whether rare classes weigh more in training.
        expectations: About the target's values.
        guesses: Why.
    """

    task: Task
    classes: tuple[Any, ...]
    metric: str
    split: str
    quarantine: float
    balanced: bool
    expectations: tuple[suite.Expectation, ...]
    guesses: tuple[Guess, ...]


def of(target: pd.Series, task: Task) -> Outcome:
    """Looks at the target of the raw rows.

    Raises:
        DataRejected: Fewer than two classes have enough rows.
    """
    values = present(target)
    return _classes(target, values) if task == "classification" else _numbers(target, values)


def _classes(target: pd.Series, values: pd.Series) -> Outcome:
    name, counts = str(target.name), values.value_counts()
    kept, rare = counts[counts >= RARE], counts[counts < RARE]
    if len(kept) < 2:
        raise DataRejected(
            f"target {quoted(name)}: {len(kept)} of {len(counts)} classes has {RARE} rows or more; "
            "two are needed",
            fix="give more rows, or name another --target",
        )
    guesses: list[Guess] = []
    if len(rare):
        told = f"{len(rare)} of {len(counts)} classes have fewer than {RARE} rows, {int(rare.sum())} in all"
        guesses.append(_aside(name, f"{told}; the suite sets them aside"))
    ratio = float(kept.iloc[0] / kept.iloc[-1])
    balanced = ratio >= IMBALANCED
    sizes = f"the largest class has {kept.iloc[0]:,} rows, the smallest {kept.iloc[-1]:,}"
    metric = "balanced_accuracy" if balanced else "accuracy"
    other = "accuracy" if balanced else "balanced_accuracy"
    why = f"{sizes}" + (", and accuracy would hardly count it" if balanced else "")
    guesses.append(
        Guess(what="evaluate.metric", guess=metric, evidence=why, override=f"evaluate.metric={other}")
    )
    share, said = _budget(name, len(target), len(target) - int(kept.sum()), len(target) - len(values))
    known = tuple(sorted(kept.index))
    told = "every part gets the classes in proportion"
    split = Guess(what="split", guess="stratified", evidence=told, override="split.strategy=random")
    return Outcome(
        task="classification",
        classes=known,
        metric=metric,
        split="stratified",
        quarantine=share,
        balanced=balanced,
        expectations=(suite.classes(name, known),),
        guesses=(*guesses, *said, split),
    )


def _numbers(target: pd.Series, values: pd.Series) -> Outcome:
    name, numbers = str(target.name), values.to_numpy(dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    skewed = skewness(numbers) > 1
    tail = f"skewness {skewness(numbers):.1f}"
    metric, other = ("mae", "rmse") if skewed else ("rmse", "mae")
    why = f"{tail}: a long tail would decide the squared error" if skewed else f"{tail}: no long tail"
    guesses = [Guess(what="evaluate.metric", guess=metric, evidence=why, override=f"evaluate.metric={other}")]
    if skewed and numbers.min() > 0:
        told = f"{tail}, smallest {numbers.min():,.4g}: equal ratios matter more than equal differences"
        override = "encode.target=none"
        guesses.append(Guess(what="encode.target", guess="its logarithm", evidence=told, override=override))
    share, said = _budget(name, len(target), len(target) - len(numbers), len(target) - len(values))
    told = "nothing says that rows belong together or follow each other"
    split = Guess(what="split", guess="random", evidence=told, override="split.strategy=stratified")
    return Outcome(
        task="regression",
        classes=(),
        metric=metric,
        split="random",
        quarantine=share,
        balanced=False,
        expectations=(suite.span(pd.Series(numbers, name=name), "critical"),),
        guesses=(*guesses, *said, split),
    )


def _budget(name: str, rows: int, bad: int, missing: int) -> tuple[float, list[Guess]]:
    """The share of rows that may be set aside, and what is said about rows without a target."""
    said = []
    if missing:
        told = f"{missing:,} of {rows:,} rows have no value there; they are set aside"
        said.append(_aside(name, told))
    return raised(BUDGET, bad, rows), said


def raised(share: float, bad: int, rows: int) -> float:
    """A budget that has room for `bad` of the rows besides, in whole hundredths."""
    return min(0.99, round(share + math.ceil(100 * bad / rows) / 100, 2))


def unreadable(names: Sequence[str], count: int) -> list[Guess]:
    """Say how many rows hold a cell that is no value of its column's type."""
    told = f"{count:,} rows hold a number that is not finite or too large; they are set aside"
    return [_aside(", ".join(names), told)] if count else []


def _aside(name: str, told: str) -> Guess:
    return Guess(
        what="validate.quarantine",
        column=name,
        guess="rows are set aside",
        evidence=told,
        override=f"validate.quarantine={BUDGET}",
        open=True,
    )


def bar(outcome: Outcome, rungs: Sequence[str]) -> dict[str, Any]:
    """The sections `evaluate` and `gate`: none of `rungs`, which are simpler, nor the champion is better.

    That the candidate is better than the dummy is asked of every project.
    """
    return {
        "evaluate": {"metric": outcome.metric, "baselines": with_dummy(outcome.task, rungs)},
        "gate": tuple({"not_worse_than": name} for name in (*rungs, "champion")),
    }
