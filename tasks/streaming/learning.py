"""What an encoder learns from a table beyond memory: fitted on the sample, put right by one pass over all.

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
from tasks.learning.encode import Encoder, TableInputs
from tasks.learning.features import MISSING, Category, Number, numbers_of, texts_of
from tasks.learning.targets import Labels, Scale
from tasks.splitting.parts import TRAIN
from tasks.streaming import cells, dealing, stream
from tasks.streaming.arrays import block
from tasks.streaming.counting import Levels, Moments
from tasks.streaming.mapping import mapped
from tasks.streaming.stream import Piece, Stream


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


def train_pieces(cleaned: Stream, split: Path, columns: list[str]) -> Iterator[TrainPiece]:
    """The train rows, in pieces."""
    at = 0
    for piece in cleaned.pieces(columns):
        yield TrainPiece(piece, split / dealing.FILE, at)
        at += piece.kept


def train_rows(cleaned: Stream, split: Path, columns: list[str]) -> Iterator[pa.Table]:
    """The train rows, in batches."""
    for piece in train_pieces(cleaned, split, columns):
        yield from piece.batches()


def completed(encoder: Encoder, cleaned: Path, split: Path, target: str, how: Encode) -> Encoder:
    """The encoder that all train rows make, where those of a step's folder are a sample; else the same."""
    if not dealing.streamed(split):
        return encoder
    return exact(encoder, stream.load(cleaned), split, target, how)


def exact(encoder: Encoder, cleaned: Stream, split: Path, target: str, how: Encode) -> Encoder:
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
            tuple(_category(seen.levels[category.name]) for category in inputs.categories),
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
        self.goal = _Goal(target, classes=classes)

    def see(self, batch: pa.Table) -> None:
        for name, seen in self.numbers.items():
            seen.see(values(cells.of(batch, name)))
        for name, counted in self.levels.items():
            counted.see(cells.of(batch, name))
        self.goal.see(cells.of(batch, self.goal.name))

    def include(self, piece: _Seen) -> None:
        """Adds what was seen in the piece that follows."""
        for name, seen in self.numbers.items():
            seen.include(piece.numbers[name])
        for name, counted in self.levels.items():
            counted.include(piece.levels[name])
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
        return replace(number, knots=(center, center + (self.moments.spread() or 1.0)))


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
        found = values(column)
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


def _category(counted: Levels) -> Category:
    counts = dict[str, int]()
    for value, text in zip(counted.counts, _texts(list(counted.counts)), strict=True):
        counts[text] = counted.counts[value]
    return Category(counted.name, tuple(sorted(counts, key=lambda level: (-counts[level], level))))


def _texts(found: list[object]) -> list[str]:
    return list(map(str, texts_of(pd.Series(found)))) if found else []


def values(column: pa.Array) -> np.ndarray:
    """A column as an encoder takes numbers: float64 (n,), NaN for missing; dates count days."""
    if cells.is_text(column):
        return cells.by_text(column, numbers_of(column.dictionary.to_pandas()), np.nan)
    return cells.numbers(column)


def levels_of(category: Category, column: pa.Array) -> np.ndarray:
    """A column as codes, int64 (n,), like `Category.encode`; each value of the batch is looked up once."""
    column = column if cells.is_text(column) else column.dictionary_encode()
    return cells.by_text(column, category.encode(texts_of(column.dictionary.to_pandas())), MISSING)


def encode(inputs: TableInputs, batch: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, p) float32 and codes (n, q) int32: what `TableInputs.encode` makes of a batch's frame."""
    numbers = np.empty((batch.num_rows, inputs.width), dtype=np.float32)
    at = 0
    for number in inputs.numbers:
        found = values(cells.of(batch, number.name))
        numbers[:, at] = number.encode(found)
        if number.indicator:
            numbers[:, at + 1] = np.isnan(found)
        at += 1 + number.indicator
    codes = np.empty((batch.num_rows, len(inputs.categories)), dtype=np.int32)
    for j, category in enumerate(inputs.categories):
        codes[:, j] = levels_of(category, cells.of(batch, category.name))
    return numbers, codes
