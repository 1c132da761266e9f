"""What `modelyard up` left standing: who keeps it up, where it answers, how it is doing.

The keeper writes `ROOT/.state/up.json`. The lock `ROOT/.state/up.lock` is handed down to everything
that it starts: it stays taken until the last of them is gone, so a lock that is free proves that
nothing of an earlier `up` is left, however that ended.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, Any

from flows.servers.credentials import private
from flows.servers.locks import exclusive
from tasks import lease

SETTLING_SECONDS = 30.0
"""Within so many seconds a keeper has told about itself, or everything that it kept is gone."""


def record(root: Path) -> Path:
    """Where the keeper tells what stands."""
    return root / ".state" / "up.json"


def lock(root: Path) -> IO[bytes] | None:
    """The lock of what stands, taken; None while something stands."""
    return exclusive(private(root / ".state") / "up.lock")


def stands(root: Path) -> bool:
    """Whether a keeper, or anything that one started, is alive."""
    if not (root / ".state" / "up.lock").exists():
        return False
    if (taken := lock(root)) is None:
        return True
    taken.close()
    return False


def read(root: Path) -> dict[str, Any] | None:
    """What stands, as its keeper told it last; None if none is alive, or it has not told yet.

    Keys: `keeper` (pid, created, boot, started) and `services` by name, each with `state` (waiting,
    starting, up, restarting, failed, stopping), `pid`, `created`, `url`, `host` and `port` (None for the
    dispatcher), `log`, `restarts`, `since`.
    """
    told = last(root) if stands(root) else None
    return told if told and process(told["keeper"]) else None


def last(root: Path) -> dict[str, Any] | None:
    """As `read`, but whether or not its keeper is alive."""
    try:
        told = json.loads(record(root).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and told.get("keeper", {}).get("boot") == lease.boot_id() else None


def settled(root: Path, seconds: float = SETTLING_SECONDS) -> dict[str, Any] | None:
    """As `read`, but waits for a keeper that is just coming or going."""
    deadline = time.monotonic() + seconds
    while (told := read(root)) is None and stands(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    return told


def process(told: dict[str, Any]) -> Any:
    """The living `psutil.Process` of a record's `pid` and `created`; a pid that was given anew is not it."""
    import psutil  # noqa: PLC0415

    pid, when = told.get("pid"), told.get("created")
    return psutil.Process(pid) if pid and when and created(pid) == when else None


def created(pid: int) -> float | None:
    """When a process was made, as its pid alone does not tell which it is; None if it has ended."""
    import psutil  # noqa: PLC0415

    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else float(found.create_time())
    except psutil.Error:
        return None
