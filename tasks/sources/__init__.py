"""Where data comes from: `fingerprint` names its content, `read` brings it into memory.

One module or room a kind of source: `table` (with `delimited`, `infer`, `parquet`), `idx`, `images`, `texts`,
`package` (with `fetched`), `own`. Each gives the bytes of its files (`contents`) and parses them (`load`);
the fingerprint is taken from the very bytes that are parsed. Nothing here repairs data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.config import (
    Columns,
    IdxSource,
    ImagesSource,
    OwnSource,
    PackageSource,
    Source,
    TableSource,
    TextsSource,
)
from tasks.sources import files, idx, images, own, package, table, texts
from tasks.sources.files import Content
from tasks.sources.loaded import Loaded
from tasks.sources.texts.describing import described
from tasks.store import digest

__all__ = ["Loaded", "fingerprint", "read"]


def fingerprint(source: Source, project: Path) -> str:
    """Hex sha256 of what a source holds, without parsing it.

    It covers each file's role and uncompressed content, and changes with any byte of it; file
    names, times and compression do not matter (in a folder of Parquet files or of texts, the order does; in
    a folder of pictures, the paths do).

    Args:
        source: Where the data is.
        project: Folder that relative paths start from.

    Raises:
        ConfigError, DataFormatError, DataRejected, ResourceLimit, UnsafeInput: As for `read`.
    """
    if isinstance(source, ImagesSource):
        return images.fingerprint(source, project)
    if isinstance(source, OwnSource):
        return own.fingerprint(source, project)
    if isinstance(source, TableSource) and (found := table.digests(source, project)) is not None:
        return digest(found)
    return files.fingerprint(_contents(source, project))


def read(source: Source, project: Path, target: str | None, columns: Columns) -> Loaded:
    """Return the examples of a source in canonical values, nothing repaired.

    Args:
        source: Where the data is.
        project: Folder that relative paths start from.
        target: Column that must be there (`label` for images); None to read rows without a target.
        columns: Declared types; a column without one gets its type from its cells. Of a `text` column it
            is said how long the texts are, and the like.

    Returns:
        The examples, the fingerprint of their bytes, the files and the reader's doubts.

    Raises:
        ConfigError: The path, the package, the shape or an image source's target is wrong.
        DataFormatError: Bytes that are not what the source says they are.
        DataRejected: Readable, but with columns, types or files that are not accepted.
        ResourceLimit: More than may be read.
        UnsafeInput: A way out of the folder, a pipe or device, pickled objects.
    """
    loaded = _read(source, project, target, columns)
    return loaded if columns.text is None else described(loaded, columns.text)


def _read(source: Source, project: Path, target: str | None, columns: Columns) -> Loaded:
    if isinstance(source, ImagesSource):
        return images.read(source, project, target)
    if isinstance(source, OwnSource):
        return own.load(source, project, target, columns)
    parts = list(_contents(source, project))
    if isinstance(source, TableSource):
        return table.load(parts, target, columns)
    if isinstance(source, IdxSource):
        return idx.load(parts, target)
    if isinstance(source, TextsSource):
        return texts.load(parts, target, columns)
    return package.load(parts, source, target, columns)


def _contents(source: Source, project: Path) -> Iterator[Content]:
    if isinstance(source, TableSource):
        return table.contents(source, project)
    if isinstance(source, IdxSource):
        return idx.contents(source, project)
    if isinstance(source, PackageSource):
        return package.contents(source, project)
    if isinstance(source, TextsSource):
        return texts.contents(source, project)
    raise TypeError(f"no reader for {type(source).__name__}")
