"""Training on more rows than fit into memory: encoded once into files, read in shuffled blocks.

Blocks of neighbouring rows are drawn in random order until a window is full; its rows are shuffled, and what
does not fill a batch goes into the next window. Order comes from the epoch's seed alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tasks.features.schema import frame, series
from tasks.learning import hooks
from tasks.learning.encode import Encoder, TableInputs
from tasks.learning.pieces import fit_encoder
from tasks.learning.targets import Labels
from tasks.learning.training import Examples
from tasks.splitting import parts
from tasks.splitting.parts import TRAIN
from tasks.store import write_json
from tasks.tables import rowgroups, table
from tasks.tables.arrays import ArrayWriter, block
from tasks.tables.mapping import mapped
from tasks.tables.table import Table

DONE = "shards.json"
BLOCK = 4096
"""Rows that stay neighbours until they are in a window."""
SHARE = 8
"""A window takes an eighth of the memory that may be taken; the rest is for what else a training holds."""


def completed(
    sample: Examples, cleaned: Path, split: Path, encoder: Encoder, target: str, place: Path
) -> Examples:
    """All train rows for the training loop, where those of a step's folder are a sample; else the same.

    Raises:
        ConfigError: `fit.bagging`, which deals rows that are in memory.
    """
    rows = table.load(cleaned)
    if rows.in_memory:
        return sample
    if sample.own is not None:
        raise rowgroups.in_memory("fit.bagging")
    return examples(rows, split, encoder, target, sample, place)


def examples(
    cleaned: Table, split: Path, encoder: Encoder, target: str, sample: Examples, place: Path
) -> Examples:
    """The train rows as the training loop takes them.

    Args:
        cleaned: The cleaned rows.
        split: Folder of the split.
        encoder: Fitted on all train rows.
        target: Column that is predicted.
        sample: Some of the train rows, encoded.
        place: Folder for the encoded rows; whole ones of the same encoder are taken up.
    """
    assert isinstance(encoder.inputs, TableInputs), "only tables are streamed"
    if _stored(place) != encoder.state_hash:
        _write(cleaned, split, encoder, encoder.inputs, target, place)
    assert cleaned.memory_mb is not None, "a table in memory is trained on as it is"
    return Shards.open(place, cleaned.memory_mb * 2**20 // SHARE, sample)


def _stored(place: Path) -> str | None:
    """Hash of the encoder whose rows lie at `place`, if they are whole."""
    try:
        return str(json.loads((place / DONE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _write(rows: Table, split: Path, encoder: Encoder, inputs: TableInputs, target: str, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / DONE).unlink(missing_ok=True)
    count = parts.count(split, TRAIN)
    kind = np.int64 if isinstance(encoder.target, Labels) else np.float32
    columns = [*(number.name for number in inputs.numbers), *(c.name for c in inputs.categories), target]
    with (
        ArrayWriter(place / "numbers.npy", count, (inputs.width,), np.float32) as numbers,
        ArrayWriter(place / "codes.npy", count, (len(inputs.categories),), np.int32) as levels,
        ArrayWriter(place / "targets.npy", count, (), kind) as targets,
    ):
        pieces = fit_encoder.train_pieces(rows, split, list(dict.fromkeys(columns)))
        for encoded in chain.from_iterable(mapped(partial(_encode, encoder, inputs, target), pieces)):
            for file, found in zip((numbers, levels, targets), encoded, strict=True):
                file.write(found)
    write_json(place / DONE, encoder.state_hash)


def _encode(
    encoder: Encoder, inputs: TableInputs, target: str, piece: fit_encoder.TrainPiece
) -> list[tuple[np.ndarray, ...]]:
    """Numbers, codes and targets of each batch of a piece's train rows."""
    encoded: list[tuple[np.ndarray, ...]] = []
    for batch in piece.batches():
        rows = frame(batch, coded=True)
        numbers, codes = inputs.encode(rows)
        encoded.append((numbers, codes.astype(np.int32), encoder.target.encode(series(batch.column(target)))))
    return encoded


