"""Who watches a run while it goes on: a terminal, or nobody.

A step prints nothing; the flow tells the audience of the current context what begins and ends. The
context variable keeps two runs in one process apart, and leaves the flow's parameters plain data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tasks.records import Epoch, RunRef


class Audience:
    """Hears what happens and does nothing about it; subclasses override what they care for."""

    def started(self, run: RunRef, flow_run_id: str) -> None:
        """The MLflow run and the Prefect flow run exist."""

    def waits(self, why: str) -> None:
        """The run waits for something that another one has."""

    def begin(self, step: str) -> None:
        """A step begins."""

    def epoch(self, epoch: Epoch, total: int) -> None:
        """Training finished one epoch of `total`."""

    def end(self, record: Any) -> None:
        """A step returned its record."""

    def failed(self, step: str) -> None:
        """A step raised."""


_AUDIENCE: ContextVar[Audience] = ContextVar("modelyard_audience", default=Audience())  # noqa: B039


def present() -> Audience:
    """The audience of the current context."""
    return _AUDIENCE.get()


@contextmanager
def watching(audience: Audience) -> Iterator[None]:
    """Makes `audience` the one that is told, for the length of the block."""
    token = _AUDIENCE.set(audience)
    try:
        yield
    finally:
        _AUDIENCE.reset(token)
