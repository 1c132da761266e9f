"""Answers for every row of a file or folder, so many rows at a time.

The model takes raw rows, its preprocessing inside. Tables and pictures are read in pieces, so that
memory does not grow with their number; IDX files are read as a whole and answered in pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flows.scoring import answers
from flows.scoring.chosen import choose
from tasks import sources
from tasks.config import Columns, Config, IdxSource
from tasks.errors import ConfigError, DataRejected, quoted
from tasks.learning import scoring
from tasks.records import ModelVersion
from tasks.sources import images, pieces

ROWS = 8 * scoring.BATCH
"""Rows of a piece: whole batches, so that each row is computed beside the same ones in any piece size.

A matrix product may round otherwise in a batch of another size."""
CELLS = 4_000_000
"""Cells of a piece, roughly: a wide table gets shorter pieces."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was written: `rows` lines, `bad` of them with an error instead of an answer.

    `bounded` says whether a predicted number came with its interval; None for labels. `unfamiliar` counts,
    for each column, categories that training never saw and gaps where it saw none.
    """

    output: Path
    model: ModelVersion
    rows: int
    bad: int
    bounded: bool | None
    unfamiliar: Mapping[str, int] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """What the model had to answer without having seen the like; empty where that is nothing."""
        if not self.unfamiliar:
            return ""
        told = ", ".join(f"{quoted(name)} {count:,}" for name, count in self.unfamiliar.items())
        return f"values unlike any in training (new categories, or gaps where there were none): {told}"

    @property
    def sentence(self) -> str:
        """What was written, as one line."""
        bad = f", {self.bad:,} of them with an error" if self.bad else ""
        return f"{self.rows:,} rows{bad}, by {self.model.name} version {self.model.version}, in {self.output}"

    def document(self, project: str) -> dict[str, Any]:
        """The JSON document of the command line."""
        return {
            "project": project,
            "model": {"name": self.model.name, "version": self.model.version},
            "output": str(self.output),
            "rows": self.rows,
            "bad": self.bad,
            "unfamiliar": dict(self.unfamiliar),
        }


def predict(
    config: Config,
    root: Path,
    source: Path,
    output: Path,
    *,
    version: int | None = None,
    force: bool = False,
    tell: Callable[[int], None] = lambda _: None,
) -> Predicted:
    """Writes one line an input row, in order.

    The columns are `prediction`; `probability` of that label, or `low` and `high` around that number
    if the version carries an interval; `model_version`; `error`. A folder of tables, and pictures, add
    `file`.

    Args:
        config: The project, which names the model.
        root: The checkout.
        source: A table or a folder of tables; for a model of images a folder of IDX files, a picture, or
            a folder with pictures at any depth.
        output: A file that ends in `.csv` or `.parquet`.
        version: Version of the model; the champion when absent.
        force: Whether a file that is there may be replaced.
        tell: Is given the number of rows of each piece that was answered.

    Raises:
        ConfigError: The output is refused, nothing is at `source`, or there is no champion yet.
        DataError: The data can't be read, or lacks a column that the model needs; nothing is written.
    """
    answers.check_output(output, source, force=force)
    known = choose(config.register_as.name, root, version)
    model, found = scoring.load(known.folder), known.model
    rows = bad = 0
    unfamiliar = Counter[str]()
    schema = answers.columns(model.manifest, known.interval, folder=_has_names(source, model.manifest))
    with answers.writing(output, schema) as write:
        for file, data, unread in _pieces(source, model.manifest):
            predictions, errors = model.predict_each(data)
            errors |= unread
            unfamiliar.update(predictions.unfamiliar)
            write(
                answers.table(
                    schema, predictions, errors, version=found.version, interval=known.interval, file=file
                )
            )
            rows, bad = rows + len(data), bad + len(errors)
            tell(len(data))
    bounded = None if model.manifest["classes"] is not None else known.interval is not None
    return Predicted(
        output=output, model=found, rows=rows, bad=bad, bounded=bounded, unfamiliar=dict(unfamiliar)
    )


def _has_names(source: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether the input is more than one file, so that each row has to say from which it comes."""
    return source.is_dir() if manifest["columns"] is not None else not _is_idx(source)


def _is_idx(source: Path) -> bool:
    return source.is_dir() and any("ubyte" in path.name for path in source.iterdir())


_Piece = tuple[str | list[str], pa.Table | np.ndarray, Mapping[int, str]]


def _pieces(source: Path, manifest: Mapping[str, Any]) -> Iterator[_Piece]:
    """The file of some raw rows and these, or images (n, height, width[, 3]) uint8 with each one's file.

    Then what of them could not be read, by position, with the reason.
    """
    if manifest["columns"] is None:
        yield from _images(source, manifest["image_shape"])
        return
    names = [column["name"] for column in manifest["columns"]]
    rows = _rows_of(len(names))
    for path in pieces.members(source):
        for cells in pieces.read(path, pieces.name_of(path, source), names, rows):
            yield path.name, cells, {}


def _rows_of(columns: int) -> int:
    batches = CELLS // (max(columns, 1) * scoring.BATCH)
    return min(max(batches, 1) * scoring.BATCH, ROWS)


def _images(source: Path, shape: list[int]) -> Iterator[_Piece]:
    if not source.exists():
        raise ConfigError(f"{quoted(str(source))}: no such file or folder")
    if not _is_idx(source):
        for names, decoded in images.pieces(source, shape, ROWS):
            yield names, decoded.pixels, decoded.errors
        return
    place = source.resolve()
    loaded = sources.read(IdxSource(kind="idx", path=str(place)), place.parent, None, Columns())
    pixels = loaded.dataset.pixels
    if pixels is None or list(pixels.shape[1:]) != list(shape):
        got = "no images" if pixels is None else f"{list(pixels.shape[1:])} pixels"
        raise DataRejected(f"{source}: got {got}; the model takes {shape}")
    for start in range(0, len(pixels), ROWS):
        yield source.name, pixels[start : start + ROWS], {}
