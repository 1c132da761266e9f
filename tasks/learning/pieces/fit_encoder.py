"""Fit an encoder on more rows than are in memory: on the sample, put right by one pass over all.

Exact are gaps, means, spreads and ranges, classes and levels with their counts; a quantile, a median and a
skewness are those of the sampled train rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.config import Encode
from tasks.features.schema import series
from tasks.learning.encode import Encoder, TableInputs
from tasks.learning.features import Category, Number, numbers_of, standard_knots, texts_of
from tasks.learning.targets import Labels, Scale
from tasks.splitting import parts
from tasks.splitting.parts import TRAIN
from tasks.tables import cells, table
from tasks.tables.arrays import block
from tasks.tables.mapping import mapped
from tasks.tables.running_statistics import Levels, Moments
from tasks.tables.table import Piece, Table


@dataclass(frozen=True)
class TrainPiece:
    """The train rows of a piece.

    Attributes:
        piece: All of its rows.
        codes: The file that tells the part of every row.
        at: Where in it those of this piece begin.
    """

    piece: Piece
    codes: Path
    at: int

    def batches(self) -> Iterator[pa.Table]:
        """The rows, some at a time."""
        at = self.at
        for ids, batch in self.piece.batches():
            train = block(self.codes, at, at + len(ids)) == TRAIN
            at += len(ids)
            if train.any():
                yield batch.filter(pa.array(train))


def train_pieces(cleaned: Table, split: Path, columns: list[str]) -> Iterator[TrainPiece]:
    """The train rows, in pieces."""
    at = 0
    for piece in cleaned.pieces(columns):
        yield TrainPiece(piece, split / parts.CODES, at)
        at += piece.kept


def completed(encoder: Encoder, cleaned: Path, split: Path, target: str, how: Encode) -> Encoder:
    """Return the encoder that all train rows make, where `rows.parquet` is a sample; else the same."""
    rows = table.load(cleaned)
    return encoder if rows.whole else exact(encoder, rows, split, target, how)


def exact(encoder: Encoder, cleaned: Table, split: Path, target: str, how: Encode) -> Encoder:
    """The encoder that all train rows make, from the one that the sampled ones made.

    Raises:
        DataRejected: A category of too many levels, or a target that has no logarithm.
    """
    inputs = encoder.inputs
    if cleaned.whole or not isinstance(inputs, TableInputs):
        return encoder
    numbers, levels = ([each.name for each in some] for some in (inputs.numbers, inputs.categories))
    none = partial(_Seen, numbers, levels, target, classes=isinstance(encoder.target, Labels))
    seen = none()
    for piece in mapped(partial(_see, none), train_pieces(cleaned, split, [*numbers, *levels, target])):
        seen.include(piece)
    return Encoder(
        TableInputs(
            tuple(seen.numbers[number.name].corrected(number, how.numeric) for number in inputs.numbers),
            tuple(
                _category(seen.levels[category.name], gaps=seen.gaps[category.name] > 0)
                for category in inputs.categories
            ),
        ),
        seen.goal.corrected(encoder.target, how.target),
    )


def _see(none: Callable[[], _Seen], piece: TrainPiece) -> _Seen:
    """What is seen in one piece."""
    seen = none()
    for batch in piece.batches():
        seen.see(batch)
    return seen


class _Seen:
    """All that is counted in train rows."""

    def __init__(self, numbers: list[str], levels: list[str], target: str, *, classes: bool) -> None:
        self.numbers = {name: _Numbers() for name in numbers}
        self.levels = {name: Levels(name) for name in levels}
        self.gaps = dict.fromkeys(levels, 0)
        self.goal = _Goal(target, classes=classes)

    def see(self, batch: pa.Table) -> None:
        for name, seen in self.numbers.items():
            seen.see(numbers_of(series(cells.of(batch, name), coded=True)))
        for name, counted in self.levels.items():
            column = cells.of(batch, name)
            counted.see(column)
            self.gaps[name] += column.null_count
        self.goal.see(cells.of(batch, self.goal.name))

    def include(self, piece: _Seen) -> None:
        """Adds what was seen in the piece that follows."""
        for name, seen in self.numbers.items():
            seen.include(piece.numbers[name])
        for name, counted in self.levels.items():
            counted.include(piece.levels[name])
            self.gaps[name] += piece.gaps[name]
        self.goal.include(piece.goal)


class _Numbers:
    """Gaps and moments of one column."""

    def __init__(self) -> None:
        self.gaps, self.moments = 0, Moments()

    def see(self, found: np.ndarray) -> None:
        gone = np.isnan(found)
        count = int(gone.sum())
        self.gaps += count
        self.moments += Moments.of(found[~gone] if count else found)

    def include(self, piece: _Numbers) -> None:
        self.gaps += piece.gaps
        self.moments += piece.moments

    def corrected(self, number: Number, how: str) -> Number:
        number = replace(number, indicator=self.gaps > 0 and self.moments.count > 0)
        if how != "standard" or not self.moments.count:
            return number
        center = self.moments.mean
        return replace(number, knots=standard_knots(center, self.moments.spread()))


class _Goal:
    """Classes of the target, or moments of it and of its logarithm."""

    def __init__(self, name: str, *, classes: bool) -> None:
        self.name = name
        self.levels = Levels(name) if classes else None
        self.plain, self.logarithm = Moments(), Moments()

    def see(self, column: pa.Array) -> None:
        if self.levels is not None:
            self.levels.see(column)
            return
        found = numbers_of(series(column, coded=True))
        self.plain += Moments.of(found)
        if self.plain.low > 0:
            self.logarithm += Moments.of(np.log(found))

    def include(self, piece: _Goal) -> None:
        if self.levels is not None and piece.levels is not None:
            self.levels.include(piece.levels)
        self.plain += piece.plain
        self.logarithm += piece.logarithm

    def corrected(self, known: Labels | Scale, how: str) -> Labels | Scale:
        if isinstance(known, Labels):
            assert self.levels is not None
            classes = sorted(self.levels.counts)
            return Labels(tuple(classes), tuple(self.levels.counts[label] for label in classes))
        # Where the sample held no number below zero and the rest does, there is no logarithm.
        log = known.log and self.plain.low > 0
        if known.log and how == "log":
            Scale.fit(pd.Series([self.plain.low]), how)
        seen = self.logarithm if log else self.plain
        return Scale(log, seen.mean, seen.spread() or 1.0, self.plain.low, self.plain.high)


def _category(counted: Levels, *, gaps: bool) -> Category:
    counts = dict[str, int]()
    for value, text in zip(counted.counts, _texts(list(counted.counts)), strict=True):
        counts[text] = counted.counts[value]
    levels = tuple(sorted(counts, key=lambda level: (-counts[level], level)))
    return Category(counted.name, levels, gaps)


def _texts(found: list[object]) -> list[str]:
    return list(map(str, texts_of(pd.Series(found)))) if found else []
