"""CSV and TSV bytes to columns of text, strictly: what other readers guess at is refused here.

Arrow parses; the checks around it are its blind spots. The happy path never loops over rows in
Python; a row is looked for once it is known that there is a bad one. Rows are counted from 1
without the header; blank lines are no rows.
"""

from __future__ import annotations

import codecs
import csv
import io
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from tasks.errors import DataFormatError, DataRejected, ResourceLimit, quoted
from tasks.records import Finding
from tasks.sources.columns import check_count, check_names
from tasks.sources.files import refuse_foreign

SHOWN_ROWS = 20
"""Bad rows that one message lists."""

_BLOCK = 4 * 2**20
_HEAD = 2**20
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_INDEX = {b"index": b"left out"}
"""Metadata of a table whose file began with a column without a name."""
_SAVE_AS = "save it as UTF-8"


@dataclass(frozen=True)
class Before:
    """What of a file lies before the bytes that are parsed; places in messages are counted from there."""

    offset: int = 0
    lines: int = 0
    rows: int = 0


BEGIN = Before()


def parse(data: bytes, name: str, delimiter: str, before: Before = BEGIN) -> pa.Table:
    """The rows of CSV bytes with a header, every column as text.

    Args:
        data: The file's content, or its header again with records from further on.
        name: The file, for messages.
        delimiter: What stands between fields.
        before: What these bytes, their header left out of the rows, come after.

    Returns:
        Columns of strings under their names. Only an empty field without quotes is null.

    Raises:
        DataFormatError: Bytes that are no UTF-8 text, rows of different lengths, stray quotes.
        DataRejected: Names that can't be used, or a header with no row below it.
        ResourceLimit: Too many columns.
    """
    table = cells(data, name, delimiter, before)
    names = [column[0].as_py() for column in table.columns]
    if len(names) > 1 and not names[0] and all(names[1:]):
        table, names = table.drop_columns([table.column_names[0]]).replace_schema_metadata(_INDEX), names[1:]
    check_names(names, name)
    if table.num_rows == 1:
        raise DataRejected(
            f"{name}: 0 rows: there is a header and nothing below it", fix="give data with rows"
        )
    return table.slice(1).rename_columns(names)


def unnamed(table: pa.Table, name: str) -> list[Finding]:
    """Say that a first column without a name, which `DataFrame.to_csv` writes, was left out as an index."""
    if table.schema.metadata != _INDEX:
        return []
    message = f"{name}: the first column has no name: an index, as pandas writes it; it is left out"
    return [Finding(rule="index column", severity="warn", message=message)]


def cells(data: bytes, name: str, delimiter: str, before: Before = BEGIN) -> pa.Table:
    """All records of CSV bytes, a header counting as the first, every column as text."""
    check_text(data, name, before)
    body = data.removeprefix(codecs.BOM_UTF8)
    _check_quotes(body, name, delimiter, before.rows)
    first = _first_record(body, name, delimiter)
    check_count(len(first), name)
    if len(first) == 1 and (other := next((mark for mark in ";\t|," if mark in first[0]), None)):
        raise DataFormatError(
            f"{name} header: expected fields separated by {delimiter!r}, got 1 field that holds {other!r}",
            fix="save it with commas as .csv or with tabs as .tsv",
        )
    return _parse(body, name, delimiter, len(first), before.rows)


def check_text(data: bytes, name: str, before: Before = BEGIN) -> None:
    """Refuses bytes that are not UTF-8 text with something in it.

    Raises:
        DataFormatError: Empty, blank, another format, another encoding, NUL bytes.
    """
    if before == BEGIN:
        _check_begin(data, name)
    if (nul := data.find(b"\0")) >= 0:
        head = data[:4096]
        wide = 0.2 < head.count(b"\0") / len(head) < 0.8
        what = "UTF-16 or UTF-32 text" if wide else "a NUL byte"
        raise DataFormatError(
            f"{name}: got {what} (NUL at byte offset {nul + before.offset}); expected UTF-8 text",
            fix=_SAVE_AS,
        )
    _check_utf8(data, name, before)


def _check_begin(data: bytes, name: str) -> None:
    """Refuses a file that says by its first bytes that it is no UTF-8 text."""
    if not data:
        raise DataFormatError(f"{name}: is empty (0 bytes)", fix="give a file with a header and rows")
    refuse_foreign(data, name, "CSV text")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    if encoding:
        raise DataFormatError(
            f"{name}: got {encoding} text (byte order mark at offset 0); expected UTF-8", fix=_SAVE_AS
        )
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        what = "a byte order mark" if data == codecs.BOM_UTF8 else "blank characters"
        raise DataFormatError(f"{name}: holds only {what}", fix="give a file with a header and rows")


