"""JSON lines: an object a line, its keys the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.config.data import LINES
from tasks.errors import DataFormatError, DataRejected, quoted
from tasks.features import TYPES, read
from tasks.records import FileRecord
from tasks.sources import files
from tasks.sources.columns import check_names
from tasks.sources.files import Content


def is_one(path: Path) -> bool:
    """Whether a file's name says so; gzip around it does not count."""
    return path.is_file() and any(suffix.lower() in LINES for suffix in path.suffixes[-2:])


def parse(part: Content) -> tuple[pa.Table, FileRecord]:
    """Return columns in the order in which keys come up; a key that a line lacks is missing there.

    Raises:
        DataFormatError: A line that is not UTF-8 or no JSON object, a key that stands twice in one, half a
            character (a lone surrogate).
        DataRejected: No lines, names that can't be used, or values that are lists or objects.
    """
    records = [_record(line, f"{part.name} line {at}") for at, line in enumerate(_lines(part), start=1)]
    if not records:
        raise DataRejected(f"{part.name}: 0 rows", fix="give data with rows")
    names = list(dict.fromkeys(name for record in records for name in record))
    check_names(names, part.name)
    for name in names:
        _check_flat(records, name, part.name)
    cells = pa.table([_column([record.get(name) for record in records]) for name in names], names=names)
    return cells, FileRecord(name=part.name, rows=len(records), sha256=files.sha256(part.data))


def _lines(part: Content) -> list[bytes]:
    files.refuse_foreign(part.data, part.name, "JSON lines")
    lines = part.data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines[:-1] if not lines[-1].strip() else lines


def _record(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_constant)
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        told = str(error).rpartition(": ")[2]
        raise DataFormatError(f"{place}: no UTF-8 text: {told}", fix="save it as UTF-8") from None
    except RecursionError:
        raise DataFormatError(f"{place}: nested too deep", fix="write one flat object a line") from None
    except ValueError as error:
        told = str(error).partition(": line")[0] if line.strip() else "an empty line"
        raise DataFormatError(f"{place}: no JSON object: {told}", fix="write one object a line") from None
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise DataFormatError(f"{place}: got {kind}; expected an object", fix="write one object a line")
    return record


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key stands twice")
    return record


def _constant(word: str) -> None:
    raise ValueError(f"{word} is no value of JSON")


def _check_flat(records: list[dict[str, Any]], name: str, file: str) -> None:
    nested = (at for at, record in enumerate(records, start=1) if isinstance(record.get(name), (list, dict)))
    if at := next(nested, None):
        raise DataRejected(f"{file} line {at}: {quoted(name)} is a list or an object", fix="flatten it")


def _column(values: list[Any]) -> pa.Array:
    """Return cells (n,) as Arrow has them; those of several kinds (a film called 300) as texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) < 2 and not any(type(value) is int and abs(value) >= 2**63 for value in values):
        return pa.array(values, None if kinds else pa.string())
    return read(pd.Series(values, dtype=object), TYPES["text"]).values
