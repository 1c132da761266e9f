"""Schedules that people make and take away, with those of `prefect.yaml` beside them.

A schedule lives in Prefect's database, so it holds while nothing runs and fires once `modelyard up`
does. Everything here is called inside `connected`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

from flows.operate import deployments, timetable
from flows.operate.backlog import MISSED, overdue, strays
from flows.operate.manifest import CLI, FLOWS, Declared, Schedule, declared
from tasks import config
from tasks.errors import ConfigError, did_you_mean, quoted

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

__all__ = ["MISSED", "TAKEN_AWAY", "Change", "Row", "add", "listing", "overdue", "remove", "strays"]

TAKEN_AWAY = "its schedule was taken away"
"""Why a run that was written down in advance does not start."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One schedule: what it starts, when, and where it comes from."""

    project: str
    flow: str
    name: str
    cron: str
    """The line; for another kind, made by hand in the Prefect UI, its words."""
    timezone: str
    active: bool
    """False where the schedule or its deployment is paused, or not on the server yet."""
    next: datetime | None
    """The next time, aware, in the schedule's zone."""
    origin: str
    """`cli`, `file` (prefect.yaml), or `ui` (made by hand)."""
    id: UUID | None = None
    deployment: UUID | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        names = ("project", "flow", "name", "cron", "timezone", "active", "origin")
        return {
            **{name: getattr(self, name) for name in names},
            "next": None if self.next is None else self.next.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Change:
    """What `add` did: `made`, `replaced` or `unchanged`; what stood there before; the coming times."""

    word: str
    row: Row
    before: Row | None
    upcoming: tuple[datetime, ...]


def add(root: Path, project: str, cron: str, timezone: str, *, name: str, flow: str) -> Change:
    """Lets a cron line start a project's flow; the same call twice makes one schedule.

    A name is taken once in a project: with another line, zone or flow it replaces what stood there.
    The first runs are written down at once, without waiting for the scheduler's next round.

    Raises:
        ConfigError: No such project, or a line, zone or name that can't be used.
    """
    timetable.check(cron, timezone, "--")
    target, slug = _target(root, flow, project), _slug(name)
    with deployments.changing(root), get_client(sync_client=True) as client:
        standing = deployments.find(client, target.flow, target.name)
        if standing is None or standing.version == deployments.RETIRED:
            deployments.put(client, root, target)
        before = [r for r in _rows(client) if (r.project, r.name, r.origin) == (project, name, "cli")]
        wanted = (flow, cron, timezone, True)
        same = [row for row in before if (row.flow, row.cron, row.timezone, row.active) == wanted]
        if not same:
            for row in before:
                _take_away(client, row)
            _create(client, target, Schedule(slug=slug, cron=cron, timezone=timezone))
        row = next(r for r in _rows(client) if (r.project, r.name, r.origin) == (project, name, "cli"))
        word = "unchanged" if same else "replaced" if before else "made"
        times = [run.expected_start_time for run in _scheduled(client, row) if run.expected_start_time]
    local = tuple(time.astimezone(ZoneInfo(timezone)) for time in times)
    return Change(word=word, row=row, before=next(iter(before), None), upcoming=local)


def remove(root: Path, project: str, name: str | None) -> list[Row]:
    """Takes schedules away that `add` made, with the runs that were written down for them.

    Args:
        root: The checkout.
        project: Whose.
        name: Which one; None for all of them.

    Returns:
        Those taken away; none where there was none of that name.

    Raises:
        ConfigError: No such project, or a schedule that is declared in prefect.yaml or made by hand.
    """
    with deployments.changing(root), get_client(sync_client=True) as client:
        rows = [row for row in _rows(client) if row.project == project]
        if not rows and project not in config.names(root):
            _target(root, "train", project)  # says so
        chosen = [row for row in rows if row.origin == "cli" and name in (None, row.name)]
        if not chosen and (other := next((row for row in rows if row.name == name), None)):
            _refuse(root, other)
        for row in chosen:
            _take_away(client, row)
    return chosen


def listing(root: Path) -> list[Row]:
    """Every schedule on the server, and those of prefect.yaml that are not on it yet; by project."""
    with get_client(sync_client=True) as client:
        rows = list(_rows(client))
    there = {(row.project, row.flow, row.name) for row in rows if row.origin == "file"}
    waiting = [
        Row(
            project=one.project,
            flow=one.flow,
            name=schedule.slug,
            cron=schedule.cron,
            timezone=schedule.timezone,
            active=False,
            next=None,
            origin="file",
        )
        for one in declared(root)
        for schedule in one.schedules
        if (one.project, one.flow, schedule.slug) not in there
    ]
    return sorted(rows + waiting, key=lambda row: (row.project, row.flow, row.name))


def _target(root: Path, flow: str, project: str) -> Declared:
    """The deployment that starts `flow` for a project: the one of the project's name before others."""
    names = config.names(root)
    if project not in names:
        unknown = f"no project {quoted(project)} below {root / 'data'}"
        raise ConfigError(unknown, fix=did_you_mean(project, names))
    fitting = [one for one in declared(root) if (one.flow, one.project) == (flow, project)]
    return next((one for one in fitting if one.name == project), fitting[0])


def _slug(name: str) -> str:
    try:
        return Schedule(slug=f"{CLI}{name}", cron=timetable.EXAMPLE, timezone="UTC").slug
    except ValueError:
        fix = "use up to fifty letters, digits, - and _"
        raise ConfigError(f"--name {quoted(name)}: not a name for a schedule", fix=fix) from None


def _create(client: SyncPrefectClient, target: Declared, schedule: Schedule) -> None:
    standing = deployments.find(client, target.flow, target.name)
    assert standing is not None
    line = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    new = DeploymentScheduleCreate(slug=schedule.slug, schedule=line, active=True)
    client.create_deployment_schedules(standing.id, [new])
    deployments.write_down(client, standing.id)


def _take_away(client: SyncPrefectClient, row: Row) -> None:
    """Deletes a schedule with the runs written down for it, also one that waits for a free slot."""
    assert row.deployment is not None
    assert row.id is not None
    client.delete_deployment_schedule(row.deployment, row.id)
    for run in _scheduled(client, row):
        client.set_flow_run_state(run.id, Cancelled(message=TAKEN_AWAY), force=True)
    deployments.write_down(client, row.deployment)  # what other schedules of the deployment lost


def _refuse(root: Path, row: Row) -> None:
    if row.origin == "file":
        raise ConfigError(
            f"the schedule {quoted(row.name)} of {row.project} is declared in {root / 'prefect.yaml'}",
            fix="take it out there, or set `active: false`; `modelyard up` carries that out",
        )
    raise ConfigError(
        f"the schedule {quoted(row.name)} of {row.project} was made by hand",
        fix="remove it in the Prefect UI",
    )


def _scheduled(client: SyncPrefectClient, row: Row) -> list[FlowRun]:
    """The runs of a schedule that have not begun, by time."""
    chosen = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[row.deployment]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    soonest = FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC
    runs = client.read_flow_runs(flow_run_filter=chosen, sort=soonest, limit=deployments.PAGE)
    return [run for run in runs if run.auto_scheduled and run.created_by and run.created_by.id == row.id]


def _rows(client: SyncPrefectClient) -> Iterator[Row]:
    """Every schedule of modelyard's deployments on the server."""
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS.values())))
    flows = {flow.id: flow.name for flow in client.read_flows(flow_filter=ours)}
    for deployment in deployments.every(client):
        if (flow := flows.get(deployment.flow_id)) is not None:
            yield from (_standing(deployment, schedule, flow) for schedule in deployment.schedules)


def _standing(deployment: DeploymentResponse, schedule: DeploymentSchedule, flow: str) -> Row:
    slug, line = schedule.slug or "", schedule.schedule
    origin = "cli" if slug.startswith(CLI) else "file" if slug else "ui"
    cron, zone = line.cron if isinstance(line, CronSchedule) else "", getattr(line, "timezone", None) or "UTC"
    active = schedule.active and not deployment.paused
    return Row(
        project=str(deployment.parameters.get("project", "")),
        flow=flow,
        name=slug.removeprefix(CLI),
        cron=cron or str(line),
        timezone=zone,
        active=active,
        next=timetable.following(cron, zone) if active else None,
        origin=origin,
        id=schedule.id,
        deployment=deployment.id,
    )
