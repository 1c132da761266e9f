"""A lock on a file: the kernel drops it when the last process that holds it dies."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def exclusive(path: Path) -> IO[bytes] | None:
    """An open file that holds the exclusive lock on `path`, or None while somebody else holds one."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
