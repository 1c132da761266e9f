"""MNIST's own format: images and labels of a training and a test set in four IDX files."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.config import IdxSource
from tasks.dataset import Dataset
from tasks.errors import DataFormatError, DataRejected, did_you_mean
from tasks.features.schema import ROW
from tasks.records import FileRecord
from tasks.sources import files
from tasks.sources.columns import check_label
from tasks.sources.files import Content
from tasks.sources.loaded import Loaded

ROLES = (
    ("train images", "train-images", 3),
    ("train labels", "train-labels", 1),
    ("test images", "t10k-images", 3),
    ("test labels", "t10k-labels", 1),
)
"""Role, begin of the file name and number of dimensions of each file."""

_UINT8 = 0x08


def contents(source: IdxSource, project: Path) -> Iterator[Content]:
    """The four files, in the order of `ROLES`, unpacked.

    `train-images-idx3-ubyte` and `train-images.idx3-ubyte` are both accepted, with or without
    `.gz`; of a file that lies there packed and unpacked, the unpacked one is read.

    Raises:
        ConfigError: Nothing is at the path.
        DataFormatError: One of the four is missing or can't be read.
        ResourceLimit: A file that is too large.
        UnsafeInput: A path or link out of the folder, a pipe or a device.
    """
    folder, name = files.locate(source.path, project), files.name_of(source.path)
    if not folder.is_dir():
        raise DataFormatError(f"{name}: got a file; expected a folder with the four IDX files")
    for role, begin, dimensions in ROLES:
        path = _find(folder, name, begin, dimensions)
        member = f"{name}/{path.name}"
        files.inside(path, folder, member)
        yield Content(role, member, files.read(path, member))


def _find(folder: Path, name: str, begin: str, dimensions: int) -> Path:
    stems = [f"{begin}{mark}idx{dimensions}-ubyte" for mark in "-."]
    for candidate in (f"{stem}{packed}" for packed in ("", ".gz") for stem in stems):
        if (folder / candidate).exists():
            return folder / candidate
    present = [files.shown(path.name) for path in folder.iterdir()]
    raise DataFormatError(
        f"{name}: {stems[0]} (or {stems[0]}.gz) is missing", fix=did_you_mean(stems[0], present)
    )


def load(parts: list[Content], target: str | None) -> Loaded:
    """Parses the four files.

    Returns:
        Training rows first, then test rows, told apart by the column `part`; `pixels` is uint8
        (n, height, width). Rows are counted to the image files; the label files show 0 rows.

    Raises:
        ConfigError: A target other than `label`.
        DataFormatError: A header or a payload that is not what it should be.
        DataRejected: Files that do not belong together.
    """
    check_label(target)
    train_images, train_labels, test_images, test_labels = parts
    train, train_label = _pair(train_images, train_labels)
    test, test_label = _pair(test_images, test_labels)
    if train.shape[1:] != test.shape[1:]:
        sizes = " and ".join(f"{h} x {w}" for h, w in (train.shape[1:], test.shape[1:]))
        raise DataRejected(
            f"{train_images.name} and {test_images.name}: pictures of {sizes} pixels; expected one size"
        )
    if train_images.data == test_images.data:
        raise DataRejected(
            f"{train_images.name} and {test_images.name}: the same pictures", fix="give a test set of its own"
        )
    pixels = np.concatenate([train, test])
    rows = describe(
        pixels,
        np.concatenate([train_label, test_label]).astype(np.int64),
        ["train"] * len(train) + ["test"] * len(test),
    )
    counts = (len(train), 0, len(test), 0)
    records = tuple(
        FileRecord(name=part.name, rows=count, sha256=files.sha256(part.data))
        for part, count in zip(parts, counts, strict=True)
    )
    return Loaded(dataset=Dataset(rows, pixels), fingerprint=files.fingerprint(parts), files=records)


def _pair(images: Content, labels: Content) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, height, width) and labels (n,), both uint8."""
    if images.data[:4] == bytes((0, 0, _UINT8, 1)) and labels.data[:4] == bytes((0, 0, _UINT8, 3)):
        raise DataRejected(
            f"{images.name} and {labels.name}: images and labels are swapped (1 and 3 dimensions)",
            fix="give each file the other's name",
        )
    pictures, names = parse(images, 3), parse(labels, 1)
    if len(pictures) != len(names):
        raise DataRejected(
            f"{labels.name}: {len(names):,} labels for the {len(pictures):,} images of {images.name}"
        )
    return pictures, names


def parse(content: Content, dimensions: int) -> np.ndarray:
    """The array of one IDX file of unsigned bytes.

    The header is two zero bytes, the type, the number of dimensions, then each dimension as four
    bytes, highest first (the format's description stands on MNIST's own page).

    Args:
        content: The file.
        dimensions: How many it must have: 3 for images, 1 for labels.

    Raises:
        DataFormatError: Names the header's field, what it holds and what it should.
        UnsafeInput: A pickle under an IDX name.
    """
    data, name = content.data, content.name
    files.refuse_foreign(data, name, "IDX data")
    _field(name, "length in bytes", len(data), f"at least {4 + 4 * dimensions}", len(data) >= 4)
    _field(name, "first two bytes", f"0x{data[:2].hex()}", "0x0000", data[:2] == b"\0\0")
    _field(name, "type", f"0x{data[2]:02x}", "0x08 (unsigned bytes)", data[2] == _UINT8)
    _field(name, "number of dimensions", data[3], dimensions, data[3] == dimensions)
    start = 4 + 4 * dimensions
    _field(name, "length in bytes", len(data), f"at least {start}", len(data) >= start)
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    for field, size in zip(("count", "rows", "columns"), shape, strict=False):
        _field(name, field, size, "at least 1", size > 0)
    wanted = math.prod(shape)  # Python's integers: a product of three 32-bit numbers can't wrap here
    if len(data) - start != wanted:
        sizes = " x ".join(f"{size:,}" for size in shape)
        raise DataFormatError(
            f"{name}: IDX payload: got {len(data) - start:,} bytes, expected {wanted:,} ({sizes})",
            fix="make or fetch the file again",
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _field(name: str, field: str, got: object, expected: object, holds: bool) -> None:
    if not holds:
        raise DataFormatError(
            f"{name}: IDX header: {field}: got {got}, expected {expected}", fix="name an IDX file"
        )


def describe(pixels: np.ndarray, labels: Any, parts: list[str]) -> pd.DataFrame:
    """Rows that describe pictures, indexed by row id.

    Args:
        pixels: uint8 (n, height, width) or (n, height, width, 3).
        labels: (n,).
        parts: "train", "test" or "" for each picture.

    Returns:
        `label`, `height` and `width` in pixels, `luminance` (mean of a picture's pixels, 0 to 255),
        `digest` (hash of its pixels, 32 hex digits) and `part`.
    """
    count, height, width = pixels.shape[:3]
    flat = np.ascontiguousarray(pixels).reshape(count, -1)
    digests = [hashlib.blake2b(row.data, digest_size=16).hexdigest() for row in flat]
    rows = {
        "label": labels,
        "height": np.full(count, height, np.int64),
        "width": np.full(count, width, np.int64),
        "luminance": flat.sum(axis=1, dtype=np.int64) / flat.shape[1],
        "digest": pd.Series(digests, dtype="str").array,
        "part": pd.Series(parts, dtype="str").array,
    }
    return pd.DataFrame(rows, index=pd.RangeIndex(count, name=ROW))
