"""What goes on beside a training, on a core that it leaves free: baselines, and who is to try the model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows import audience, occupation
from tasks.config import Config, root_settings, with_dummy
from tasks.records import Epoch

if TYPE_CHECKING:
    from flows.books.keeping import Books

WORTH_SECONDS = 3.0
"""A training that goes on for less is over before another process has imported anything."""
CALL_SECONDS = 10.0
"""What is left of a training when the process that is to try the model is called; it takes five to get ready,
and waits at the price of its memory."""


@contextmanager
def training_here(books: Books, *, judged: bool = False) -> Iterator[None]:
    """Holds the GPU, where there is one, and lets the audience hear of each epoch.

    After the first epoch the baselines are begun. Towards the end, the process that is to try the model is
    called: its imports go on beside the training.

    Args:
        books: The run.
        judged: Whether the trained model will be compared with baselines.
    """
    from flows.books.keeping import device_of  # noqa: PLC0415 - it imports this module
    from tasks.learning import training as loop  # noqa: PLC0415
    from tasks.learning.loop import group  # noqa: PLC0415
    from tasks.registry import reproduce  # noqa: PLC0415

    def heard(epoch: Epoch, total: int) -> None:
        audience.present().epoch(epoch, total)
        left = epoch.seconds * (total - epoch.epoch)
        if judged and left > WORTH_SECONDS and has_free_core(books.config):
            begin_ladder(books)
        if left < CALL_SECONDS:
            reproduce.call_ahead()

    who = {"project": books.config.name, "action": "fit", "mlflow_run_id": books.run.run_id}
    with (
        occupation.device(books.root, device_of(books.config), audience.present().waits, **who),
        group.spread(root_settings(books.root).training),
        loop.watching(heard),
    ):
        yield


def has_free_core(config: Config) -> bool:
    """Whether this process may use more cores than the training takes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.fit.processes * (config.fit.threads or cores) < cores


def begin_ladder(books: Books) -> None:
    """Lets baselines be answered beside the training; a second call does nothing."""
    from tasks.ladder import ahead  # noqa: PLC0415
    from tasks.ladder.baselines import Problem  # noqa: PLC0415

    c = books.config
    raw, cleaned, split = (books.records[step].folder for step in ("validate", "clean", "split"))
    balanced = c.fit.class_weights == "balanced"
    problem = Problem(c.task, c.target, c.columns, c.encode, books.exclude, c.seed, balanced)
    names = with_dummy(c.task, c.evaluate.baselines)
    ahead.begin(ahead.Asked(raw, cleaned, split, c.fit.learned_from, names, problem))
