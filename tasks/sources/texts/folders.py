"""A folder for each class, and in it one text a file, as UTF-8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tasks.config.data import TEXTS
from tasks.dataset import Dataset
from tasks.errors import DataFormatError, DataRejected
from tasks.records import FileRecord
from tasks.sources import files
from tasks.sources.files import Content
from tasks.sources.images import finding
from tasks.sources.loaded import Loaded
from tasks.store import digest

ROLE = "text of "


def contents(folder: Path, name: str) -> Iterator[Content]:
    """Each text's bytes, its role telling its class; class after class, in the order of names.

    Raises:
        DataRejected: Folders for train and test around the class folders; else as `finding.by_folder`.
        DataFormatError, ResourceLimit, UnsafeInput: As `finding.by_folder` and `files.read` raise them.
    """
    found = finding.by_folder(folder, name, what="text", endings=TEXTS)
    if found.rows["part"].any():
        raise DataRejected(
            f"{name}: texts in folders for train and test; expected a folder for each class",
            fix="name one of the two, or write JSON lines with a column for split.strategy: column",
        )
    for path in found.rows["path"]:
        # The folder's name as text, whatever type the labels get: it is what the fingerprint covers.
        yield Content(f"{ROLE}{Path(path).parent.as_posix()}", path, files.read(folder / path, path))


def load(parts: list[Content]) -> Loaded:
    """Columns `text` and `label`; labels are whole numbers where all names of folders are.

    Raises:
        DataFormatError: A file that is not UTF-8, or holds a zero byte.
    """
    labels = [part.role.removeprefix(ROLE) for part in parts]
    rows = pd.DataFrame({"text": pd.Series([_text(part) for part in parts], dtype="str")})
    rows["label"] = finding.typed(labels).array
    rows.index = pd.RangeIndex(len(rows), name="row")
    return Loaded(dataset=Dataset(rows), fingerprint=files.fingerprint(parts), files=_records(parts, labels))


def _text(part: Content) -> str:
    if b"\x00" in part.data:
        raise DataFormatError(f"{part.name}: holds a zero byte, so it is no text", fix="save it as UTF-8")
    try:
        return part.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = part.data.count(b"\n", 0, error.start) + 1
        raise DataFormatError(
            f"{part.name} line {line}: byte 0x{part.data[error.start]:02x} is no UTF-8",
            fix="save it as UTF-8",
        ) from None


def _records(parts: list[Content], labels: list[str]) -> tuple[FileRecord, ...]:
    """A record for each class folder: one for each of ten thousand files would tell no more."""
    grouped: dict[str, list[str]] = {}
    for label, part in zip(labels, parts, strict=True):
        grouped.setdefault(label, []).append(files.sha256(part.data))
    return tuple(FileRecord(name=label, rows=len(s), sha256=digest(s)) for label, s in grouped.items())
