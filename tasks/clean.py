"""Step: run the declared operations on every row, one row at a time, and resolve exact duplicates.

Nothing is learned here: a row's outcome depends on that row alone, but for duplicates, of which the
first stays. Rows whose values can't be read are set aside, within the same budget as in validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from prefect import task

from tasks import store
from tasks.cleaning import content
from tasks.cleaning.operations import Applied, apply
from tasks.config import Operation
from tasks.dataset import Dataset, place
from tasks.errors import ConfigError, DataRejected, did_you_mean, quoted
from tasks.own import extension
from tasks.records import CleanRecord, Step, ValidateRecord
from tasks.spans import ITSELF, span
from tasks.tables import cleaning, table
from tasks.tables.cleaning import Cleaned

PLACES = 10
"""Most bad rows that a message names."""
TRIED = 16
"""Rows that an operation of the project's own has to clean alone as it does among the others."""


def operate(
    rows: pd.DataFrame, declared: Sequence[Mapping[str, Any]], target: str
) -> tuple[Applied, dict[int, str]]:
    """What the operations make of some rows, and the rows that can't be used, each with the reason.

    Raises:
        ConfigError: An operation names an unknown column, or renames the target.
    """
    _protect(target, rows, declared)
    applied = apply(rows, declared, hidden=(target,))
    untold = applied.rows.index[applied.rows[target].isna()].difference(applied.dropped)
    bad = {int(row): f"clean: the target {quoted(target)} is missing" for row in untold} | applied.bad
    return applied, bad


def _protect(target: str, rows: pd.DataFrame, declared: Sequence[Mapping[str, Any]]) -> None:
    if target not in rows.columns:
        raise ConfigError(f"target: no column {quoted(target)}", fix=did_you_mean(target, rows.columns))
    for position, operation in enumerate(declared):
        if target in operation.get("rename", {}):
            raise ConfigError(
                f"clean.{position}.rename: {quoted(target)} is the target", fix="leave its name as it is"
            )


def _prove_local(folder: Path, declared: Sequence[Mapping[str, Any]], target: str) -> None:
    """Raise ConfigError where an operation of the project's own makes another row of one that is alone.

    What looks at other rows, such as a mean, is learned: it would leak test rows into training, and answer
    one request differently from many. A few rows are tried, spread over all.
    """
    if not any(extension.is_own(name) for operation in declared for name in operation):
        return
    rows = Dataset.load(folder).rows
    together = operate(rows, declared, target)[0].rows
    for position in np.unique(np.linspace(0, len(rows) - 1, min(TRIED, len(rows))).astype(int)):
        alone = apply(rows.iloc[[position]], declared, hidden=(target,)).rows
        beside = together.iloc[[position]]
        other = [name for name in beside if name not in alone or not _alike(alone[name], beside[name])]
        if other or len(alone.columns) != len(beside.columns):
            raise ConfigError(
                f"clean: {quoted((other or ['the columns'])[0])} of row {rows.index[position]} depends on "
                "the rows beside it: an operation of yours learns",
                fix="see one row at a time; what is learned belongs to encode or into the network",
            )


def _alike(one: pd.Series, other: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(one.dtype) and pd.api.types.is_numeric_dtype(other.dtype):
        alone, beside = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (one, other))
        return bool(np.allclose(alone, beside, rtol=1e-6, equal_nan=True))
    return content.texts(one) == content.texts(other)


def check_budget(
    counts: Counter[str], first: Sequence[int], before: int, share: float, validated: ValidateRecord
) -> None:
    """Raise DataRejected when more than `share` of the rows read are bad, `before` of them earlier.

    Args:
        counts: Bad rows by reason.
        first: Ids of the first of them.
        before: Rows that validation set aside.
        share: Of the rows read, 0 to 1.
        validated: Names a row's place.
    """
    total, allowed = counts.total() + before, share * validated.read
    if not first or total <= allowed + 1e-9:
        return
    reasons = "; ".join(f"{reason}: {count} rows" for reason, count in counts.most_common(5))
    places = ", ".join(place(row, validated.files) for row in first)
    earlier = f" ({before} of them set aside by validate)" if before else ""
    raise DataRejected(
        f"clean: {total} of {validated.read} rows are bad{earlier}, at most {int(allowed + 1e-9)} may be: "
        f"{reasons}; first: {places}",
        fix="repair the rows, change the operation, or raise validate.quarantine",
    )


@task(name="clean")
@span(ITSELF)
def clean(
    validated: ValidateRecord,
    operations: tuple[Operation, ...],
    target: str,
    quarantine: float,
    work: Path,
    text: str | None = None,
) -> CleanRecord:
    """Cleans the accepted rows.

    Args:
        validated: Where the accepted rows lie.
        operations: Declared operations, in order.
        target: Column that is predicted.
        quarantine: Largest share of the rows read that validation and cleaning may set aside together.
        work: The project's folder of step outputs.
        text: The column of texts (`columns.text`), where that is the only feature.

    Returns:
        The record of a folder with the cleaned rows and `quarantine.csv` (row, place, reason).

    Raises:
        ConfigError: An operation names an unknown column.
        DataRejected: More bad rows than the budget allows, or no row left.
    """
    declared = [operation.model_dump() for operation in operations]
    parts = [name for operation in declared for name in operation]

    def build(folder: Path) -> CleanRecord:
        raw = table.load(validated.folder)
        operations = partial(operate, declared=declared, target=target)
        _prove_local(validated.folder, declared, target)
        done = cleaning.clean(
            raw, operations, validated.files, folder, _identity(validated.folder, target, text)
        )
        check_budget(done.bad, done.first, validated.quarantined, quarantine, validated)
        return _account(done, validated, folder)

    inputs = {
        "rows": {path.name: store.sha256_file(path) for path in _stored(validated.folder)},
        "read": validated.read,
        "quarantined": validated.quarantined,
        "clean": declared,
        "target": target,
        "text": text,
        "quarantine": quarantine,
        "own": extension.digests(parts),
    }
    also = extension.ours(parts)
    return store.remember(work, "clean", inputs=inputs, record=CleanRecord, build=build, also=also)


def _stored(folder: Path) -> list[Path]:
    names = ("rows.parquet", "pixels.npy", table.FILE, table.OUT)
    return [path for path in (folder / name for name in names) if path.exists()]


def _identity(folder: Path, target: str, text: str | None) -> tuple[str, ...] | None:
    """Return the columns in which duplicates are equal; None for all.

    Two texts are when they and their labels are; two images when their pixels and labels are, within one part
    of an official split: one that stands on both sides of such a split is for the split to refuse, because
    which copy to drop is not ours to say.
    """
    if (folder / "pixels.npy").exists():
        return ("digest", target, "part")
    return None if text is None else (text, target)


def _account(done: Cleaned, validated: ValidateRecord, folder: Path) -> CleanRecord:
    """The record, every row that was read accounted for."""
    quarantined = validated.quarantined + done.quarantined
    kept = done.kept
    assert validated.read == kept + done.dropped + quarantined, "rows went missing in clean"
    if not kept:
        raise DataRejected(
            f"clean: 0 of {validated.read} rows are left: {done.dropped} dropped, {quarantined} set aside",
            fix="look at the operations of clean",
        )
    return CleanRecord(
        step=Step(name="clean"),
        folder=folder,
        digest=done.digest,
        read=validated.read,
        kept=kept,
        dropped=done.dropped,
        quarantined=quarantined,
        operations=done.changed,
    )
