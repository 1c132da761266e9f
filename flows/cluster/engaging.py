"""The workers that a run may use, from the root's settings; they are there before the run begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.config import Cluster, Project, root_settings
from tasks.errors import ModelyardError
from tasks.own import extension

if TYPE_CHECKING:
    from tasks.tables.mapping import Engine


@contextmanager
def engaged(root: Path, project: Project) -> Iterator[None]:
    """Within the block a table that is streamed is prepared by the workers that the root's settings name.

    Where they name none, and for data that is read as a whole, this process works alone.

    Args:
        root: The checkout, which all workers see at the same place.
        project: What is to be prepared.

    Raises:
        ConfigError: The settings are wrong, or a package for them is not installed.
        Unavailable: The cluster can't be reached, has too few workers, or they run other code.
    """
    asked = root_settings(root).cluster
    if asked.engine == "here" or not _is_streamed(project):
        yield
        return
    from tasks.tables import mapping  # noqa: PLC0415 - imports pandas

    start = _dask if asked.engine == "dask" else _processes
    with start(asked, root) as engine, mapping.through(engine):
        yield


def _is_streamed(project: Project) -> bool:
    from tasks.tables import rowgroups  # noqa: PLC0415 - imports pandas

    c = project.config
    try:
        return rowgroups.is_beyond(c.source, project.folder, c.columns)
    except ModelyardError:
        return False  # the step that reads it says why


def _dask(asked: Cluster, root: Path) -> AbstractContextManager[Engine]:
    from flows.cluster.dasking import connected  # noqa: PLC0415 - imports Prefect

    return connected(asked, root)


def _processes(asked: Cluster, root: Path) -> AbstractContextManager[Engine]:
    from tasks.tables.mapping import processes  # noqa: PLC0415 - as above

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processes.pool(asked.workers or cores, partial(extension.look_in, root))
