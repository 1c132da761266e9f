"""Deployments on a Prefect server, made to be what `prefect.yaml` declares.

They get no work pool, as with Prefect's own `serve`: no worker can pick their runs up, only the
dispatcher of `modelyard up`. Everything here is called inside `connected`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from flows.operate.manifest import CLI, OURS, Declared, Schedule, declared, schema
from tasks.registry.backend import locked

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

RETIRED = "retired"
"""Version of a deployment whose project or declaration is gone."""
PAGE = 200
"""Largest page that the API hands out."""


def apply(root: Path) -> dict[UUID, Declared]:
    """Makes the server's deployments what `root` declares; a second call changes nothing.

    One that is declared no longer is paused and kept, so that its runs can still be looked at in the
    Prefect UI; it wakes up when its declaration comes back. Schedules that `modelyard schedule` made,
    and those without a slug, which were made by hand in the UI, stay as they are.

    Raises:
        ConfigError: `prefect.yaml` can't be carried out.
    """
    wanted = declared(root)
    with changing(root), get_client(sync_client=True) as client:
        applied = {put(client, root, one): one for one in wanted}
        for standing in every(client):
            mine = standing.parameters.get("root") == str(root) and standing.id not in applied
            if mine and standing.version != RETIRED:
                client.pause_deployment(standing.id)  # takes its scheduled runs away, too
                client.update_deployment(standing.id, DeploymentUpdate(version=RETIRED))
    return applied


@contextmanager
def changing(root: Path) -> Iterator[None]:
    """One process at a time changes deployments and schedules.

    The API's way to create a deployment throws away the schedules of one that another process made a
    moment before.
    """
    with locked(root / ".state" / "deployments.lock", waiting_for="the deployments"):
        yield


def put(client: SyncPrefectClient, root: Path, wanted: Declared) -> UUID:
    """Creates or updates one deployment and its declared schedules; returns its id.

    What is right already is left alone: an update throws the runs away that the scheduler wrote down.
    """
    fields, standing = _fields(root, wanted), find(client, wanted.flow, wanted.name)
    if standing is None:
        flow = client.create_flow_from_name(wanted.flow)
        made, changed = client.create_deployment(flow, wanted.name, **fields), True
    else:
        made, changed = standing.id, not _is(standing, fields)
        if changed:
            awake = {"paused": False} if standing.version == RETIRED else {}
            bare: dict[str, Any] = {"work_pool_name": None, "pull_steps": None, "job_variables": {}}
            client.update_deployment(made, DeploymentUpdate(**fields, **bare, **awake))
    if _synchronise(client, made, wanted.schedules) or changed:
        write_down(client, made)
    return made


def write_down(client: SyncPrefectClient, deployment: UUID) -> None:
    """Lets the server write the coming runs down now.

    It throws all of a deployment's away at most changes of it, and its scheduler takes up to a minute
    to write them again: one that was due in between would never run.
    """
    if not client.read_deployment(deployment).paused:
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={})


def find(client: SyncPrefectClient, flow: str, name: str) -> DeploymentResponse | None:
    """The deployment of that name, if there is one."""
    try:
        return client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        return None


def every(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """All deployments of modelyard's on the server, also those that a plain `prefect deploy` made."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    for offset in itertools.count(0, PAGE):
        page = client.read_deployments(deployment_filter=ours, limit=PAGE, offset=offset)
        yield from page
        if len(page) < PAGE:
            return


def _fields(root: Path, wanted: Declared) -> dict[str, Any]:
    """What the server should say; the version is a digest of all of it."""
    fields: dict[str, Any] = {
        "parameters": {**wanted.parameters, "root": str(root)},
        "tags": list(wanted.tags),
        "description": wanted.description,
        "entrypoint": wanted.entrypoint,
        "concurrency_limit": wanted.concurrency.limit,
        "parameter_openapi_schema": schema(wanted.flow),
        "enforce_parameter_schema": True,
    }
    strategy = wanted.concurrency.collision_strategy
    plain = json.dumps([fields, strategy], sort_keys=True)
    fields["version"] = hashlib.sha256(plain.encode()).hexdigest()[:12]
    fields["concurrency_options"] = ConcurrencyOptions.model_validate({"collision_strategy": strategy})
    return fields


def _is(standing: DeploymentResponse, fields: dict[str, Any]) -> bool:
    """Whether the deployment is as it should be, also where somebody changed it through the API."""
    told = ("version", "parameters", "tags", "description", "entrypoint", "enforce_parameter_schema")
    limit = standing.global_concurrency_limit
    return (
        all(getattr(standing, name) == fields[name] for name in told)
        and limit is not None
        and limit.limit == fields["concurrency_limit"]
        and not (standing.work_pool_name or standing.pull_steps or standing.job_variables)
    )


def _synchronise(client: SyncPrefectClient, deployment: UUID, wanted: tuple[Schedule, ...]) -> bool:
    """Makes the declared schedules what they should be, one by one, by slug; True if one was not.

    The API takes them all at once, too, but then it replaces those of other origins.
    """
    standing = {s.slug: s for s in client.read_deployment_schedules(deployment) if s.slug}
    gone = standing.keys() - {schedule.slug for schedule in wanted}
    changed = False
    for slug in (slug for slug in gone if not slug.startswith(CLI)):
        client.delete_deployment_schedule(deployment, standing[slug].id)
        changed = True
    for schedule in wanted:
        line = CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
        told: dict[str, Any] = {**schedule.model_dump(include={"active", "parameters"}), "schedule": line}
        there = standing.get(schedule.slug)
        if there is None:
            new = DeploymentScheduleCreate(slug=schedule.slug, **told)
            client.create_deployment_schedules(deployment, [new])
        elif any(getattr(there, key) != value for key, value in told.items()):
            client.update_deployment_schedule(deployment, there.id, **told)
        else:
            continue
        changed = True
    return changed
