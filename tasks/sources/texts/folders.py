"""A folder for each class, and in it one text a file, as UTF-8; perhaps in folders for train and test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tasks.config.data import TEXTS
from tasks.dataset import Dataset
from tasks.errors import DataFormatError
from tasks.features.schema import ROW
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
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As `finding.by_folder` and `files.read`
            raise them.
    """
    found = finding.by_folder(folder, name, what="text", endings=TEXTS)
    for path, part in zip(found.rows["path"], found.rows["part"], strict=True):
        # The folder's name as text, whatever type the labels get: it is what the fingerprint covers.
        role = "/".join(filter(None, (part, Path(path).parent.name)))
        yield Content(f"{ROLE}{role}", path, files.read(folder / path, path))


def load(parts: list[Content]) -> Loaded:
    """Columns `text` and `label`, and `part` where there is an official split.

    Labels are whole numbers where all names of folders are.

    Raises:
        DataFormatError: A file that is not UTF-8, or holds a zero byte.
    """
    roles = [part.role.removeprefix(ROLE) for part in parts]
    labels = [role.rpartition("/")[2] for role in roles]
    rows = pd.DataFrame({"text": pd.Series([_text(part) for part in parts], dtype="str")})
    rows["label"] = finding.typed(labels).array
    if "/" in roles[0]:
        rows["part"] = pd.Series([role.partition("/")[0] for role in roles], dtype="str")
    rows.index = pd.RangeIndex(len(rows), name=ROW)
    return Loaded(dataset=Dataset(rows), fingerprint=files.fingerprint(parts), files=_records(parts, roles))


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


def _records(parts: list[Content], roles: list[str]) -> tuple[FileRecord, ...]:
    """A record for each class folder: one for each of ten thousand files would tell no more."""
    grouped: dict[str, list[str]] = {}
    for role, part in zip(roles, parts, strict=True):
        grouped.setdefault(role, []).append(files.sha256(part.data))
    return tuple(FileRecord(name=role, rows=len(s), sha256=digest(s)) for role, s in grouped.items())
