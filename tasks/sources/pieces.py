"""Tables larger than memory: their cells in order, so many rows at a time.

JSON lines, of which texts come, are the exception: they are read as a whole.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from tasks.config.data import LINES
from tasks.errors import ConfigError, DataFormatError, DataRejected, did_you_mean, quoted
from tasks.sources import cutting, files, parquet
from tasks.sources.files import Content
from tasks.sources.table import PARQUET, TABS, TEXT, ending
from tasks.sources.texts import lines

KNOWN = (*TEXT, *PARQUET, *LINES)
"""Endings of the files of a folder of tables."""
CHUNK = 4 * 2**20
"""Bytes of text that are parsed at a time: Arrow's threads have enough to share, memory stays small."""


def members(place: Path) -> list[Path]:
    """The table files at a path: the file itself, or those of a folder in the order of their names.

    Raises:
        ConfigError: Nothing is there.
        DataFormatError: A folder without any.
        DataRejected: Something in the folder that is no table.
        UnsafeInput: A link that leads out of the folder.
    """
    if not place.exists():
        raise ConfigError(f"{quoted(str(place))}: no such file or folder")
    if not place.is_dir():
        return [place]
    found = sorted((path for path in place.iterdir() if path.name[0] not in "._"), key=lambda path: path.name)
    for path in found:
        name = name_of(path, place)
        if ending(path.name) not in KNOWN or path.is_dir():
            raise DataRejected(
                f"{name}: no table in a folder of tables",
                fix=f"keep files ending in {', '.join(KNOWN)} only, without folders inside",
            )
        files.inside(path, place, name)
    if not found:
        raise DataFormatError(f"{files.shown(place.name)}: no table in this folder", fix="name a file")
    return found


def name_of(path: Path, place: Path) -> str:
    """How messages call a member of what lies at `place`."""
    return files.shown(path.name if path == place else f"{place.name}/{path.name}")


def read(path: Path, name: str, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """Yield the cells of one CSV, TSV, Parquet or JSON lines file; memory does not grow with their number.

    Args:
        path: The file, packed with gzip or not.
        name: The file, for messages.
        columns: Those to read.
        rows: Of a table; the last one has what is left.

    Raises:
        DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `sources.read`, when the
            piece is reached that is wrong.
    """
    yield from _blocks(_tables(path, name, columns, rows), rows)


def needed(columns: Sequence[str], names: Collection[str], name: str) -> list[str]:
    """Return the columns that are to be read.

    Raises:
        DataRejected: The file has no such column; the nearest name is suggested.
    """
    for column in columns:
        if column not in names:
            raise DataRejected(
                f"{name}: column {quoted(column)} is missing", fix=did_you_mean(column, list(names))
            )
    return list(columns)


def _tables(path: Path, name: str, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    if lines.is_one(path):
        table, _ = lines.parse(Content("lines", name, files.read(path, name)))
        yield table.select(needed(columns, table.column_names, name))
        return
    last, unpack = ending(path.name), path.suffix.lower() not in (*TEXT, *PARQUET)
    if last in PARQUET or (last not in TEXT and _begins_as_parquet(path, name)):
        with _seekable(path, name, unpack=unpack) as file:
            yield from parquet.pieces(file, name, rows, lambda names: needed(columns, names, name))
        return
    if not unpack:
        with files.opened(path, name) as file:  # the end tells Parquet from a text that begins like it
            files.refuse_foreign(files.ends(file), name, "CSV text")
    chunks = files.chunks(path, name, CHUNK, unpack=unpack)
    for table in cutting.tables(chunks, name, "\t" if last in TABS else ","):
        yield table.select(needed(columns, table.column_names, name))


def _begins_as_parquet(path: Path, name: str) -> bool:
    return next(files.chunks(path, name, CHUNK), b"")[:4] == b"PAR1"


def _seekable(path: Path, name: str, *, unpack: bool) -> AbstractContextManager[BinaryIO]:
    """The file, or what it unpacks to: Parquet can't be read from begin to end, so that has to fit."""
    if unpack and path.suffix.lower() == ".gz":
        return nullcontext(io.BytesIO(files.read(path, name)))
    return files.opened(path, name)


def _blocks(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows` rows each, the last one with what is left."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(held)
