"""The pictures below a folder, and their labels where it holds a folder for each class.

Only names are looked at, so that whatever is wrong with the structure is told before any picture is
opened.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks.config.data import PICTURES
from tasks.errors import DataRejected, ResourceLimit, UnsafeInput, quoted
from tasks.records import Finding
from tasks.sources import files
from tasks.sources.files import Content

MAX_FILES = 1_000_000
PARTS = ("train", "test")
"""Folders of an official split, and the words for it."""
VALIDATION = ("validation", "valid", "val")
"""A third folder of such a split: more to train on where there is a test set, else the test set."""

_COLUMNS = {"picture": "paths", "text": "texts"}
_LITTER = ("thumbs.db", "desktop.ini")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Found:
    """The pictures of a source.

    Attributes:
        root: The folder that all paths start from.
        rows: One row a picture: `path` (relative to `root`), `label` (unless the manifest has none),
            `part`, then the manifest's other columns.
        groups: Folders in row order, each with its number of pictures; `.` is `root` itself.
        manifest: The file that names them.
        findings: Columns of the manifest that can't be used.
    """

    root: Path
    rows: pd.DataFrame
    groups: tuple[tuple[str, int], ...]
    manifest: Content | None = None
    findings: tuple[Finding, ...] = ()


def by_folder(root: Path, name: str, *, what: str = "picture", endings: Collection[str] = PICTURES) -> Found:
    """The pictures of class folders, in the order of names; those of `train` before those of `test`.

    Args:
        root: A folder with a folder for each class, or with the two of an official split that hold these.
        name: The folder, for messages.
        what: What the files are, for messages.
        endings: By which such a file is known where it should not lie.

    Raises:
        DataRejected: No class folder or one, an empty one, pictures beside or folders within them, names
            that differ by case alone.
        ResourceLimit: More files than `MAX_FILES`.
        UnsafeInput: A way out of the folder, a pipe or device, a line break in a name.
    """
    top = _entries(root, root, name)
    folders = [entry.name for entry in top if entry.is_dir()]
    _check_beside(top, name, what, endings)
    groups, labels, parts, paths = [], [], [], []
    for inner, part in _official(folders).items():
        for label, members in _classes(
            root / inner, root, f"{name}/{inner}" if inner else name, what, endings
        ):
            groups.append((f"{inner}/{label}" if inner else label, len(members)))
            labels += [label] * len(members)
            parts += [part] * len(members)
            paths += [f"{groups[-1][0]}/{member}" for member in members]
            check_count(len(paths), name)
    if len(set(labels)) < 2:
        told = f"one class folder, {quoted(labels[0])}" if labels else "no class folder"
        raise DataRejected(
            f"{name}: holds {told}; expected a folder for each class, with its {what}s inside",
            fix=f"add the others, or a table (CSV) with a column of {_COLUMNS[what]} and one of labels",
        )
    columns = {"path": paths, "label": typed(labels), "part": parts}
    rows = pd.DataFrame({key: pd.Series(values).array for key, values in columns.items()})
    return Found(root, rows.astype({"path": "str", "part": "str"}), tuple(groups))


def _official(folders: Sequence[str]) -> dict[str, str]:
    """The folders of an official split with the part that each is, train first; else the root alone."""
    if not folders or not set(folders) <= {*PARTS, *VALIDATION}:
        return {"": ""}
    third = dict.fromkeys(VALIDATION, "train" if "test" in folders else "test")
    parts = {"train": "train", **third, "test": "test"}
    return {folder: part for folder, part in parts.items() if folder in folders}


def _classes(
    folder: Path, root: Path, name: str, what: str, endings: Collection[str]
) -> Iterator[tuple[str, list[str]]]:
    """Each class folder's name and the names of its files."""
    entries = _entries(folder, root, name)
    _check_beside(entries, name, what, endings)
    labels = [entry.name for entry in entries if entry.is_dir()]
    alike: dict[str, str] = {}
    for label in labels:
        if label == "__MACOSX":
            raise DataRejected(
                f"{name}/{label}: no class, but what macOS leaves in archives", fix="delete it"
            )
        key = unicodedata.normalize("NFC", label).casefold()
        if key in alike:
            told = f"{quoted(alike[key])} and {quoted(label)}"
            raise DataRejected(f"{name}: the class folders {told} differ by case alone", fix="rename one")
        alike[key] = label
        members = _entries(folder / label, root, f"{name}/{label}")
        if inner := next((entry.name for entry in members if entry.is_dir()), None):
            raise DataRejected(
                f"{name}/{label}/{inner}: a folder within a class folder",
                fix=f"put its {what}s into the class folder, or list all in a table",
            )
        if not members:
            raise DataRejected(f"{name}/{label}: the class folder is empty", fix="fill or delete it")
        yield label, [entry.name for entry in members]


def _check_beside(
    entries: Sequence[os.DirEntry[str]], name: str, what: str, endings: Collection[str]
) -> None:
    stray = [e.name for e in entries if e.is_file() and Path(e.name).suffix.lower() in endings]
    if stray:
        raise DataRejected(
            f"{name}/{stray[0]}: a {what} beside class folders, of no class ({len(stray):,} of them)",
            fix=f"put each {what} into the folder of its class, or list all in a table",
        )


def typed(labels: list[str]) -> pd.Series:
    """Names of folders as labels: whole numbers where all are, as IDX files have them; else text."""
    if all(_WHOLE.fullmatch(label) for label in dict.fromkeys(labels)):
        return pd.Series(list(map(int, labels)), dtype="int64")
    return pd.Series(labels, dtype="str")


def members(folder: Path) -> list[str]:
    """Every file below a folder, as paths relative to it, in order; hidden ones are left out.

    Raises:
        ResourceLimit, UnsafeInput: As for `by_folder`.
    """
    found: list[str] = []
    waiting = [""]
    while waiting:
        inner = waiting.pop()
        for entry in _entries(folder / inner, folder, f"{folder.name}/{inner}".rstrip("/")):
            path = f"{inner}{entry.name}"
            waiting.append(f"{path}/") if entry.is_dir(follow_symlinks=False) else found.append(path)
        check_count(len(found), files.shown(folder.name))
    return sorted(found)


def _entries(folder: Path, root: Path, name: str) -> list[os.DirEntry[str]]:
    """What lies in a folder, in order of names, less what is hidden; refuses what could lead elsewhere."""
    with os.scandir(folder) as scanned:
        kept = [e for e in scanned if e.name[0] != "." and e.name.lower() not in _LITTER]
    for entry in kept:
        if not entry.name.isprintable():
            raise UnsafeInput(
                f"{name}: the name {quoted(entry.name)} holds a character that is not printable",
                fix="rename it",
            )
        if entry.is_symlink():
            _check_link(Path(entry.path), root, f"{name}/{entry.name}")
        if not (entry.is_file() or entry.is_dir()):
            raise UnsafeInput(f"{name}/{entry.name}: neither a file nor a folder", fix="remove it")
    return sorted(kept, key=lambda entry: entry.name)


def _check_link(path: Path, root: Path, name: str) -> None:
    try:
        files.inside(path, root, name)
    except (OSError, RuntimeError):  # a link that leads to itself
        raise UnsafeInput(f"{name}: a link that leads nowhere", fix="remove it") from None


def check_count(count: int, name: str) -> None:
    """Refuses more pictures than a source may have."""
    if count > MAX_FILES:
        raise ResourceLimit(f"{name}: holds more than {MAX_FILES:,} files", fix="take a sample")
