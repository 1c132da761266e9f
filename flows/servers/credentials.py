"""The one credential of a root's servers: who may read the file may use them.

`ROOT/.state/credentials` holds `modelyard:TOKEN`, made at random the first time that a server is
started, readable by its owner alone. It is handed on in files and environments, never as an argument
of a process, and no message shows it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from base64 import b64encode
from pathlib import Path

from tasks.errors import UnsafeInput
from tasks.registry.backend import locked

USER = "modelyard"
_SHAPE = re.compile(rf"{USER}:[A-Za-z0-9_-]{{32,}}")


def place(root: Path) -> Path:
    """Where the credential is."""
    return root / ".state" / "credentials"


def ensure(root: Path) -> str:
    """The credential, `modelyard:TOKEN`; made if there is none yet.

    Raises:
        UnsafeInput: The file belongs to somebody else, others can read it, or it holds something else.
    """
    path = place(root)
    private(path.parent)
    with locked(path.with_name(".credentials.lock"), waiting_for="the credential to be made"):
        if not path.exists():
            _make(path)
    return read(root)


def read(root: Path) -> str:
    """The credential, `modelyard:TOKEN`.

    Raises:
        UnsafeInput: As `ensure`, or it is not there.
    """
    path = place(root)
    try:
        state, text = path.lstat(), path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UnsafeInput(f"{path}: {error.strerror}", fix="start the servers again") from None
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise UnsafeInput(
            f"{path} can be read or changed by others",
            fix="remove it: a new one is made at the next start; the old one may be known",
        )
    if not _SHAPE.fullmatch(text):
        raise UnsafeInput(f"{path} holds no credential", fix="remove it: a new one is made at the next start")
    return text


def header(credential: str) -> dict[str, str]:
    """What a request bears."""
    return {"Authorization": f"Basic {b64encode(credential.encode()).decode()}"}


def private(folder: Path) -> Path:
    """Makes a folder, and makes sure that only its owner may look into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _make(path: Path) -> None:
    temporary = path.with_name(f".credentials.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{USER}:{secrets.token_urlsafe(32)}\n")
    temporary.replace(path)
