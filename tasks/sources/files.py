"""Bytes of a source: found inside their folder, unpacked within limits, named and hashed.

Everything that a source reads comes through here, so that no kind of source can be led out of its
folder, blocked by a pipe or filled up by a small file that expands without end. The bytes that are
hashed are the bytes that are parsed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.errors import (
    ConfigError,
    DataError,
    DataFormatError,
    ResourceLimit,
    UnsafeInput,
    did_you_mean,
    quoted,
)
from tasks.store import digest

MAX_BYTES = 8 * 2**30
"""Largest file, in bytes of content, that is read into memory."""

MAX_RATIO = 200
"""A gzip file may grow so many times; text grows 3 to 50 times, a file made to hurt 1,000 times."""

RATIO_FREE = 64 * 2**20
"""Bytes of content below which the ratio does not matter."""

_CHUNK = 2**24
_ENDS = 512
_GZIP = b"\x1f\x8b"
_FOREIGN = (
    (_GZIP, "gzip data"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF-", "a PDF document"),
    (b"ARROW1\x00\x00", "an Arrow IPC file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"BZh91AY&SY", "bzip2 data"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
)


@dataclass(frozen=True)
class Content:
    """One file of a source.

    Attributes:
        role: What the file is to the source; part of the fingerprint, unlike its name.
        name: How messages and records call it.
        data: Its bytes, unpacked.
    """

    role: str
    name: str
    data: bytes


def fingerprint(contents: Iterable[Content]) -> str:
    """Hex sha256 over the role and the sha256 of each file's content, in order."""
    return digest([(content.role, sha256(content.data)) for content in contents])


def sha256(data: bytes) -> str:
    """Hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_at(path: Path, name: str) -> str:
    """Hex sha256 of a file's bytes as they lie there. Raises what `chunks` does."""
    hashed = hashlib.sha256()
    for chunk in chunks(path, name, _CHUNK, unpack=False):
        hashed.update(chunk)
    return hashed.hexdigest()


def shown(path: str | Path) -> str:
    """A path as messages show it: control characters escaped."""
    text = path.as_posix() if isinstance(path, Path) else path
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def name_of(path: str) -> str:
    """How a source's path is called: as given inside a project, else by its last part."""
    return shown(Path(path).name if Path(path).is_absolute() else path)


def locate(path: str, project: Path) -> Path:
    """The file or folder at `path`, relative to the folder `project` unless it is absolute.

    Raises:
        ConfigError: Nothing is there.
        UnsafeInput: A relative path, or a link on it, leads out of `project`.
    """
    place = project / path
    if not Path(path).is_absolute():
        inside(place, project, name_of(path))
    if not place.exists():
        siblings = sorted(p.name for p in place.parent.iterdir()) if place.parent.is_dir() else []
        fix = did_you_mean(place.name, siblings)
        raise ConfigError(f"source.path: there is no {quoted(path)} in {shown(project)}", fix=fix)
    return place


