"""Who is at work: a lease is a locked file, and it ends with its owner, however that ended.

The kernel drops a `flock` when the process that holds it dies. So whoever can lock a lease's file
knows that its owner is gone, and the note in the file says who that was and what it was doing. A lock
that is only a file, or an expiry time, can't tell a dead owner from a slow one.

Two kinds live in `ROOT/.state/leases`: `runs/ID`, one a run, from before it exists in any database
until its last state is stored in all of them; and slots (`project-NAME`, `gpu-0`), which one run
at a time may hold.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tasks.errors import RegistryConflict
from tasks.spans import span

POLL_SECONDS = 0.1
"""How often a slot that is taken is tried again."""
GLANCES = 3
"""Tries of one `take`: whoever looks whether a lease is held has it locked for a moment."""


class Lease:
    """A lease that this process holds.

    Used as a context it is released at the end of the block.

    Attributes:
        path: The locked file.
        facts: What its note says.
    """

    def __init__(self, path: Path, handle: int, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts
        self._handle = handle

    def note(self, **facts: Any) -> None:
        """Adds to the note, durably: a reader finds it whatever becomes of this process."""
        self.facts |= facts
        text = json.dumps(self.facts).encode()
        os.pwrite(self._handle, text, 0)  # first write, then cut: never an empty note in between
        os.ftruncate(self._handle, len(text))
        os.fsync(self._handle)

    def release(self, *, remove: bool = False) -> None:
        """Gives the lease back; `remove` takes the file away while the lock is still held."""
        if self._handle < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def take(path: Path, **facts: Any) -> Lease | None:
    """The lease at `path`, or None while another process holds it."""
    for glance in range(GLANCES):
        if (handle := _locked(path)) is not None:
            lease = Lease(path, handle, {})
            lease.note(**identity(), **facts)
            return lease
        if glance < GLANCES - 1:
            time.sleep(POLL_SECONDS / 10)
    return None


@span("waiting")
def wait(
    path: Path,
    *,
    seconds: float | None,
    told: Callable[[dict[str, Any]], None],
    busy: str = "the lease is taken",
    **facts: Any,
) -> Lease:
    """The lease at `path`, as soon as it is free.

    Args:
        path: The slot.
        seconds: How long to wait; None waits for ever.
        told: Is called once, with the owner's note, if there is something to wait for.
        busy: How an error begins.
        facts: For the note.

    Raises:
        RegistryConflict: It was still taken after `seconds`.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    waiting = False
    while (lease := take(path, **facts)) is None:
        if not waiting and (seconds is None or seconds > 0):
            told(read(path))
            waiting = True
        if deadline is not None and time.monotonic() >= deadline:
            raise RegistryConflict(
                f"{busy}: {describe(read(path))}", fix="wait for it, or use --if-running wait or cancel"
            )
        time.sleep(POLL_SECONDS)
    return lease


def is_held(path: Path) -> bool:
    """Whether a living process holds the lease at `path`."""
    if not path.exists():
        return False
    handle = _locked(path)
    if handle is None:
        return True
    os.close(handle)
    return False


def read(path: Path) -> dict[str, Any]:
    """The note of a lease; empty where it can't be read."""
    try:
        note = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def left(folder: Path) -> Iterator[Lease]:
    """Leases in a folder whose owners died, each held by us until the caller goes on to the next."""
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        facts = read(path)
        with suppress(FileNotFoundError):  # another process was faster
            handle = _locked(path, create=False)
            if handle is not None:
                with Lease(path, handle, facts) as lease:
                    yield lease


def living(folder: Path) -> list[dict[str, Any]]:
    """Notes of the leases in a folder that living processes hold."""
    paths = sorted(folder.glob("*")) if folder.is_dir() else []
    return [read(path) for path in paths if is_held(path)]


def identity() -> dict[str, Any]:
    """Who this process is: pid, boot, host, and since when it holds what it is about to hold."""
    return {"pid": os.getpid(), "boot": boot_id(), "host": socket.gethostname(), "since": time.time()}


def boot_id() -> str:
    """Which start of the machine this is; a pid means nothing beyond it. Empty where it is not told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def describe(facts: dict[str, Any]) -> str:
    """An owner in a few words: `train digits, run 1a2b3c4d, pid 12, since 03:00:12`."""
    words = [" ".join(str(facts[key]) for key in ("action", "project") if facts.get(key))]
    if run := facts.get("mlflow_run_id") or facts.get("flow_run_id"):
        words.append(f"run {str(run)[:8]}")
    if pid := facts.get("pid"):
        words.append(f"pid {pid}")
    if since := facts.get("since"):
        words.append(time.strftime("since %Y-%m-%d %H:%M:%S", time.localtime(since)))
    return ", ".join(word for word in words if word) or "by a process that left no note"


def _locked(path: Path, *, create: bool = True) -> int | None:
    """A descriptor that holds the lock on the file which is at `path` now, or None."""
    if create:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            if not create:
                os.close(handle)
                raise
        os.close(handle)  # its owner removed the file while we opened it: that lock binds nobody
