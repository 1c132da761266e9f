"""Which of the processes that train one network this is, and what it does with the others.

All hold all examples, draw the same order of rows from the same seed, and take each their share of every
batch. A process' loss counts as much as its rows do, so that the gradients add up to those of the whole
batch. What is decided once an epoch (figures, seconds, the end) is decided by the first and told to all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

STEP = 7_919
"""Between the seeds of the processes' dropout and augmentation."""


@dataclass(frozen=True)
class Ranks:
    """One process, or one of several.

    Attributes:
        rank: Which, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def share(self, rows: Tensor) -> Tensor:
        """This process' rows of a batch; every n-th, so that all have about the same lengths."""
        return rows if self.alone else rows[self.rank :: self.size]

    def span(self, rows: int) -> slice:
        """This process' rows of so many."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def scatter(self) -> None:
        """From here on the random numbers are this process' own; those of the first stay as they were."""
        if self.rank:
            torch.manual_seed(torch.initial_seed() + STEP * self.rank)

    def wrapped(self, network: nn.Module, device: torch.device) -> nn.Module:
        """The network as it is trained: its weights and buffers are the first process', on all.

        Batch normalisation sees the whole batch on CUDA only. torch has no such kernel for the CPU, where
        each process normalises by its own rows.
        """
        if self.alone:
            return network
        if device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        where = [device] if device.type == "cuda" else None
        # Parts of a network may have no share in an answer, and then have no gradient to wait for.
        return DistributedDataParallel(network, device_ids=where, find_unused_parameters=True)

    @contextmanager
    def adding(self, network: nn.Module, *, last: bool) -> Iterator[None]:
        """Within this block gradients are added up here; with the last part of a batch, over all."""
        if isinstance(network, DistributedDataParallel) and not last:
            with network.no_sync():
                yield
        else:
            yield

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if not self.alone:
            distributed.all_reduce(values)
        return values

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Rows (n, k) of all processes, in order; of several processes on the CPU."""
        if self.alone:
            return torch.cat(parts, dim=-2)
        found: list[list[Tensor]] = [parts] * self.size
        distributed.all_gather_object(found, [part.cpu() for part in parts])
        return torch.cat([part for each in found for part in each], dim=-2)

    def agreed(self, value: T) -> T:
        """What the first process says."""
        if self.alone:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def same(self, value: int) -> int:
        """The value, which all must have.

        Raises:
            RuntimeError: They do not: a checkpoint that one can read and another can't, say.
        """
        first = self.agreed(value)
        if value != first:
            raise RuntimeError(f"process {self.rank} goes on after epoch {value}, the first after {first}")
        return value


ALONE = Ranks()
