"""Pieces worked on by a few processes of this machine, which end with the block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from tasks.errors import ResourceLimit
from tasks.tables.mapping import Engine, in_order

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Pieces for each worker: one that it works on, and one that waits."""


@contextmanager
def pool(workers: int, start: Callable[[], None] | None = None) -> Iterator[Engine]:
    """An engine of so many processes, which are started when the first piece comes.

    Args:
        workers: How many.
        start: What each does first; a function that can be pickled.
    """
    # Not forked: this process has threads by now, and a lock of one of them would stay locked for ever.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start) as executor:

        def engine(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
            return in_order(lambda item: executor.submit(function, item), items, AHEAD * workers, _answer)

        try:
            yield engine
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _answer(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        raise ResourceLimit(
            "a process that works on pieces of the table was killed, often for want of memory",
            fix="lower cluster.workers in .modelyard.yaml; what was finished is reused",
        ) from None
