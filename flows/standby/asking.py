"""A command that lets the process that stands by run it, where that would be no other than running it here.

With `modelyard up` standing, a training need not wait for torch, MLflow, Prefect and Great Expectations to be
imported, five seconds that are otherwise paid by each. Terminal, working folder and environment are handed
over; signals are passed on; when this process is gone, however it went, the other is too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from flows import roots
from flows.standby import likeness, wire
from tasks.errors import ModelyardError

COMMANDS = ("train", "retrain", "resume", "sweep", "check", "evaluate", "predict", "status")
"""Commands that import more than they compute."""
OFF = "MODELYARD_STANDBY"
"""Set to 0 in the environment, every command runs in its own process, and `up` keeps none ready."""
PATIENCE = 5.0
"""Seconds that the other process may take to say whether it will."""
KEYS = (signal.SIGINT, signal.SIGQUIT)
"""A terminal sends these to a command and to what that started."""
PASSED_ON = (*KEYS, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def answer(words: Sequence[str]) -> int | None:
    """Exit code of a command line that was run by the process that stands by; None if it has to run here."""
    if not words or words[0] not in COMMANDS or os.environ.get(OFF) == "0":
        return None
    try:
        root = roots.find_root(_given(words))
    except (ModelyardError, OSError):
        return None  # the command says so itself
    return hand_over(words, root)


def hand_over(words: Sequence[str], root: Path) -> int | None:
    """As `answer`, for any command of a known root."""
    place = wire.address(root)
    if place is None or not Path(place).exists():
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        try:
            for standard in range(3):
                os.fstat(standard)
            connection.connect(place)
            wire.send(connection, _request(words), (0, 1, 2))
            lines = connection.makefile("rb")
            pid = _line(lines).get("pid")
        except (OSError, ValueError):
            return None
        if pid is None:
            return None
        connection.settimeout(None)
        with _passing_on(pid):
            return _mirrored(_line(lines))


def _given(words: Sequence[str]) -> str | None:
    """The value of `--root`."""
    for index, word in enumerate(words):
        if word == "--root":
            return words[index + 1] if index + 1 < len(words) else None
        if word.startswith("--root="):
            return word.removeprefix("--root=")
    return None


def _request(words: Sequence[str]) -> dict[str, Any]:
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "words": list(words),
        "program": sys.argv[0],
        "folder": str(Path.cwd()),
        "umask": mask,
        "path": sys.path,
        "environment": dict(os.environ),
        "birth": likeness.birth(),
    }


def _line(lines: IO[bytes]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(lines.readline() or b"{}")
    return told


def _mirrored(told: dict[str, Any]) -> int:
    """Ends as the other process did."""
    if "exit" in told:
        return int(told["exit"])
    number = told.get("signal", signal.SIGKILL)
    sys.stderr.write(f"error[KILLED] the process of this command was ended by signal {number}\n")
    return 128 + int(number)


@contextmanager
def _passing_on(pid: int) -> Iterator[None]:
    """Signals of this process reach the other."""

    def passed(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has just ended, and said how
            (os.killpg if number in KEYS else os.kill)(pid, number)

    def stopped(*_: Any) -> None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.killpg(pid, signal.SIGCONT)

    before = {number: signal.signal(number, passed) for number in PASSED_ON}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, stopped)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
