"""Pieces worked on by a Dask cluster, to which prefect-dask connects.

They go there as plain Dask tasks and not as Prefect's: a worker then needs neither the Prefect server, which
listens on loopback, nor its credential. What a worker needs is the same code, the same libraries and the
same files at the same places, and all of that is asked for before anything begins.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks import store
from tasks.config import Cluster
from tasks.config.project import look_in
from tasks.errors import ConfigError, ResourceLimit, Unavailable
from tasks.own import extension
from tasks.tables.mapping import Engine, in_order

AHEAD = 2
"""Pieces for each thread of a worker: one that it works on, and one that waits."""
CONNECT_SECONDS = 10.0
JOIN_SECONDS = 30.0
"""How long the workers may take to join."""
LONELY_SECONDS = 60.0
"""How long a piece waits while the cluster has no worker at all."""


@contextmanager
def connected(asked: Cluster, root: Path) -> Iterator[Engine]:
    """An engine of the workers of a Dask cluster.

    Raises:
        ConfigError: prefect-dask is not installed.
        Unavailable: The cluster can't be reached, has too few workers, or they are not as this process is.
    """
    try:
        from prefect_dask import DaskTaskRunner  # noqa: PLC0415 - optional
    except ImportError:
        raise ConfigError(
            "cluster.engine is dask, and prefect-dask is not installed", fix="install it: make cluster"
        ) from None
    with DaskTaskRunner(address=asked.address, client_kwargs={"timeout": CONNECT_SECONDS}) as runner:
        try:
            client = runner.client
            client.wait_for_workers(asked.workers or 1, timeout=JOIN_SECONDS)
        except (OSError, ValueError) as error:  # of the network, a time that ran out, or another protocol
            raise _unreachable(asked, str(error)) from None
        _check(client, root)
        yield lambda function, items: _through(client, asked, _Call(str(root), function), items)


def _unreachable(asked: Cluster, why: str) -> Unavailable:
    count = asked.workers or 1
    return Unavailable(
        f"cluster.address in .modelyard.yaml: no Dask cluster with {count} worker{'s'[: count > 1]} at "
        f"{asked.address}{f': {why}' if why else ''}",
        fix="start `dask scheduler` and `dask worker`, or take cluster out to work here alone",
    )


# --- what a worker must be ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """What a process computes with, and whether it sees the files."""

    python: str
    libraries: dict[str, str]
    code: str
    sees: bool
    stale: tuple[str, ...]
    """Modules of modelyard that changed after the process began, which may have loaded them before."""
    foreign: tuple[str, ...]
    """Modules of the project's own that come from elsewhere."""


def _state(root: str, own: dict[str, str]) -> _State:
    """Of the process that is asked.

    Args:
        root: The checkout.
        own: Modules of the project's own and their files. They are loaded anew, for they may have changed.
    """
    look_in(Path(root))
    for name in own:
        sys.modules.pop(name, None)
    return _State(
        python=".".join(map(str, sys.version_info[:2])),
        libraries=store.library_versions(),
        code=store.code_digest(),
        sees=(Path(root) / "data").is_dir(),
        stale=tuple(_stale()),
        foreign=tuple(name for name, file in own.items() if importlib.import_module(name).__file__ != file),
    )


def _loaded() -> dict[str, str]:
    """Modules that this process has loaded, and their files."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return {name: file for name, file in files.items() if file is not None}


def _own(root: Path) -> dict[str, str]:
    """Those of a project's own parts that lie in the root."""
    return {
        name: file
        for name, file in _loaded().items()
        if Path(file).is_relative_to(root) and name.partition(".")[0] not in extension.OURS
        if "site-packages" not in file and extension.holds(Path(file))
    }


def _stale() -> Iterator[str]:
    import psutil  # noqa: PLC0415

    born = psutil.Process().create_time()
    for name, file in _loaded().items():
        if name.partition(".")[0] in extension.OURS and Path(file).stat().st_mtime > born:
            yield name


def _check(client: Any, root: Path) -> None:
    """Raises Unavailable unless every worker has the code, the libraries and the files of this process."""
    here, asked = _state(str(root), {}), (str(root), _own(root))
    try:
        states: dict[str, _State] = client.run(_state, *asked)
    except Exception as error:  # whatever a worker without modelyard makes of the question
        raise Unavailable(
            f"the Dask workers can't run modelyard: {type(error).__name__}: {error}",
            fix="start them in this environment, with this checkout on their PYTHONPATH",
        ) from None
    for worker, there in states.items():
        other = [name for name, version in here.libraries.items() if there.libraries.get(name) != version]
        wrong = {
            f"has Python {there.python} and not {here.python}": there.python != here.python,
            f"has another version of {', '.join(other)}": bool(other),
            "runs other code": there.code != here.code,
            f"does not see {root}": not there.sees,
            f"began before {''.join(there.stale[:1])} changed": bool(there.stale),
            f"has another {''.join(there.foreign[:1])}": bool(there.foreign),
        }
        if told := [reason for reason, holds in wrong.items() if holds]:
            raise Unavailable(
                f"Dask worker {worker} {' and '.join(told)}",
                fix="start it again with the same environment, checkout and shared folder as here",
            )


# --- the work -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """A function of one piece, in a process that finds the project's own modules."""

    root: str
    function: Callable[[Any], Any]

    def __call__(self, item: Any) -> Any:
        look_in(Path(self.root))
        return self.function(item)


def _through(client: Any, asked: Cluster, call: _Call, items: Iterable[Any]) -> Iterator[Any]:
    def submit(item: Any) -> Any:
        return client.submit(call, item, pure=False)  # it writes files, so an earlier answer would not do

    ahead = AHEAD * max(1, sum(client.nthreads().values()))
    return in_order(submit, items, ahead, partial(_answer, client, asked))


def _answer(client: Any, asked: Cluster, future: Any) -> Any:
    """What a piece came to. Dask gives the pieces of a worker that ended to the others."""
    from distributed import KilledWorker, TimeoutError  # noqa: PLC0415 - optional

    lonely: float | None = None
    while True:
        try:
            return future.result(timeout=LONELY_SECONDS / 10)
        except KilledWorker as error:
            raise ResourceLimit(
                f"a piece of the table ended several Dask workers: {error}",
                fix="give the workers more memory",
            ) from None
        except TimeoutError:
            if future.done():  # the function's own
                raise
        except (CancelledError, OSError) as error:
            if future.status == "error":  # as above
                raise
            raise _unreachable(asked, str(error) or "it ended") from None
        if client.nthreads():
            lonely = None
        elif lonely is None:
            lonely = time.monotonic()
        elif time.monotonic() - lonely > LONELY_SECONDS:
            raise _unreachable(asked, "all its workers are gone")
