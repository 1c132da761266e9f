"""Tables: CSV or TSV, gzip or not, a Parquet file, or a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tasks.config import Columns, TableSource
from tasks.errors import DataFormatError, DataRejected, UnsafeInput
from tasks.records import FileRecord, Finding
from tasks.sources import delimited, files, parquet, typed
from tasks.sources.columns import check_target
from tasks.sources.files import Content
from tasks.sources.loaded import Loaded

PARQUET = (".parquet", ".pq")
TABS = (".tsv", ".tab")
TEXT = (".csv", ".txt", *TABS)


def contents(source: TableSource, project: Path) -> Iterator[Content]:
    """The files of a table, in row order, read. Raises what `places` and `files.read` do."""
    for role, name, path in places(source, project):
        # Packed data under an unpacked name is refused when it is parsed, so it stays as it is here.
        packed = path.suffix.lower() not in (*TEXT, *PARQUET)
        yield Content(role, name, files.read(path, name, unpack=packed))


def digests(source: TableSource, project: Path) -> list[tuple[str, str]] | None:
    """Role and sha256 of each file of a table that is all Parquet, however large; None for another.

    Raises:
        ConfigError, DataFormatError, DataRejected, UnsafeInput: As for `places`.
    """
    found = list(places(source, project))
    if any(path.suffix.lower() not in PARQUET for _, _, path in found):
        return None
    return [(role, files.sha256_at(path, name)) for role, name, path in found]


def places(source: TableSource, project: Path) -> Iterator[tuple[str, str, Path]]:
    """Role, name and path of each file of a table, in row order: the order of their names.

    Raises:
        ConfigError: Nothing is at the path.
        DataFormatError: A file that can't be read, or a folder without any.
        DataRejected: Something in the folder that is no Parquet file.
        ResourceLimit: A file that is too large.
        UnsafeInput: A path or link out of the folder, a pipe or a device, a folder named like a file.
    """
    place, name = files.locate(source.path, project), files.name_of(source.path)
    if not place.is_dir():
        yield "table", name, place
        return
    if place.suffix.lower() in (*TEXT, ".gz"):
        raise UnsafeInput(
            f"{name}: got a folder; expected a file, as its name says", fix="name the file in it"
        )
    for position, path in enumerate(_members(place, name)):
        member = f"{name}/{files.shown(path.name)}"
        files.inside(path, place, member)
        yield f"table {position}", member, path


def _members(folder: Path, name: str) -> list[Path]:
    # Spark and Dask leave _SUCCESS, _metadata and hidden checksums beside the data.
    members = sorted((p for p in folder.iterdir() if p.name[0] not in "._"), key=lambda p: p.name)
    for path in members:
        if path.suffix.lower() not in PARQUET or (path.is_dir() and not path.is_symlink()):
            raise DataRejected(
                f"{name}/{files.shown(path.name)}: no Parquet file in a folder of Parquet files",
                fix="keep .parquet files only, without folders inside",
            )
    if not members:
        raise DataFormatError(
            f"{name}: no Parquet file in this folder", fix="name a file, or a folder of .parquet files"
        )
    return members


def load(parts: list[Content], target: str | None, columns: Columns) -> Loaded:
    """Parses the files of a table.

    Args:
        parts: What `contents` gave.
        target: The target's column, or None if rows without one are read (for prediction).
        columns: How declared columns are read.

    Returns:
        The rows in canonical values, with the schema that they were read by.

    Raises:
        DataFormatError: Bytes that are not what the name says.
        DataRejected: Column names, types or the target's column.
    """
    if len(parts) > 1:
        parquet.check_same([(part.name, parquet.schema(part)) for part in parts])
    tables: list[pa.Table] = []
    records: list[FileRecord] = []
    findings: list[Finding] = []
    for part in parts:
        table = parse(part)
        check_target(target, table.column_names, part.name)
        findings += delimited.unnamed(table, part.name)
        records.append(FileRecord(name=part.name, rows=table.num_rows, sha256=files.sha256(part.data)))
        tables.append(table)
    cells = tables[0] if len(tables) == 1 else parquet.joined(tables)
    written = not is_parquet(parts[0])
    return typed.load(cells, columns, files.fingerprint(parts), tuple(records), findings, written=written)


def parse(part: Content) -> pa.Table:
    """Return the cells of one file, as what its ending says it is; without one, as what its bytes are."""
    if is_parquet(part):
        return parquet.parse(part)
    return delimited.parse(part.data, part.name, "\t" if ending(part.name) in TABS else ",")


def is_parquet(part: Content) -> bool:
    """Whether a file is one of Parquet, by its name's ending, or by its bytes where that says nothing."""
    last = ending(part.name)
    return last in PARQUET or (last not in TEXT and files.is_parquet(part.data))


def ending(name: str) -> str:
    """What the end of a file's name says about it, in small letters; gzip around it does not count."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
