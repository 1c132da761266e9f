"""The process that stands by: `python -P -m flows.standby.process ROOT`, kept by the keeper of `up`.

It has imported what a training needs and then does nothing but fork: the child gets a command's terminal,
folder and environment and runs it. Only one thread may exist here, and no GPU may have been touched: a child
inherits neither. It becomes stale as soon as a file of its code changes, says so and ends; the keeper starts
it anew.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from flows import cli
from flows.servers import keeper
from flows.standby import likeness, wire
from tasks.starting import offshoot
from tasks.starting.importing import undisturbed

NEEDED = (
    "flows.commands.training", "flows.commands.operating", "flows.train", "flows.retrain", "flows.glance",
    "flows.operate.overview", "flows.operate.execution", "flows.operate.history", "flows.operate.reconcile",
    "flows.books.costs", "flows.books.unchanged", "flows.books.reporting", "flows.books.rehearsal",
    "flows.servers.prefect_server", "tasks.config",
    "tasks.learning.training", "tasks.ladder.baselines", "tasks.reports.report", "tasks.checks.judging",
    "tasks.registry.tracking", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "torch._dynamo", "matplotlib.backends.backend_svg",
    "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline",
)  # fmt: skip
"""What commands import; anything else they import themselves."""
PATIENCE = 2.0
"""Seconds in which a caller has to say what it wants."""
SWITCHES = frozenset({*cli.QUIET, *keeper.SWITCHES})
"""Variables that every process of ours sets for itself."""
_CREDENTIALS = struct.Struct("3i")


class Stale(Exception):
    """The code of this process is no longer what lies on the disk."""


class Standby:
    """Forks a child for each command that is like this process.

    Args:
        listener: Where commands ask.
        birth: What this process was born with.
        inherited: Descriptors that are this process's alone; children close them.
    """

    def __init__(self, listener: socket.socket, birth: dict[str, Any], inherited: Sequence[int]) -> None:
        self.listener = listener
        self.birth = birth
        self.inherited = inherited
        self.files = likeness.files()
        self.callers: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Until standard input ends, which the keeper holds, or the code is stale."""
        told, tell = socket.socketpair()
        tell.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(tell.fileno())
        with selectors.DefaultSelector() as waiting:
            for each in (self.listener, told, sys.stdin):
                waiting.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in waiting.select()}
                if told in ready:
                    told.recv(4096)
                    self.reap()
                if sys.stdin in ready and not os.read(0, 1024):
                    return
                if self.listener in ready:
                    self.take((*self.inherited, told.fileno(), tell.fileno(), waiting.fileno()))

    def take(self, private: Sequence[int]) -> None:
        """Answers one caller.

        Raises:
            Stale: The code has changed; the caller was told to run its command itself.
        """
        connection, _ = self.listener.accept()
        connection.settimeout(PATIENCE)
        given: list[int] = []
        try:
            if not _ours(connection):
                return
            asked, given = wire.receive(connection, 3)
            stale = likeness.changed(self.files)
            other = stale or likeness.differs(self.birth, _without_switches(asked["birth"]))
            if other:
                wire.tell(connection, differs=other)
                connection.close()
                if stale:
                    raise Stale(stale)
                return
            connection.settimeout(None)
            pid = os.fork()
            if not pid:
                private = (*private, self.listener.fileno(), *(c.fileno() for c in self.callers.values()))
                become(asked, given, connection, private)
            self.callers[pid] = connection
            with suppress(OSError):  # both set it, so that neither has to wait for the other
                os.setpgid(pid, pid)
            wire.tell(connection, pid=pid)
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.stderr.write(f"a caller was not answered: {error}\n")
        finally:
            for number in given:
                os.close(number)

    def reap(self) -> None:
        """Tells callers how their commands ended that could not say it themselves."""
        while self.callers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            caller = self.callers.pop(pid, None)
            if caller is None:
                continue
            with caller, suppress(OSError):
                if os.WIFSIGNALED(status):
                    wire.tell(caller, signal=os.WTERMSIG(status))
                else:
                    wire.tell(caller, exit=os.WEXITSTATUS(status))


def become(
    asked: dict[str, Any], given: list[int], connection: socket.socket, private: Sequence[int]
) -> NoReturn:
    """In the child: runs the command as if it had been started by the caller; never returns."""
    code = cli.BUG
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for name in ("SIGCHLD", "SIGTERM", "SIGHUP"):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for standard, number in enumerate(given):
            os.dup2(number, standard)
        for number in (*given, *private):
            os.close(number)
        _settle_in(asked)
        if cli.GOES_ON.intersection(asked["words"][:1]):
            offshoot.keep_seed()
        threading.Thread(target=_end_with, args=(connection,), name="leash", daemon=True).start()
        code = cli.main(asked["words"])
        cli.leave()
        with suppress(OSError):
            wire.tell(connection, exit=code)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _settle_in(asked: dict[str, Any]) -> None:
    """Takes the caller's place: folder, environment, streams."""
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:] = asked["path"]
    sys.argv[:] = [asked["program"], *asked["words"]]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=number == 2 or os.isatty(number))
        setattr(sys, name, stream)
    import numpy as np  # noqa: PLC0415

    np.random.seed()  # else all children would draw the same


def _end_with(connection: socket.socket) -> None:
    """Ends this process as soon as the caller's is gone, however that went."""
    with suppress(OSError):
        while connection.recv(1024):
            pass
    os.killpg(0, signal.SIGKILL)


def _ours(connection: socket.socket) -> bool:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(raw)[1] == os.getuid())


def _without_switches(birth: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in birth["environment"].items() if name not in SWITCHES}
    return {**birth, "environment": known}


def listen(place: str) -> socket.socket:
    """A socket at `place` that this user alone may connect to; one that a dead process left is replaced."""
    Path(place).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(place)
    finally:
        os.umask(before)
    listener.listen(16)
    return listener


def stand(root: Path, needed: Sequence[str] = NEEDED, *, load: Callable[[str], Any] = import_module) -> int:
    """Imports, listens and serves; the exit code."""
    inherited = [n for path in Path("/proc/self/fd").iterdir() if (n := int(path.name)) > 2 and _is_open(n)]
    birth = likeness.birth(SWITCHES)  # imports change the environment
    cli.quiet_libraries()
    with undisturbed():
        for name in needed:
            load(name)
    place = wire.address(root)
    if place is None or threading.active_count() > 1:
        sys.stderr.write("can't stand by here: the path is too long, or an import started a thread\n")
        sys.stdin.read()  # until the keeper lets go
        return 1
    gc.collect()
    gc.freeze()  # what is not looked at stays shared with the children
    with listen(place) as listener:
        try:
            Standby(listener, birth, inherited).serve()
        except Stale as error:
            sys.stderr.write(f"stale: {error} has changed\n")
        finally:
            Path(place).unlink(missing_ok=True)
    return 0


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(stand(Path(sys.argv[1])))
