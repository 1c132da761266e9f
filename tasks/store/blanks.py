"""Empty databases that are kept with the installation: migrations take seconds of a core, a copy nothing."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from tasks.store.files import flush


def kept(package: str) -> Path | None:
    """Where the empty database of a package's installed version is; None outside of a virtual environment."""
    if sys.prefix == sys.base_prefix:
        return None
    return Path(sys.prefix) / "share" / "modelyard" / f"{package}-{version(package)}.db"


def provide(package: str, path: Path, make: Callable[[], None]) -> None:
    """Makes `path` a copy of the database that is kept, or lets `make` make it there, and keeps a copy.

    Args:
        package: Whose tables they are.
        path: A SQLite file that is not there yet.
        make: Makes it, empty.
    """
    known = kept(package)
    if known is not None and known.exists():
        try:
            _copy(known, path)
        except sqlite3.Error:  # damaged, and therefore made anew
            known.unlink(missing_ok=True)
        else:
            return
    make()
    if known is not None:
        with suppress(OSError, sqlite3.Error):  # an installation that is not ours to write to
            known.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, known)


def _copy(source: Path, target: Path) -> None:
    """Copies a database so that a crash leaves none."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(temporary)) as after:
            before.backup(after)
        flush(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
