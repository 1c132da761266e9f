"""split: assign every row to train, validation or test, once, and check that the parts share nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task

from tasks import store
from tasks.config import Split, Task
from tasks.dataset import Dataset
from tasks.errors import ConfigError, did_you_mean, quoted
from tasks.learning.seen import learned_from
from tasks.records import CleanRecord, ModelVersion, SplitRecord, Step, ValidateRecord
from tasks.spans import ITSELF, span
from tasks.splitting import parts as parts_file
from tasks.splitting.assign import assign_splits
from tasks.splitting.audit import audit
from tasks.splitting.plan import SplitPlan
from tasks.tables import table


def planned(
    rows: pd.DataFrame,
    rules: Split,
    *,
    target: str,
    kind: Task,
    seed: int,
    images: bool = False,
    drop: tuple[str, ...] = (),
    text: str | None = None,
) -> SplitPlan:
    """How rows are assigned to parts.

    Args:
        rows: Cleaned rows (n, columns), or a sample of them.
        rules: Strategy and shares.
        target: Column that is predicted.
        kind: Kind of task; classes are kept in proportion, quantiles of a number likewise.
        seed: Salts every hash.
        images: Whether the rows describe pictures. Their column `part` may name an official test
            set, which stays the test set; `rules.validation` is then the share of the other rows.
        drop: Columns that are no features.
        text: The column of texts, if that is the only feature.

    Raises:
        ConfigError: `split.column` names no column, or the target.
    """
    _check_column(rows, rules, target)
    named = rules.column if rules.strategy == "column" else None
    others = tuple(str(name) for name in rows.columns if name not in (target, named))
    features = tuple(name for name in others if name not in drop)
    alone = "digest" if images else text
    return SplitPlan(
        strategy=rules.strategy,
        validation=rules.validation,
        test=rules.test,
        column=rules.column,
        target=target,
        task=kind,
        seed=seed,
        content=(alone,) if alone else features or others,
        official="part" if images and "part" in rows else None,
    )


def seen_rows(raw: Path, bundle: Path) -> np.ndarray:
    """Sorted ids of the raw rows that a model learned from.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
        ConfigError: The table is read in pieces.
    """
    if not table.load(raw).in_memory:
        raise ConfigError(
            "split.exclude_seen: a table that is read in pieces can't be looked up in a model",
            fix="set source.stream: never, or split.exclude_seen: false",
        )
    rows = Dataset.load(raw).rows
    return np.sort(rows.index.to_numpy(dtype=np.int64)[learned_from(bundle, rows)])


def _check_column(rows: pd.DataFrame, rules: Split, target: str) -> None:
    if rules.column is None:
        return
    if rules.column not in rows.columns:
        raise ConfigError(
            f"split.column: no column {quoted(rules.column)} in the cleaned rows",
            fix=did_you_mean(rules.column, rows.columns),
        )
    if rules.column == target:
        raise ConfigError(f"split.column: {quoted(target)} is the target", fix="choose another column")


def _spared(champion: ModelVersion | None, seen: np.ndarray | None) -> tuple[str, ...]:
    """A warning that the test rows depend on the champion."""
    if champion is None or seen is None:
        return ()
    known = f"{len(seen):,} rows that version {champion.version} learned from"
    return (f"no test rows among {known} (split.exclude_seen)",)


@task(name="split")
@span(ITSELF)
def split(
    cleaned: CleanRecord,
    rules: Split,
    target: str,
    kind: Task,
    seed: int,
    work: Path,
    drop: tuple[str, ...] = (),
    text: str | None = None,
    raw: ValidateRecord | None = None,
    champion: ModelVersion | None = None,
) -> SplitRecord:
    """Assign the cleaned rows to train, validation and test.

    Args:
        cleaned: Where the cleaned rows lie.
        rules: Strategy, shares and, for some, a column.
        target: Column that is predicted.
        kind: Kind of task.
        seed: Salts the hashes that order the rows.
        work: The project's folder of step outputs.
        drop: Columns that are no features (`columns.drop`), which can leak nothing.
        text: The column of texts (`columns.text`), where that is the only feature.
        raw: Raw rows, by which the champion knows what it learned from.
        champion: The present champion with its bundle, if rows that it learned from must not become test rows
            (`split.exclude_seen`).

    Returns:
        The record of a folder with `parts.parquet` and `leaks.json`.

    Raises:
        ArtifactTampered: The champion's files are not what its manifest says.
        ConfigError: `split.column`, `split.disjoint_by` or `split.allow_leaky` is wrong, or
            `split.exclude_seen` is set for a table that is read in pieces.
        DataRejected: A part would be empty, the column names no parts, or something leaks from one part
            into another; `work/refused/leaks.json` then lists the pairs.
    """
    bundle = champion.folder if champion is not None else None
    seen = seen_rows(raw.folder, bundle) if raw is not None and bundle is not None else None

    spared = _spared(champion, seen)

    def build(folder: Path) -> SplitRecord:
        data = Dataset.load(cleaned.folder)
        rows, images = table.load(cleaned.folder), data.pixels is not None
        plan = planned(
            data.rows, rules, target=target, kind=kind, seed=seed, images=images, drop=drop, text=text
        )
        codes = None if rows.in_memory else folder / parts_file.CODES
        result = assign_splits(rows, plan, codes, seen=seen)
        found = audit(data, result.parts, rules, target=target, kind=kind, drop=drop, text=text)
        found.judge(work / "refused")
        found.write(folder)
        parts_file.save(result.parts, folder)
        return SplitRecord(
            step=Step(name="split"),
            folder=folder,
            hash=result.hash,
            **result.counts,
            near=found.near,
            warnings=(*found.warnings, *rows.told("leak checks used"), *spared),
        )

    inputs = {
        "rows": cleaned.digest,
        "split": rules.model_dump(),
        "target": target,
        "task": kind,
        "seed": seed,
        "drop": drop,
        "text": text,
        "in_memory": table.load(cleaned.folder).in_memory,  # else the parts are those of a sample
        "seen": None if seen is None else store.digest(seen.tolist()),
    }
    return store.remember(work, "split", inputs=inputs, record=SplitRecord, build=build)
