"""A process on a leash: `python -P leash.py COMMAND...` runs it until our standard input ends.

The parent holds the other end of that pipe. When the parent is gone, however it went, the pipe ends
and the command is stopped with everything that it started. Nothing of modelyard is imported here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE = 5.0
"""Seconds between asking the command to stop and killing it."""


def main(command: list[str]) -> int:
    """Runs `command` in a process group of its own; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    threading.Thread(target=_hold, args=(child,), daemon=True).start()
    return child.wait()


def _hold(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    for step in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, step)
        except ProcessLookupError:
            return
        time.sleep(PATIENCE)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the pipe
    sys.exit(main(sys.argv[1:]))
