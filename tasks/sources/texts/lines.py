"""JSON lines: an object a line, its keys the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.config.data import LINES
from tasks.dataset import Dataset
from tasks.errors import DataFormatError, DataRejected, quoted
from tasks.records import FileRecord
from tasks.sources import files
from tasks.sources.columns import check_names
from tasks.sources.files import Content
from tasks.sources.loaded import Loaded

_SCALARS: dict[type, str] = {str: "text", bool: "a truth value", int: "a number", float: "a number"}


def is_one(path: Path) -> bool:
    """Whether a file's name says so; gzip around it does not count."""
    return path.is_file() and any(suffix.lower() in LINES for suffix in path.suffixes[-2:])


def load(part: Content) -> Loaded:
    """Columns in the order in which keys come up; a key that a line lacks is missing there.

    Raises:
        DataFormatError: A line that is not UTF-8 or no JSON object, a key that stands twice in one, half a
            character (a lone surrogate).
        DataRejected: No lines, names that can't be used, values that are lists or objects, or of two kinds
            in one column.
    """
    records = [_record(line, f"{part.name} line {at}") for at, line in enumerate(_lines(part), start=1)]
    if not records:
        raise DataRejected(f"{part.name}: 0 rows", fix="give data with rows")
    names = list(dict.fromkeys(name for record in records for name in record))
    check_names(names, part.name)
    rows = pd.DataFrame({name: _column(records, name, part.name) for name in names})
    rows.index = pd.RangeIndex(len(rows), name="row")
    record = FileRecord(name=part.name, rows=len(rows), sha256=files.sha256(part.data))
    return Loaded(dataset=Dataset(rows), fingerprint=files.fingerprint([part]), files=(record,))


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


def _column(records: list[dict[str, Any]], name: str, file: str) -> pd.Series:
    values = [record.get(name) for record in records]
    kinds: dict[str, int] = {}
    for at, value in enumerate(values, start=1):
        if value is not None:
            kinds.setdefault(_SCALARS.get(type(value), "a list or an object"), at)
    if "a list or an object" in kinds:
        at = kinds["a list or an object"]
        raise DataRejected(f"{file} line {at}: {quoted(name)} is a list or an object", fix="flatten it")
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        raise DataRejected(
            f"{file}: {quoted(name)} is {one} in line {first} and {other} in line {second}",
            fix="write it in one way",
        )
    kind = next(iter(kinds), "text")
    if kind == "a number":
        return _numbers(values, name, file)
    return pd.Series(values, dtype="str" if kind == "text" or None in values else "bool")


def _numbers(values: list[Any], name: str, file: str) -> pd.Series:
    large = (at for at, value in enumerate(values, start=1) if type(value) is int and abs(value) >= 2**63)
    if at := next(large, None):
        raise DataRejected(
            f"{file} line {at}: {quoted(name)} is a whole number over 64 bits", fix="write it as text"
        )
    fractional = any(value is None or isinstance(value, float) for value in values)
    return pd.Series(values, dtype=object).astype("float64" if fractional else "int64")
