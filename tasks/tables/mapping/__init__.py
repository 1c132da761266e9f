"""Where the pieces of a table beyond memory are worked on: here, one after the other, or by others for us.

A function of a piece sees that piece alone, and what it returns is put together in the order of the pieces.
So the bits are the same wherever it ran, and an engine has nothing to decide but the place: this process, a
few processes of this machine (`processes`), or a cluster, which only the application knows of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from tasks.tables.mapping import memory

A = TypeVar("A")
B = TypeVar("B")


class Engine(Protocol):
    """Applies a function to items, some of them ahead, and yields what it returned in their order.

    It takes few items more than were answered, so that neither they nor the answers fill memory. An error
    of the function is raised as it is, when its item's turn comes.
    """

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """The answers. Function, items and answers can be pickled."""


def _here(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    return map(function, items)


_ENGINE: ContextVar[Engine] = ContextVar("engine", default=_here)


def mapped(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """What the function makes of each item, in order; in this process unless an engine is there.

    When several are answered, memory that working on them took and nobody uses is given back.
    """
    count = 0
    for answer in _ENGINE.get()(function, items):
        count += 1
        yield answer
    if count > 1:  # a table in memory is one piece, and this takes longer than most steps on it
        memory.give_back()


@contextmanager
def through(engine: Engine | None) -> Iterator[None]:
    """Within the block `mapped` works through an engine; None stands for this process."""
    token = _ENGINE.set(engine or _here)
    try:
        yield
    finally:
        _ENGINE.reset(token)


def in_order(
    submit: Callable[[A], Any], items: Iterable[A], ahead: int, answer: Callable[[Any], B]
) -> Iterator[B]:
    """The answers of an engine that works through futures, in order.

    Args:
        submit: Hands an item over and returns at once.
        items: What is to be handed over.
        ahead: How many are handed over and not answered yet, at most.
        answer: Waits for what `submit` returned.
    """
    waiting = deque[Any]()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) >= ahead:
            yield answer(waiting.popleft())
    while waiting:
        yield answer(waiting.popleft())
