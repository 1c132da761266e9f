"""A stopwatch that is charged to one cause at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

OTHER = "other"
"""The cause of what no span covers."""
ITSELF = "the step itself"
"""What a step does, but for what has a span of its own."""


@dataclass(frozen=True)
class Spent:
    """What one cause took of one step.

    Attributes:
        step: The step; empty before the first and after the last.
        cause: What the time went into.
        seconds: Of wall time.
        cpu_seconds: Of this process on all cores; less than `seconds` where it waited.
    """

    step: str
    cause: str
    seconds: float
    cpu_seconds: float


class Ledger:
    """Seconds by step and cause, of the thread that made it."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._taken: dict[tuple[str, str], tuple[float, float]] = {}
        self._open: list[tuple[str, str]] = [("", OTHER)]
        self._since = _now()

    @property
    def spent(self) -> list[Spent]:
        """Every step and cause so far, in the order in which they came up."""
        self._charge()
        return [Spent(*place, *taken) for place, taken in self._taken.items()]

    def _charge(self) -> None:
        """Gives the time since the last change to what is open."""
        now, place = _now(), self._open[-1]
        wall, cpu = self._taken.get(place, (0.0, 0.0))
        self._taken[place] = wall + now[0] - self._since[0], cpu + now[1] - self._since[1]
        self._since = now

    @contextmanager
    def _opened(self, step: str | None, cause: str) -> Iterator[None]:
        if threading.get_ident() != self._thread:  # what runs beside it takes no time of its own
            yield
            return
        self._charge()
        self._open.append((self._open[-1][0] if step is None else step, cause))
        try:
            yield
        finally:
            self._charge()
            self._open.pop()


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


_LEDGER: ContextVar[Ledger | None] = ContextVar("modelyard_spans", default=None)


@contextmanager
def kept(ledger: Ledger) -> Iterator[None]:
    """Charges spans of this context to `ledger`, for the length of the block."""
    token = _LEDGER.set(ledger)
    try:
        yield
    finally:
        _LEDGER.reset(token)


@contextmanager
def span(cause: str) -> Iterator[None]:
    """Charges the block to a cause, but for the spans inside it."""
    with _charged(None, cause):
        yield


@contextmanager
def step(name: str, cause: str = OTHER) -> Iterator[None]:
    """As `span`, and the spans inside belong to the step `name`."""
    with _charged(name, cause):
        yield


def _charged(step: str | None, cause: str) -> AbstractContextManager[None]:
    ledger = _LEDGER.get()
    return nullcontext() if ledger is None else ledger._opened(step, cause)
