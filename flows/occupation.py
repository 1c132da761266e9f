"""What a run occupies while it lives: its own lease, its project's slot and the GPU's.

One run of a project goes on at a time, whoever started it: a person, a schedule, a worker of a work
pool. All of it ends with the process (see `tasks.lease`).
"""

from __future__ import annotations

import os
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from tasks import lease
from tasks.lease import Lease

Policy = Literal["wait", "cancel", "refuse"]
"""What becomes of a second run of a project: it waits, it cancels the first, or it is refused."""

GRACE_SECONDS = 60.0
"""How long a run that was cancelled may take to end: an epoch is not interrupted in a kernel."""

_RUN: ContextVar[Lease | None] = ContextVar("modelyard_run", default=None)


def runs(root: Path) -> Path:
    """Folder of the runs' leases."""
    return root / ".state" / "leases" / "runs"


def slot(root: Path, name: str) -> Path:
    """The file of a slot."""
    return root / ".state" / "leases" / name


@contextmanager
def run(root: Path, **facts: Any) -> Iterator[Lease]:
    """The run's own lease, for the length of the block; an inner block finds the outer one's.

    It is left on disk unless `settled` says that the last state of the run is stored everywhere:
    what a crash leaves is the reconciler's work list.
    """
    if (outer := _RUN.get()) is not None:
        outer.note(**facts)
        yield outer
        return
    held = lease.take(runs(root) / uuid.uuid4().hex, root=str(root), **facts)
    assert held is not None  # nobody else knows the name
    token = _RUN.set(held)
    try:
        yield held
    finally:
        _RUN.reset(token)
        held.release(remove=bool(held.facts.get("settled")))


@contextmanager
def project(
    root: Path, name: str, policy: Policy, told: Callable[[str], None], **facts: Any
) -> Iterator[None]:
    """The project's slot: one run at a time.

    Args:
        root: The checkout.
        name: The project.
        policy: What happens if another run has it.
        told: Is told in a sentence what is waited for.
        facts: For the slot's note.

    Raises:
        RegistryConflict: Another run goes on and the policy is to refuse, or it does not end.
    """
    path = slot(root, f"project-{name}")
    seconds = {"wait": None, "refuse": 0.0, "cancel": GRACE_SECONDS}[policy]

    def wait(owner: dict[str, Any]) -> None:
        if policy == "cancel" and cancel(owner):
            told(f"cancelled the active run: {lease.describe(owner)}")
        else:
            told(f"waiting for the active run: {lease.describe(owner)}")

    busy = f"another run of {name} is active"
    with lease.wait(path, seconds=seconds, told=wait, busy=busy, project=name, **facts):
        yield


@contextmanager
def device(root: Path, kind: str, told: Callable[[str], None], **facts: Any) -> Iterator[None]:
    """The GPU, where the run trains on one; the CPU is shared by whoever wants it."""
    if kind == "cpu":
        yield
        return

    def wait(owner: dict[str, Any]) -> None:
        told(f"waiting for the GPU: {lease.describe(owner)}")

    with lease.wait(slot(root, "gpu-0"), seconds=None, told=wait, **facts):
        yield


def cancel(owner: dict[str, Any]) -> bool:
    """Asks the process that left this note to stop, as Ctrl-C would; False if it is out of reach."""
    here = owner.get("host") == socket.gethostname() and owner.get("boot") == lease.boot_id()
    pid = owner.get("pid")
    if not here or not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        os.kill(pid, signal.SIGINT)
    except (ProcessLookupError, PermissionError):
        return False
    return True
