"""A process on a leash: it ends when its standard input does.

The parent holds the other end of that pipe and writes nothing. When the parent is gone, however it
went, the pipe ends; that needs no signal, no polling of process numbers and no cooperation of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

PATIENCE = 5.0
"""Seconds between asking ourselves to stop and ending anyway."""


def hold(on_end: Callable[[], None], patience: float = PATIENCE) -> None:
    """Calls `on_end`, in a thread, when standard input ends; the process is killed if it stays on.

    Args:
        on_end: Begins an orderly end.
        patience: Seconds that this may take.
    """
    threading.Thread(target=_wait, args=(on_end, patience), name="leash", daemon=True).start()


def _wait(on_end: Callable[[], None], patience: float) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    on_end()
    time.sleep(patience)
    os.kill(os.getpid(), signal.SIGKILL)
