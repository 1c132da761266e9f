"""Which of the runs that nobody ran in time are made up for.

Prefect's scheduler writes runs down in advance: those of the next hour, but at least three. While
nothing runs them they become overdue, sixty-one of them for a line that fires every minute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

MISSED = "missed while nothing ran them; one catch-up run is enough"
"""Why an older overdue run is not made up for."""


class Due(Protocol):
    """What is asked of a flow run."""

    @property
    def auto_scheduled(self) -> bool: ...  # noqa: D102
    @property
    def run_count(self) -> int: ...  # noqa: D102
    @property
    def expected_start_time(self) -> datetime | None: ...  # noqa: D102
    @property
    def parameters(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def created_by(self) -> Any: ...  # noqa: D102


Run = TypeVar("Run", bound=Due)


def overdue(runs: Iterable[Run], now: datetime) -> tuple[list[Run], list[Run]]:
    """Which due runs of one deployment to start, and which to skip as MISSED.

    Of runs that the scheduler made and that would do the same work (equal parameters), the newest is
    enough. What a person or another program asked for is never skipped, nor is a run that had begun.

    Args:
        runs: Scheduled runs of one deployment; those that are not due yet are left out.
        now: Aware.

    Returns:
        (to run, to skip), each by the time it was due.
    """
    early = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(runs, key=lambda run: run.expected_start_time or early)
    due = [run for run in ordered if (run.expected_start_time or early) <= now]
    keep: list[Run] = []
    skip: list[Run] = []
    seen: list[dict[str, Any]] = []
    for run in reversed(due):
        missed = run.auto_scheduled and run.run_count == 0 and run.parameters in seen
        (skip if missed else keep).append(run)
        if run.auto_scheduled:
            seen.append(run.parameters)
    return keep[::-1], skip[::-1]


def strays(runs: Iterable[Run], standing: Collection[UUID]) -> list[Run]:
    """Runs that the scheduler made for a schedule that is not there any more.

    Taking a schedule away removes its runs; but a scheduler that had just read it may write down some
    more a moment later, and nothing else ever removes these.

    Args:
        runs: Scheduled runs of one deployment.
        standing: The deployment's present schedules.
    """
    return [
        run for run in runs if run.auto_scheduled and run.created_by and run.created_by.id not in standing
    ]
