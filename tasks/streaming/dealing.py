"""The split of a table beyond memory: a row's part comes from that row alone, so one pass deals them all.

What a row holds decides by its hash, so that equal rows come into one part, whatever the strategy; a group, a
key, a time or the name of a part decides where the strategy goes by a column. Shares are met by chance, to
within a thousandth where rows are many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.config import Split
from tasks.errors import ConfigError, DataRejected, quoted
from tasks.splitting.parts import PARTS, TEST, TRAIN, VALIDATION
from tasks.store import digest
from tasks.streaming import cells, hashing
from tasks.streaming.arrays import ArrayWriter
from tasks.streaming.mapping import mapped
from tasks.streaming.stream import Piece, Stream

FILE = "codes.npy"
"""The part of each row that counts, uint8 (n,), in the order of the cleaned rows."""

Rule = Callable[[pa.Table], np.ndarray]
"""A batch (n, columns) to codes (n,) into `PARTS`."""


@dataclass(frozen=True)
class Dealt:
    """Which row went where.

    Attributes:
        parts: Part names of the sampled rows, by row id.
        counts: Rows of each part.
        hash: sha256 over the row ids and the parts, in row order.
    """

    parts: pd.Series
    counts: dict[str, int]
    hash: str


def streamed(folder: Path) -> bool:
    """Whether a split's folder tells the part of every row of a table beyond memory."""
    return (folder / FILE).exists()


def count(folder: Path, part: int) -> int:
    """Rows of one part."""
    with (folder / FILE).open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return sum(piece.count(bytes([part])) for piece in iter(lambda: file.read(2**24), b""))


def deal(cleaned: Stream, sample: pd.DataFrame, rules: Split, target: str, seed: int, folder: Path) -> Dealt:
    """Writes the part of every row into an existing folder.

    Args:
        cleaned: The cleaned rows.
        sample: Some of them.
        rules: Strategy and shares.
        target: Column that is predicted.
        seed: Salts the hash.
        folder: Where.

    Raises:
        ConfigError: `split.column` holds no times.
        DataRejected: A part would be empty, or the column holds gaps or words that name no part.
    """
    rule, needed = _rule(cleaned, sample, rules, target, seed)
    counts, index, names = np.zeros(len(PARTS), dtype=np.int64), [], []
    told = (hashlib.sha256(), hashlib.sha256())
    kept = cleaned.stored - cleaned.out().total()
    with ArrayWriter(folder / FILE, kept, (), np.uint8) as writer:
        for ids, codes, chosen in mapped(partial(_deal, rule, cleaned.source), cleaned.pieces(needed)):
            writer.write(codes)
            counts += np.bincount(codes, minlength=len(PARTS))
            told[0].update(ids.tobytes())
            told[1].update(codes.tobytes())
            index.append(ids[chosen])
            names.append(np.array(PARTS)[codes[chosen]])
    if not counts.all():
        shown = ", ".join(f"{part} {count}" for part, count in zip(PARTS, counts, strict=True))
        raise DataRejected(
            f"split: {kept} rows would give {shown}, and no part may be empty",
            fix="use more rows, or change split.strategy, split.validation or split.test",
        )
    parts = pd.Series(np.concatenate(names), index=pd.Index(np.concatenate(index), name="row"), name="part")
    whole = digest([one.hexdigest() for one in told])
    return Dealt(parts, dict(zip(PARTS, counts.tolist(), strict=True)), whole)


def _deal(rule: Rule, source: int, piece: Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of a piece's rows, their codes into `PARTS`, uint8, and which of them are sampled."""
    dealt = [(ids, rule(batch).astype(np.uint8)) for ids, batch in piece.batches()]
    if not dealt:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.bool_)
    ids, codes = (np.concatenate(each) for each in zip(*dealt, strict=True))
    return ids, codes, hashing.sampled(ids, source)


def _rule(
    cleaned: Stream, sample: pd.DataFrame, rules: Split, target: str, seed: int
) -> tuple[Rule, list[str]]:
    """How a batch is dealt, and the columns that it takes."""
    if rules.strategy == "time":
        assert rules.column is not None
        return partial(_by_time, rules.column, _cuts(sample, rules)), [rules.column]
    if rules.strategy == "column":
        assert rules.column is not None
        return partial(_by_name, rules.column), [rules.column]
    columns = [rules.column] if rules.column else [name for name in cleaned.kinds if name != target]
    return partial(_by_hash, rules, columns, seed), columns


def _by_hash(rules: Split, columns: list[str], seed: int, batch: pa.Table) -> np.ndarray:
    if rules.column:
        _refuse_gaps(cells.missing(cells.of(batch, rules.column)), rules.column)
    at = hashing.shares(hashing.rows(batch, columns, seed))
    return np.select([at < rules.test, at < rules.test + rules.validation], [TEST, VALIDATION], TRAIN)


def _refuse_gaps(gaps: np.ndarray, name: str) -> None:
    if gaps.any():
        raise DataRejected(
            f"split.column: {quoted(name)} has no value in some rows",
            fix="fill them, or quarantine those rows by an expectation of the suite",
        )


def _cuts(sample: pd.DataFrame, rules: Split) -> np.ndarray:
    """Oldest to train, newest to test: the times between, (2,), by the sample."""
    name = str(rules.column)
    column = sample[name]
    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.Series(cells.numbers(pa.array(column, pa.timestamp("us"))))
    elif not pd.api.types.is_numeric_dtype(column):
        raise ConfigError(
            f"split.column: {quoted(name)} holds {column.dtype}, not times",
            fix=f"put {{types: {{{name}: date}}}} into clean",
        )
    left = 1 - rules.test
    return column.quantile([left - rules.validation, left], interpolation="lower").to_numpy()


def _by_time(name: str, cuts: np.ndarray, batch: pa.Table) -> np.ndarray:
    """Rows of one time stay together."""
    times = cells.numbers(cells.of(batch, name))
    _refuse_gaps(np.isnan(times), name)
    return np.select([times <= cuts[0], times <= cuts[1]], [TRAIN, VALIDATION], TEST)


def _by_name(name: str, batch: pa.Table) -> np.ndarray:
    """The parts that a column names."""
    column = cells.of(batch, name)
    if not cells.is_text(column):
        raise DataRejected(f"split.column: {quoted(name)} names no parts")
    known = [PARTS.index(t.lower()) if t.lower() in PARTS else -1 for t in column.dictionary.to_pylist()]
    codes = cells.by_text(column, np.array(known, dtype=np.int64), -1)
    if (codes < 0).any():
        raise DataRejected(
            f"split.column: {quoted(name)} names no part in some rows",
            fix="every row must say train, validation or test",
        )
    return codes
