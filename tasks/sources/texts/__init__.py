"""Texts: a folder for each class with a text a file, a file of JSON lines, or a table.

`folders` and `lines` read the first two; a table is read as any other. `describing` says of each text
what a suite, a report and drift can speak of without quoting it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.config import Columns, TableSource, TextsSource
from tasks.config.data import TEXTS
from tasks.config.project import holds
from tasks.sources import files, table, typed
from tasks.sources.columns import check_target
from tasks.sources.files import Content
from tasks.sources.loaded import Loaded
from tasks.sources.texts import folders, lines


def contents(source: TextsSource, project: Path) -> Iterator[Content]:
    """The bytes of all texts, in the order of names.

    Raises:
        ConfigError: Nothing is at the path.
        DataError, ResourceLimit, UnsafeInput: As for `load`, where names alone show it.
    """
    place, name = files.locate(source.path, project), files.name_of(source.path)
    if place.is_dir() and holds(place, TEXTS):
        yield from folders.contents(place, name)
    elif lines.is_one(place):
        yield Content("lines", name, files.read(place, name))
    else:
        yield from table.contents(TableSource(kind="table", path=source.path), project)


def load(parts: list[Content], target: str | None, columns: Columns) -> Loaded:
    """Parses them.

    Args:
        parts: What `contents` gave.
        target: The target's column; None to read rows without one.
        columns: `text` names the column of texts.

    Raises:
        DataFormatError: Bytes that are no UTF-8, or lines that are no JSON.
        DataRejected: Column names, types or the target's column.
    """
    if parts[0].role.startswith(folders.ROLE):
        loaded = folders.load(parts)
    elif parts[0].role == "lines":
        cells, record = lines.parse(parts[0])
        loaded = typed.load(cells, columns, files.fingerprint(parts), (record,))
    else:
        return table.load(parts, target, columns)
    check_target(target, [str(name) for name in loaded.dataset.rows.columns], parts[0].name)
    return loaded
