"""Processes that begin with everything imported: forks of this one as it was before it had threads.

A new interpreter takes seconds to import what a helper needs, and those are paid a second time although this
process has just paid them. A fork has them for nothing, but may only be made while there is one thread. So
`keep_seed` makes one fork at that instant, which does nothing but wait, and be forked in its turn. Linux
only; elsewhere, and where nobody kept a seed, `start` says so and the caller starts an interpreter.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, NoReturn

_SEED: list[Connection] = []
"""The line to the process that waits to be forked; at most one."""
os.register_at_fork(after_in_child=_SEED.clear)  # any other fork of this process has no seed of its own


class Offshoot:
    """A process that runs one function. It is the seed's child, so a descriptor is what holds it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def kill(self) -> None:
        """Ends the process, done or not."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def join(self) -> None:
        """Waits until the process has ended; the last that is asked of it."""
        select.select([self._descriptor], [], [])
        os.close(self._descriptor)


def keep_seed() -> bool:
    """Forks a process that waits to be forked, if that is safe now; whether there is one afterwards.

    It holds no file of this process but the standard streams, and ends with it.
    """
    if _SEED:
        return True
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return False
    near, far = Pipe()
    if not os.fork():
        _wait(far)
    far.close()
    _SEED.append(near)
    return True


def start(function: Callable[..., Any], question: Any, answers: Connection) -> Offshoot | None:
    """Lets a fork of the seed call `function(question, answers)`; None if there is none to be had.

    Args:
        function: One that can be imported by its name.
        question: Its first argument, pickled on the way.
        answers: The end of a pipe that it writes to.
    """
    if not _SEED:
        return None
    line = _SEED[0]
    try:
        line.send((function, question))
        send_handle(line, answers.fileno(), None)
        return Offshoot(line.recv())
    except (OSError, EOFError):
        _SEED.clear()
        return None


def _wait(line: Connection) -> NoReturn:
    """The seed's life: forks at each request, and ends all that it forked as soon as `line` ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    kept = line.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    gc.freeze()  # what is not looked at stays shared
    gc.enable()  # it rests while the imports go on that this process was forked after
    children: list[int] = []
    with suppress(EOFError, OSError):
        while True:
            function, question = line.recv()
            handle = recv_handle(line)
            pid = os.fork()
            if not pid:
                line.close()
                _live(function, question, Connection(handle, readable=False))
            os.close(handle)
            children.append(pid)
            line.send(pid)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _live(function: Callable[..., Any], question: Any, answers: Connection) -> NoReturn:
    try:
        function(question, answers)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
