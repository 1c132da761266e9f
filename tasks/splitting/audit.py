"""The audit of a split: parts that are whole, and every kind of leak between them, in one finding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks import store
from tasks.config import Split, Task
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected, did_you_mean, quoted
from tasks.splitting import leaks
from tasks.splitting.near_duplicates import search as near
from tasks.splitting.pairs import Leak, files_of

FILE = "leaks.json"


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Attributes:
        leaks: Every kind of leak, those that block and those that don't.
        twins: Warnings about equal features under another target.
        near: Share of validation and test rows that are nearly the same as a train row.
    """

    leaks: tuple[Leak, ...]
    twins: tuple[str, ...]
    near: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not stop the run."""
        return (*self.twins, *(leak.told for leak in self.leaks if not leak.blocks))

    def write(self, folder: Path) -> Path:
        """Writes `leaks.json`: what was found and, kind by kind, at most 200 pairs of rows, from 1."""
        document: dict[str, Any] = {
            "near": self.near,
            "leaks": [{"kind": leak.kind, "told": leak.told, "blocks": leak.blocks} for leak in self.leaks],
            "pairs": [{"kind": leak.kind, **asdict(pair)} for leak in self.leaks for pair in leak.pairs],
        }
        return store.write_json(folder / FILE, document)

    def judge(self, refused: Path) -> None:
        """Raises DataRejected where a leak blocks, and leaves the list in the folder `refused`."""
        blocking = [leak for leak in self.leaks if leak.blocks]
        if not blocking:
            return
        path = self.write(refused)
        told = "; ".join(leak.told for leak in blocking)
        fixes = "; or ".join(dict.fromkeys(leak.fix for leak in blocking))
        only = {leak.kind for leak in blocking} == {"copies"}
        warn = "" if only else "; split.leaks: warn goes on all the same"
        raise DataRejected(f"split: {told}", fix=f"{fixes}{warn}; the whole list: {path}")


def audit(
    data: Dataset,
    parts: pd.Series,
    rules: Split,
    *,
    target: str,
    kind: Task,
    drop: tuple[str, ...] = (),
    text: str | None = None,
) -> Audit:
    """Proves the parts disjoint and complete, and looks for what leaks from one into another.

    Args:
        data: Cleaned rows, with pixels if they are images.
        parts: Part names by row id.
        rules: How the parts were made, and what is allowed; `rules.column` is no feature.
        target: Column that is predicted.
        kind: Kind of task.
        drop: Further columns that are no features.
        text: The column of texts, where that is the only feature.

    Raises:
        ConfigError: `split.disjoint_by` or `split.allow_leaky` names no column.
    """
    leaks.prove(parts, data.rows)
    rows = data.rows
    for setting, name in (
        ("disjoint_by", rules.disjoint_by),
        *(("allow_leaky", name) for name in rules.allow_leaky),
    ):
        if name is not None and name not in rows.columns:
            raise ConfigError(
                f"split.{setting}: no column {quoted(name)} in the cleaned rows",
                fix=did_you_mean(name, rows.columns),
            )
    named = rules.column if rules.strategy == "column" else None
    features = [name for name in rows.columns if name not in (target, rules.column, *drop)]
    whole = [name for name in rows.columns if name != named]
    alone = "digest" if data.pixels is not None else text
    if alone is not None:
        features, whole = [alone], [alone, target]
    share, close = near.find(data, parts, [*features, target], text=text, most=rules.max_near_duplicates)
    files = files_of(data)
    copied = leaks.copies(rows, parts, whole, files)
    found = [copied or close]  # what is the same is nearly the same, too
    if rules.disjoint_by is not None:
        found.append(leaks.groups(rows, parts, rules.disjoint_by, files))
    if alone is None:
        tried = [name for name in features if name not in rules.allow_leaky]
        found += leaks.giveaways(rows, parts, tried, target, kind)
    return Audit(
        leaks=tuple(_allowed(leak, rules) for leak in found if leak is not None),
        twins=tuple(leaks.twins(rows, parts, features)),
        near=share,
    )


def _allowed(leak: Leak, rules: Split) -> Leak:
    """The leak, which only warns where the settings say so."""
    if rules.leaks == "refuse" or leak.kind == "copies":
        return leak
    return Leak(leak.kind, leak.told, leak.fix, leak.pairs, blocks=False)