def inside(path: Path, root: Path, name: str) -> None:
    """Refuses a path that leads out of `root`, by its own steps or by a link."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise UnsafeInput(
            f"{name}: leads out of its folder through a link or '..'",
            fix="put the file itself there, or name the real place with --source",
        )


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO]:
    """A regular file to read from.

    Raises:
        DataFormatError: The file can't be read, now or later.
        ResourceLimit: Memory ran out.
        UnsafeInput: A folder, a pipe, a socket or a device.
    """
    try:
        _regular(path.stat().st_mode, name)
        # Without O_NONBLOCK a pipe that took the file's place since would block here for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            _regular(os.fstat(handle).st_mode, name)
            yield file
    except OSError as error:
        raise DataFormatError(f"{name}: can't be read: {error.strerror or type(error).__name__}") from None
    except MemoryError:
        raise ResourceLimit(f"{name}: does not fit into memory") from None


def read(path: Path, name: str, *, unpack: bool = True) -> bytes:
    """The content of a regular file, unpacked if its first bytes say gzip, whatever its ending.

    Args:
        path: The file.
        name: The file, for messages.
        unpack: False leaves gzip data as it is.

    Raises:
        DataFormatError: The file can't be read, or its gzip stream is damaged.
        ResourceLimit: More content than `MAX_BYTES`, or a gzip file that expands too much.
        UnsafeInput: A folder, a pipe, a socket or a device.
    """
    with opened(path, name) as file:
        _within(os.fstat(file.fileno()).st_size, name)
        if not (unpack and _is_packed(file)):
            data = file.read(MAX_BYTES + 1)
            _within(len(data), name)
            return data
        target = io.BytesIO()
        for chunk in _unpacked(file, name, _CHUNK):
            target.write(chunk)
            _within(target.tell(), name)
        return target.getvalue()


def chunks(path: Path, name: str, size: int, *, unpack: bool = True) -> Iterator[bytes]:
    """The same content in pieces of at most `size` bytes, however large it is.

    Raises:
        DataFormatError, ResourceLimit, UnsafeInput: As for `read`, when they come to light.
    """
    with opened(path, name) as file:
        if unpack and _is_packed(file):
            yield from _unpacked(file, name, size)
        else:
            yield from iter(lambda: file.read(size), b"")


def ends(file: BinaryIO) -> bytes:
    """The first and the last bytes of an open file, enough to tell its format; all of a short one."""
    begin = file.read(_ENDS)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(len(begin), size - _ENDS))
    end = file.read(_ENDS)
    file.seek(0)
    return begin + end


def _regular(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
    raise UnsafeInput(f"{name}: got {kind}; expected a file", fix="name a regular file")


def _within(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise ResourceLimit(
            f"{name}: holds {size:,} bytes or more; the limit is {MAX_BYTES:,}",
            fix="split it or take a sample",
        )


def _is_packed(file: BinaryIO) -> bool:
    begin = file.read(2)
    file.seek(0)
    return begin == _GZIP


def _unpacked(file: BinaryIO, name: str, most: int) -> Iterator[bytes]:
    """The content of a gzip stream, checked while it grows."""
    packed, size = os.fstat(file.fileno()).st_size, 0
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            while chunk := stream.read(most):
                size += len(chunk)
                if size > RATIO_FREE and size > MAX_RATIO * packed:
                    raise ResourceLimit(
                        f"{name}: {packed:,} bytes of gzip expand to {size:,} bytes or more; "
                        f"the limit is {MAX_RATIO} times",
                        fix="unpack it yourself if you trust it",
                    )
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = "ends in the middle" if isinstance(error, EOFError) else str(error)
        raise DataFormatError(
            f"{name}: damaged gzip data: {reason}", fix="make or fetch the file again"
        ) from None


def is_parquet(data: bytes) -> bool:
    """Whether bytes begin and end like a Parquet file (a CSV header may begin with PAR1)."""
    return len(data) >= 8 and data[:4] == b"PAR1" == data[-4:]


def refuse_foreign(data: bytes, name: str, expected: str) -> None:
    """Refuses bytes whose first ones belong to a known format other than the expected one.

    Raises:
        DataFormatError: Another format.
        UnsafeInput: A pickle, or an archive of one: opening it as what it is would run its code.
    """
    if error := _foreign(data, name, expected):
        raise error


def _foreign(data: bytes, name: str, expected: str) -> DataError | UnsafeInput | None:
    if re.match(rb"\x80[\x02-\x05](?:\x95|[c}\]X(])", data) or (data[:2] == b"PK" and b".pkl" in data[:256]):
        return UnsafeInput(
            f"{name}: got a Python pickle; expected {expected}", fix="export the data as plain values"
        )
    if is_parquet(data):
        fix = "give the name the ending .parquet"
        return DataFormatError(f"{name}: got a Parquet file; expected {expected}", fix=fix)
    kind = next((kind for magic, kind in _FOREIGN if data.startswith(magic)), "")
    fix = (
        "give the name the ending .csv.gz" if kind == _FOREIGN[0][1] and name.lower().endswith(".csv") else ""
    )
    return DataFormatError(f"{name}: got {kind}; expected {expected}", fix=fix) if kind else None