def _check_utf8(data: bytes, name: str, before: Before) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    for start in range(0, len(data), 2**24):
        chunk = view[start : start + 2**24]
        try:
            decoder.decode(chunk, final=start + len(chunk) == len(data))
        except UnicodeDecodeError as error:
            # The decoder's own count starts at the bytes that it kept from the chunk before.
            offset = start + len(chunk) - len(error.object) + error.start
            line = data.count(b"\n", 0, offset) + 1 + before.lines
            place = f"byte 0x{data[offset]:02x} at offset {offset + before.offset} (line {line})"
            raise DataFormatError(f"{name}: not UTF-8: {place}", fix=_SAVE_AS) from None


def _check_quotes(body: bytes, name: str, delimiter: str, rows: int) -> None:
    """Refuses a quote inside an unquoted field, text after a closing quote and an unclosed quote.

    Quotes open and close in turn, a doubled one doing both; so an opening one must follow a
    delimiter, a line end or a closing one, and a closing one must be followed by the same (RFC 4180).
    """
    if b'"' not in body:
        return
    array = np.frombuffer(body, np.uint8)
    places = np.flatnonzero(array == _QUOTE)
    edge = np.zeros(256, bool)
    edge[[ord(delimiter), _LF, _CR]] = True
    doubled = np.diff(places) == 1
    opening, closing = places[0::2], places[1::2]
    # After a closing quote, an opening one that touches it is the second half of a doubled quote.
    opens = edge[array[np.maximum(opening - 1, 0)]] | (opening == 0)
    opens[1:] |= doubled[1::2][: len(opens) - 1]
    closes = edge[array[np.minimum(closing + 1, len(array) - 1)]] | (closing == len(array) - 1)
    again = doubled[1::2]
    closes[: len(again)] |= again
    stray = [*opening[~opens][:1], *closing[~closes][:1]]
    if stray:
        row = _row_of(array, places, int(min(stray)), rows)
        raise DataFormatError(
            f"{name} {row}: expected quotes around a whole field, got a stray one",
            fix='put the field in quotes and double the quotes inside it: "a ""b"" c"',
        )
    if len(places) % 2:
        row = _row_of(array, places, int(places[-1]), rows)
        raise DataFormatError(f"{name} {row}: expected a closing quote, got the end of the file")


def _row_of(array: np.ndarray, quotes: np.ndarray, offset: int, rows: int) -> str:
    """Which record the byte at `offset` belongs to, for a message; `rows` came before."""
    before = array[:offset]
    ends = np.flatnonzero(before == (_LF if _LF in array else _CR))
    ends = ends[np.searchsorted(quotes, ends) % 2 == 0]  # line ends inside quotes end no record
    starts = np.concatenate(([0], ends + 1))[: len(ends)]
    filled = [s for s, e in zip(starts, ends, strict=True) if before[s:e].tobytes().strip(b"\r")]
    return f"row {rows + len(filled)}" if filled else "header"


def _first_record(body: bytes, name: str, delimiter: str) -> list[str]:
    head = io.StringIO(body[:_HEAD].decode("utf-8", "ignore"), newline="")
    try:
        return next(record for record in csv.reader(head, delimiter=delimiter) if record)
    except csv.Error as error:
        raise DataRejected(f"{name} header: can't be read: {quoted(str(error))}") from None


def _parse(body: bytes, name: str, delimiter: str, width: int, rows: int) -> pa.Table:
    for block in (_BLOCK, min(len(body) + 1, 2**31 - 1)):
        try:
            return _arrow(body, delimiter, width, block)
        except pa.ArrowInvalid as error:
            if "straddling" in str(error):  # a record longer than a block
                continue
            raise _misfit(body, name, delimiter, width, rows) from None
        except (pa.ArrowMemoryError, MemoryError):
            break
    raise ResourceLimit(f"{name}: a row is too long for memory")


def _arrow(body: bytes, delimiter: str, width: int, block: int, handler: Any = None) -> pa.Table:
    names = [str(position) for position in range(width)]
    return arrow_csv.read_csv(
        pa.BufferReader(body),
        # Only on one thread does Arrow know the numbers of the rows that it hands to the handler.
        arrow_csv.ReadOptions(use_threads=handler is None, block_size=block, column_names=names),
        arrow_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=b'"' in body,
            invalid_row_handler=handler,
            ignore_empty_lines=True,
        ),
        arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _misfit(body: bytes, name: str, delimiter: str, width: int, rows: int) -> DataFormatError:
    """The error about rows, `rows` came before, that have more or fewer fields than the first record."""
    bad: list[tuple[int, int]] = []

    def note(row: Any) -> str:
        bad.append((rows + row.number - 1, row.actual_columns))
        return "skip"

    with suppress(pa.ArrowException):
        _arrow(body, delimiter, width, min(len(body) + 1, 2**31 - 1), note)
    if not bad:
        return DataFormatError(f"{name}: can't be read as CSV")
    (row, got), others = bad[0], bad[1:SHOWN_ROWS]
    message = f"{name} row {row}: expected {width} fields, got {got}"
    if others:
        listed = ", ".join(str(other) for other, _ in others)
        more = ", …" if len(bad) > SHOWN_ROWS else ""
        message += f" ({len(bad):,} such rows; the others: {listed}{more})"
    return DataFormatError(message, fix="give every row the header's number of fields")