class _Column:
    """One array of the rows in the window, which a batch is taken from."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.window = torch.empty(0)

    def __getitem__(self, rows: Tensor) -> Tensor:
        taken = self.window[rows]
        return taken.long() if taken.dtype == torch.int32 else taken


@dataclass(frozen=True)
class Shards(Examples):
    """Encoded examples in files. Batches have to be used in their order, each before the next is drawn.

    Attributes:
        place: Folder of the arrays.
        rows: Examples.
        window: Examples of a window, whole blocks.
        block: Examples of a block.
        sample: Some of the examples, in memory.
    """

    place: Path = field(default=Path())
    rows: int = 0
    window: int = BLOCK
    block: int = BLOCK
    sample: Examples | None = None

    @staticmethod
    def open(place: Path, size: int, sample: Examples) -> Shards:
        """Examples whose window takes `size` bytes at most, or one block."""
        arrays = [np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _NAMES]
        each = sum(array.dtype.itemsize * math.prod(array.shape[1:]) for array in arrays)
        window = max(1, size // each // BLOCK) * BLOCK
        columns = tuple(_Column() for _ in _NAMES)
        return Shards(
            inputs=cast(Any, columns[:-1]), targets=cast(Any, columns[-1]),
            place=place, rows=len(arrays[-1]), window=window, block=BLOCK, sample=sample,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.rows

    def __add__(self, other: Examples) -> Examples:
        raise rowgroups.in_memory("fit.refit")

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum((self.place / f"{name}.npy").stat().st_size for name in _NAMES)

    @property
    def shown(self) -> Examples:
        """What a network may look at before the first epoch."""
        assert self.sample is not None
        return self.sample

    def to(self, device: str) -> Examples:  # noqa: ARG002 - as is its promise
        """The same examples: they are never on a device as a whole, a batch is copied there."""
        return self

    def batches(self, size: int, long: Tensor | None) -> Iterator[Tensor]:  # noqa: ARG002 - as is its promise
        """Positions in the window of every example once, in random batches; moves the window on its way.

        What is random is drawn from torch's own generator now, whatever is drawn from it before the end.
        """
        return self._batches(size, torch.Generator().manual_seed(int(torch.randint(2**62, ()))))

    def _batches(self, size: int, order: torch.Generator) -> Iterator[Tensor]:
        starts = torch.randperm(math.ceil(self.rows / self.block), generator=order) * self.block
        held = [torch.empty(0)] * len(_NAMES)
        windows = torch.split(starts, self.window // self.block)
        for number, chosen in enumerate(windows, start=1):
            self._move(held, chosen.tolist())
            batches = list(hooks.batches(len(self._columns[-1].window), size, None, order))
            whole = number == len(windows) or len(batches[-1]) == size
            yield from batches if whole else batches[:-1]
            left = batches[-1][:0] if whole else batches[-1]
            held = [column.window[left] for column in self._columns]
            del batches  # a position takes eight bytes, a tenth of a row

    @property
    def _columns(self) -> tuple[_Column, ...]:
        return cast(tuple[_Column, ...], (*self.inputs, self.targets))

    def _move(self, held: list[Tensor], starts: list[int]) -> None:
        """Fills the window with the rows that are held and the blocks that begin at `starts`."""
        spans = [(start, min(start + self.block, self.rows)) for start in starts]
        for name, column, left in zip(_NAMES, self._columns, held, strict=True):
            column.window = left  # before the next is made: there is memory for one
            column.window = _filled(self.place / f"{name}.npy", left, spans)


def _filled(path: Path, left: Tensor, spans: list[tuple[int, int]]) -> Tensor:
    """The rows that are left, then those of a file's blocks, each from one row to another."""
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    at = len(left)
    made = np.empty((at + sum(end - start for start, end in spans), *stored.shape[1:]), dtype=stored.dtype)
    made[:at] = left.numpy().reshape(at, *stored.shape[1:])
    for start, end in spans:
        made[at : at + end - start] = block(path, start, end)
        at += end - start
    return torch.from_numpy(made)


_NAMES = ("numbers", "codes", "targets")
"""The arrays: inputs, then what they lead to."""
