"""Starting a process of ours beside us, on a leash."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO


def launch(
    module: str,
    root: Path,
    log: IO[bytes],
    *words: str,
    listener: socket.socket | None = None,
    kept: tuple[int, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Runs `python -m MODULE ROOT WORDS...` in a session of its own, where Ctrl-C does not reach it.

    Args:
        module: The module.
        root: Its argument, and below which it works.
        log: Where its output goes.
        words: Further arguments.
        listener: A bound socket that it is to serve on, handed on as `--listen`.
        kept: Further descriptors that it inherits.
        environment: Its environment; ours when absent.

    Returns:
        The process. It ends when its standard input is closed, or when we are gone.
    """
    listening = [] if listener is None else ["--listen", str(listener.fileno())]
    inherited = kept if listener is None else (*kept, listener.fileno())
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", module, str(root), *words, *listening],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=inherited,
        cwd=root / ".state",
        env=dict(os.environ if environment is None else environment),
    )
