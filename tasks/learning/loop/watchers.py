"""Who is told of each epoch: a progress bar, curves that grow, a search that gives up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tasks.records import Epoch

Watcher = Callable[[Epoch, int], None]
"""Called after each epoch with its record and the number of epochs planned."""

_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within this block every training reports its epochs to `watcher`, such as a progress bar."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Within this block trainings report to nobody."""
    token = _watchers.set(())
    try:
        yield
    finally:
        _watchers.reset(token)


def watchers() -> tuple[Watcher, ...]:
    """Those that are told here."""
    return _watchers.get()
