"""CSV bytes cut at the ends of records, so that a file of any size is parsed piece by piece.

Each piece goes through the same parser as a whole file would, the header before it, and messages
count rows, lines and bytes from the file's begin. What differs: a broken file is told by the first
piece that is broken, and how many rows are of the wrong length is counted within that piece.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa

from tasks.errors import ResourceLimit
from tasks.sources import delimited
from tasks.sources.delimited import Before

MAX_RECORD = 64 * 2**20
"""Longest record, in bytes; an opening quote that is never closed would hold the rest of the file."""


def tables(chunks: Iterable[bytes], name: str, delimiter: str) -> Iterator[pa.Table]:
    """The rows of a CSV file in order, every column as text; each table has some rows.

    Args:
        chunks: The file's content, cut anywhere.
        name: The file, for messages.
        delimiter: What stands between fields.

    Raises:
        DataFormatError, DataRejected, ResourceLimit: As for `delimited.parse`.
    """
    pieces = _whole_records(chunks, name)
    piece, following = next(pieces, b""), next(pieces, None)
    while following is not None and not _has_rows(piece, name, delimiter):
        piece, following = piece + following, next(pieces, None)
    table = delimited.parse(piece, name, delimiter)
    head = _header(table.column_names, delimiter, b"\n" if b"\n" in piece else b"\r")
    offset, lines, rows = len(piece), piece.count(b"\n"), table.num_rows
    yield table
    for piece in chain([] if following is None else [following], pieces):
        if piece.strip(b"\r\n"):
            before = Before(offset - len(head), lines - head.count(b"\n"), rows)
            table = delimited.parse(head + piece, name, delimiter, before)
            rows += table.num_rows
            yield table
        offset, lines = offset + len(piece), lines + piece.count(b"\n")


def _whole_records(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The same bytes cut after records only; the last piece ends where the file does."""
    held: list[bytes] = []
    inside = False  # whether the next byte stands within quotes: they open and close in turn
    for chunk in chunks:
        cut = _last_end(chunk, inside)
        inside ^= chunk.count(b'"') % 2 == 1
        if cut:
            yield b"".join([*held, chunk[:cut]])
            held.clear()
        held.append(chunk[cut:])
        if sum(map(len, held)) > MAX_RECORD:
            raise ResourceLimit(
                f"{name}: holds a row of more than {MAX_RECORD:,} bytes",
                fix="look for a quote that is opened and never closed",
            )
    if rest := b"".join(held):
        yield rest


def _last_end(chunk: bytes, inside: bool) -> int:
    """Where the last record of a chunk ends; 0 if none does. `inside` tells of the chunk's begin."""
    quoted = inside ^ (chunk.count(b'"') % 2 == 1)
    stop = len(chunk)
    while True:
        start = chunk.rfind(b'"', 0, stop) + 1  # of what stands between two quotes
        if not quoted:
            end = max(chunk.rfind(b"\n", start, stop), chunk.rfind(b"\r", start, stop))
            if end >= 0:
                return end + 1
        if not start:
            return 0
        quoted, stop = not quoted, start - 1


def _has_rows(piece: bytes, name: str, delimiter: str) -> bool:
    """Whether there is a record below the header."""
    if not piece.removeprefix(codecs.BOM_UTF8).strip():
        return False
    return bool(delimited.cells(piece, name, delimiter).num_rows > 1)


def _header(names: list[str], delimiter: str, end: bytes) -> bytes:
    """A header that reads as these names."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end.decode()).writerow(names)
    return text.getvalue().encode()
