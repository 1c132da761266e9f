"""Pictures that a table lists: a CSV or TSV file beside them, with a column of paths and one of labels."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from tasks.config import Columns, ImagesSource
from tasks.dataset import DESCRIPTIVE
from tasks.errors import DataRejected, UnsafeInput, did_you_mean, quoted
from tasks.records import Finding
from tasks.sources import files, table
from tasks.sources.files import Content
from tasks.sources.images.finding import PARTS, Found, check_count

_ENDINGS = (".csv", ".tsv")


def within(folder: Path, source: ImagesSource) -> list[Path]:
    """The tables in a folder whose first line has the column of paths; any other that lies there is none."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS and path.is_file())
    return sorted(path for path in found if path.name[0] != "." and source.file in _header(path))


def _header(path: Path) -> list[str]:
    begin = next(files.chunks(path, files.shown(path.name), 2**16), b"")
    line = begin.decode("utf-8-sig", "replace").partition("\n")[0].strip()
    return [name.strip('"') for name in line.split("\t" if path.suffix.lower() == ".tsv" else ",")]


def listed(path: Path, name: str, source: ImagesSource, *, labelled: bool) -> Found:
    """The pictures that a manifest lists, in its order; their paths start from its folder.

    Args:
        path: The manifest. A column `part` of `train` and `test` is an official split.
        name: The manifest, for messages.
        source: Names the columns.
        labelled: Whether there have to be labels.

    Raises:
        DataFormatError: It can't be read as a table.
        DataRejected: A column is missing, or a row has no path.
        ResourceLimit: More rows than pictures may be.
        UnsafeInput: A path or a link out of its folder, or a line break in a path.
    """
    content = Content("manifest", name, files.read(path, name))
    loaded = table.load([content], None, Columns(categorical=(source.file,)))
    rows = loaded.dataset.rows.reset_index(drop=True)
    for key, column in (("file", source.file), ("label", source.label)):
        if column not in rows.columns and (labelled or key == "file"):
            fix = did_you_mean(column, rows.columns)
            raise DataRejected(f"{name}: no column {quoted(column)}, which source.{key} names", fix=fix)
    check_count(len(rows), name)
    _check_paths(rows[source.file], path.parent, name)
    given = rows["part"].fillna("") if "part" in rows.columns else pd.Series("", index=rows.index)
    splits = given.isin(["", *PARTS]).all()
    kept = {"path": rows[source.file].astype("str")}
    kept |= {"label": rows[source.label]} if source.label in rows.columns else {}
    kept["part"] = (given if splits else pd.Series("", index=rows.index)).astype("str")
    used = {source.file, source.label, *(("part",) if splits else ())}
    others = [column for column in rows.columns if column not in used]
    clash = [column for column in others if column in (*DESCRIPTIVE, "label")]
    kept |= {column: rows[column] for column in others if column not in clash}
    findings = (*loaded.findings, *(_unused(column, name) for column in clash))
    return Found(path.parent, pd.DataFrame(kept), ((".", len(rows)),), content, findings)


def _unused(column: str, name: str) -> Finding:
    message = f"column {quoted(column)} of {name} is not used: a column that describes pictures has its name"
    return Finding(rule="manifest column", severity="warn", message=message, column=column)


def _check_paths(paths: pd.Series, root: Path, name: str) -> None:
    real, folders = root.resolve(), dict[PurePosixPath, Path]()  # resolving each path takes ten times as long
    for row, path in enumerate(paths, start=1):
        if not isinstance(path, str):
            raise DataRejected(f"{name} row {row}: no path of a picture", fix="fill it in or delete the row")
        if not path.isprintable():
            raise UnsafeInput(f"{name} row {row}: {quoted(path)} holds a character that is not printable")
        given = PurePosixPath(path)
        if given.parent not in folders:
            folders[given.parent] = (real / given.parent).resolve()
        place = folders[given.parent] / given.name
        place = place.resolve() if place.is_symlink() else place
        if given.is_absolute() or ".." in given.parts or not place.is_relative_to(real):
            raise UnsafeInput(
                f"{name} row {row}: {quoted(path)} leads out of the manifest's folder",
                fix="give paths from the manifest's folder on, without '..'",
            )
