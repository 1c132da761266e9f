"""Whether a command may run in a process that was started for another one: nothing may tell the two apart.

What a process was born with, its environment, limits and code, decides how libraries set themselves up
when they are imported. A command whose own process would differ in any of it runs there, not here.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IGNORED = frozenset(
    {
        "COLORTERM", "COLUMNS", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "FORCE_COLOR", "GPG_TTY",
        "INVOCATION_ID", "JOURNAL_STREAM", "LINES", "LS_COLORS", "MODELYARD_ROOT", "MODELYARD_STANDBY",
        "NO_COLOR", "OLDPWD", "PWD", "SHLVL", "SSH_AUTH_SOCK", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY",
        "STY", "TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TERM_SESSION_ID", "TMUX", "TMUX_PANE",
        "WINDOW", "WINDOWID", "XDG_RUNTIME_DIR", "XDG_SESSION_ID", "_",
    }
)  # fmt: skip
"""Variables of terminals and sessions; they are handed on, and no library looks at them when imported."""
LIMITS = tuple(sorted(name for name in dir(resource) if name.startswith("RLIMIT_")))
_SESSION = re.compile(r"session-[^/]+\.scope|user@\d+\.service")
Files = dict[str, tuple[int, int] | None]


def birth(aside: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What this process was born with, as plain data.

    Args:
        aside: Further variables to be left out.
    """
    known = {name: value for name, value in os.environ.items() if name not in IGNORED | aside}
    return {
        "code": str(Path(__file__).resolve()),
        "python": [sys.version, sys.prefix, sys.flags.optimize, sys.flags.dev_mode, sys.flags.utf8_mode],
        "warnings": [sys.warnoptions, {name: str(value) for name, value in sys._xoptions.items()}],
        "environment": known,
        "limits": [list(resource.getrlimit(getattr(resource, name))) for name in LIMITS],
        "nice": os.nice(0),
        "cores": sorted(os.sched_getaffinity(0)),
        "cgroup": _cgroup(),
    }


def differs(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In what two births differ, in a word or two; empty if they are alike."""
    return next((name for name in own if own[name] != other.get(name)), "")


def files() -> Files:
    """Time and size of every file that code was imported from, and of what Prefect reads with it."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    paths = {str(home / "profiles.toml")}
    paths |= {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    return {path: _seen(path) for path in paths}


def changed(known: Files) -> str:
    """The first file that is no longer what it was; empty if all are."""
    return next((path for path, seen in known.items() if _seen(path) != seen), "")


def _seen(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _cgroup() -> str:
    """Where limits of a group of processes would come from; sessions of one user have none of their own."""
    try:
        return _SESSION.sub("", Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    except OSError:
        return ""
