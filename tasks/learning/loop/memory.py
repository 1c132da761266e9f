"""Memory that runs out: a batch is computed in parts, and its gradients are added up.

The batch stays what the settings say, and so does each step; only how many of its rows are computed at
once gets smaller, by halves. How many that is lies beside the checkpoints, so that a training which is
taken up, or a group of processes that starts again, begins with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from tasks.store import write_json

T = TypeVar("T")

FILE = "rows-at-once.json"

_SIGNS = ("out of memory", "allocate memory", "not enough memory")
"""What torch's errors say; on the CPU they are plain RuntimeErrors."""


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


class RowsAtOnce:
    """How many rows of a batch are computed at once; None while a whole batch fits.

    Args:
        folder: The checkpoints'.
        again: Whether a step that failed is done again here. A process that trains with others can't:
            they wait for its gradients. It leaves the smaller number and fails, and all start again.
    """

    def __init__(self, folder: Path, *, again: bool) -> None:
        self._file, self._again = folder / FILE, again
        self.limit = _read(self._file)

    def parts(self, rows: int) -> list[slice]:
        """The parts that a batch of so many rows is computed in."""
        size = self.limit or rows
        return [slice(start, start + size) for start in range(0, rows, size)]

    def within(self, rows: int, work: Callable[[], T]) -> T:
        """What `work` answers, which is tried with ever smaller parts and the same random numbers.

        Running averages inside a network, such as batch normalisation's, keep what a try that failed had
        added to them.

        Raises:
            Exception: Whatever `work` raised, also when memory does not suffice for a single row.
        """
        before = _generators()
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error) or min(self.limit or rows, rows) <= 1:
                    raise
                self._halve(rows)
                if not self._again:
                    raise
            # Outside of the handler: until here the error holds the frames, and they the tensors.
            _restore(before)

    def _halve(self, rows: int) -> None:
        self.limit = -(-min(self.limit or rows, rows) // 2)
        write_json(self._file, self.limit)


def in_halves(answers: Callable[[slice], Tensor], start: int, stop: int) -> Tensor:
    """Answers (n, k) for rows `start` to `stop`, for as many at a time as memory suffices for."""
    try:
        return answers(slice(start, stop))
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error) or stop - start <= 1:
            raise
    middle = (start + stop) // 2
    return torch.cat([in_halves(answers, start, middle), in_halves(answers, middle, stop)], dim=-2)


def _read(file: Path) -> int | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, int) and found > 0 else None


def _generators() -> list[Tensor]:
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if in_use else [])]


def _restore(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)
        torch.cuda.empty_cache()
