"""The rungs below the candidate, climbed in a process beside the training, which they need nothing of.

What a baseline answers hangs on rows, settings and seed alone, and on no core or thread, so it does not
matter where it is asked: an answer that was got ahead is the one that `baselines.answer` would give. On two
cores the ladder is then ready when the training is. Nothing here imports scikit-learn but that process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.own.extension import is_own
from tasks.starting import offshoot

if TYPE_CHECKING:
    from tasks.ladder.baselines import Answer, Problem


@dataclass(frozen=True)
class Asked:
    """All that the answers hang on.

    Attributes:
        raw: Folder of the raw rows.
        cleaned: Folder of the cleaned rows.
        split: Folder of the parts.
        learned_from: Parts that baselines are fitted on.
        names: The rungs; a project's own are left out, since their code may only work where it was loaded.
        problem: What to predict, from what.
    """

    raw: Path
    cleaned: Path
    split: Path
    learned_from: tuple[str, ...]
    names: tuple[str, ...]
    problem: Problem


class Climb:
    """A process that answers for one rung after the other; it is gone when it is closed, or when we are."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._answers, far = multiprocessing.Pipe(duplex=False)
        self._process = offshoot.start(climb, asked, far) or _spawned(asked, far)
        far.close()

    def collect(self) -> dict[str, Answer]:
        """The answers by rung, awaited; those of a process that died are missing."""
        found: dict[str, Answer] = {}
        with suppress(EOFError, OSError):
            while True:
                name, answer = self._answers.recv()
                found[name] = answer
        return found

    def close(self) -> None:
        """Ends the process, done or not."""
        self._process.kill()
        self._process.join()
        self._answers.close()


def _spawned(asked: Asked, far: Connection) -> BaseProcess:
    """A new interpreter, since a fork of this process as it is now would inherit its threads' locks."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_climb_alone, args=(asked, far), name="ladder", daemon=True)
    process.start()
    return process


def _climb_alone(asked: Asked, answers: Connection) -> None:
    """As `climb`, in an interpreter that knows its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    climb(asked, answers)


def climb(asked: Asked, answers: Connection) -> None:
    """In the process of its own: answers for each rung, all told at the end."""
    from tasks.ladder import baselines  # noqa: PLC0415
    from tasks.ladder.rows import read_rows  # noqa: PLC0415
    from tasks.splitting import parts as dealt  # noqa: PLC0415

    parts, problem = dealt.load(asked.split), asked.problem
    rows = read_rows(asked.raw, asked.cleaned, parts, problem.target, problem.task, asked.learned_from)
    names = [name for name in asked.names if not is_own(name)]
    found = [(name, baselines.answer(name, rows.train, rows.test, problem)) for name in names]
    for each in found:  # only now: a pipe holds 64 kB, and nobody reads before the training has ended
        answers.send(each)
    answers.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in a child"
    wait([parent.sentinel])
    os._exit(1)


_ROOM: ContextVar[list[Climb] | None] = ContextVar("modelyard_ladder_ahead", default=None)


@contextmanager
def room() -> Iterator[None]:
    """Within this block `begin` has an effect; a climb that nobody collected is ended with it."""
    climbs: list[Climb] = []
    token = _ROOM.set(climbs)
    try:
        yield
    finally:
        _ROOM.reset(token)
        for each in climbs:
            each.close()


def begin(asked: Asked) -> None:
    """Starts to answer, unless that was begun or can't be."""
    climbs = _ROOM.get()
    if climbs is not None and not climbs:
        with suppress(OSError):  # no process to be had: `evaluate` asks itself
            climbs.append(Climb(asked))


def collected(asked: Asked) -> dict[str, Answer]:
    """The answers that were got ahead for exactly this; none where nothing was begun for it."""
    climbs = _ROOM.get() or []
    if not climbs or climbs[0].asked != asked:
        return {}
    return climbs[0].collect()
