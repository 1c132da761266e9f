"""split: every row goes to train, validation or test, once, and the parts are shown to share nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task

from tasks import store
from tasks.config import Split, Task
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected, did_you_mean, quoted
from tasks.records import CleanRecord, SplitRecord, Step
from tasks.spans import ITSELF, span
from tasks.splitting import parts as parts_file
from tasks.splitting.audit import audit
from tasks.splitting.parts import PARTS, TEST
from tasks.splitting.strategies import STRATEGIES, Deal
from tasks.streaming import dealing, stream, streamed
from tasks.streaming.dealing import Dealt


def deal(rows: pd.DataFrame, rules: Split, *, target: str, kind: Task, seed: int, images: bool) -> pd.Series:
    """The part of every row.

    Args:
        rows: Cleaned rows (n, columns).
        rules: Strategy and shares.
        target: Column that is predicted.
        kind: Kind of task; classes are kept in proportion, quantiles of a number likewise.
        seed: Seeds every random choice, and salts the key's hash.
        images: Whether the rows describe pictures. Their column `part` may name an official test
            set, which stays the test set; `rules.validation` is then the share of the other rows.

    Returns:
        Part names by row id.

    Raises:
        ConfigError: `split.column` names no column, the target, or (time) one that holds no times.
        DataRejected: A part would be empty, a class has one row only (stratified), or the column
            holds gaps or words that name no part.
    """
    _check_column(rows, rules, target)
    given = (
        (rows["part"] == "test").to_numpy() if images and "part" in rows else np.zeros(len(rows), dtype=bool)
    )
    content = ("digest",) if images else tuple(name for name in rows.columns if name != target)
    test = 0.0 if given.any() else rules.test
    how = Deal(rules.validation, test, target, kind, seed, rules.column, content)
    codes = np.full(len(rows), TEST)
    if rest := int((~given).sum()):
        codes[~given] = STRATEGIES[rules.strategy](rows[~given], how)
    counts = np.bincount(codes, minlength=len(PARTS))
    if not counts.all():
        shown = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts, strict=True))
        raise DataRejected(
            f"split: {len(rows)} rows ({rest} to be dealt) would give {shown}, and no part may be empty",
            fix="use more rows, or change split.strategy, split.validation or split.test",
        )
    return pd.Series(np.array(PARTS)[codes], index=rows.index, name="part")


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


def parts_hash(parts: pd.Series) -> str:
    """Hex sha256 over row id and part of every row, in row order."""
    lines = "".join(f"{row}\t{part}\n" for row, part in parts.sort_index().items())
    return hashlib.sha256(lines.encode()).hexdigest()


def _dealt(parts: pd.Series) -> Dealt:
    return Dealt(parts, {part: int((parts == part).sum()) for part in PARTS}, parts_hash(parts))


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
) -> SplitRecord:
    """Deals the cleaned rows to train, validation and test.

    Args:
        cleaned: Where the cleaned rows lie.
        rules: Strategy, shares and, for some, a column.
        target: Column that is predicted.
        kind: Kind of task.
        seed: Seeds the deal.
        work: The project's folder of step outputs.
        drop: Columns that are no features (`columns.drop`), which can leak nothing.
        text: The column of texts (`columns.text`), where that is the only feature.

    Returns:
        The record of a folder with `parts.parquet` and `leaks.json`.

    Raises:
        ConfigError: `split.column`, `split.apart` or `split.trusted` is wrong.
        DataRejected: A part would be empty, the column names no parts, or something leaks from one part
            into another; `work/refused/leaks.json` then lists the pairs.
    """

    def build(folder: Path) -> SplitRecord:
        data = Dataset.load(cleaned.folder)
        if streamed(cleaned.folder):
            _check_column(data.rows, rules, target)
            rows = stream.load(cleaned.folder)
            dealt = dealing.deal(rows, data.rows, rules, target, seed, folder)
        else:
            images = data.pixels is not None
            dealt = _dealt(deal(data.rows, rules, target=target, kind=kind, seed=seed, images=images))
        found = audit(data, dealt.parts, rules, target=target, kind=kind, drop=drop, text=text)
        found.judge(work / "refused")
        found.write(folder)
        parts_file.save(dealt.parts, folder)
        return SplitRecord(
            step=Step(name="split"),
            folder=folder,
            hash=dealt.hash,
            **dealt.counts,
            near=found.near,
            warnings=(*found.warnings, *stream.told(cleaned.folder, "leaks were looked for in")),
        )

    inputs = {
        "rows": cleaned.digest,
        "split": rules.model_dump(),
        "target": target,
        "task": kind,
        "seed": seed,
        "drop": drop,
        "text": text,
    }
    return store.remember(work, "split", inputs=inputs, record=SplitRecord, build=build)
