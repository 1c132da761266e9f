"""prefect.yaml: what it may say, that the plain Prefect CLI takes it, and what becomes of it on a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.servers.prefect_server import connected, prefect_server
from tasks import config
from tasks.errors import ConfigError

ENTRY = {"name": "rings", "entrypoint": "flows.train:train", "parameters": {"project": "rings"}}
DAILY = {"slug": "daily", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}


def write(root: Path, *entries: Any) -> None:
    (root / "prefect.yaml").write_text(yaml.safe_dump({"name": "any", "deployments": list(entries)}))


@pytest.fixture
def ground(tmp_path: Path) -> Path:
    """A root with the bare names of two projects; deployments need no more of them."""
    for name in ("rings", "tiles"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "project.yaml").touch()
    return tmp_path


@pytest.fixture(scope="module")
def api(yard) -> Iterator[Any]:
    """A client of the yard's Prefect server."""
    with prefect_server(yard.root) as server, connected(server):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            yield client


def test_shipped_file(root: Path) -> None:
    from prefect.cli.deploy._models import PrefectYamlModel

    from flows.operate.manifest import declared

    found = declared(root)
    tree = PrefectYamlModel.model_validate(yaml.safe_load((root / "prefect.yaml").read_text()))
    assert len(found) == len(tree.deployments), "every project that is shipped is named in the file"
    assert {(one.flow, one.project) for one in found} >= {
        (flow, name) for flow in ("train", "retrain") for name in config.names(root)
    }
    nightly = next(one for one in found if (one.flow, one.name) == ("retrain", "digits"))
    assert [(s.cron, s.timezone, s.active) for s in nightly.schedules] == [
        ("0 3 * * *", "Europe/Berlin", True)
    ]
    assert nightly.tags == ("modelyard", "digits", "retrain")
    for entry in tree.deployments:
        assert entry.work_pool is not None
        assert entry.concurrency_limit.limit == 1


@pytest.mark.parametrize("name", ["train", "retrain", "predict"])
def test_schema_from_source_is_that_of_the_flow(name: str) -> None:
    from prefect.utilities.callables import parameter_schema

    from flows.operate.manifest import FLOWS, schema

    entrypoint = next(entry for entry, flow in FLOWS.items() if flow == name)
    module, function = entrypoint.split(":")
    flow = getattr(import_module(module), function)
    assert flow.name == name
    assert schema(name) == parameter_schema(flow).model_dump(exclude_unset=True)


def test_entrypoint_by_path_works_too(root: Path) -> None:
    from prefect.flows import load_flow_from_entrypoint

    assert load_flow_from_entrypoint(f"{root / 'flows' / 'train.py'}:train").name == "train"


def test_projects_that_no_file_names(ground: Path) -> None:
    from flows.operate.manifest import declared

    every = {("train", "rings"), ("retrain", "rings"), ("train", "tiles"), ("retrain", "tiles")}
    assert {(one.flow, one.name) for one in declared(ground)} == every
    write(ground, {**ENTRY, "name": "twice-a-day", "tags": ["mine"]})
    named = {(one.flow, one.name): one for one in declared(ground)}
    assert named.keys() == every - {("train", "rings")} | {("train", "twice-a-day")}
    assert named["train", "twice-a-day"].tags == ("modelyard", "mine")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"entrypoint": "flows.train:trian"}, "did you mean 'flows.train:train'?"),
        ({"entrypoint": "os:system"}, "is no flow of modelyard's"),
        ({"parameters": {"project": "ring"}}, "no project 'ring' below data/; did you mean 'rings'?"),
        ({"parameters": {}}, "no project None"),
        ({"parameters": {"project": "rings", "soruce": "x"}}, ".parameters.soruce: the flow train takes no"),
        ({"parameters": {"project": "rings", "settings": 3}}, ".parameters.settings: 3 is not"),
        ({"schedules": [{**DAILY, "cron": "61 3 * * *"}]}, ".schedules[0].cron '61 3 * * *' is not a cron"),
        ({"schedules": [{**DAILY, "cron": "0 3 * *"}]}, "has 4 fields, 5 are expected"),
        ({"schedules": [{**DAILY, "cron": "0 3 * * * 30"}]}, "has 6 fields"),
        ({"schedules": [{**DAILY, "cron": "0 0 30 2 *"}]}, "never comes"),
        ({"schedules": [{**DAILY, "timezone": "Europe/Berlon"}]}, "did you mean 'Europe/Berlin'?"),
        ({"schedules": [{**DAILY, "timezone": "localtime"}]}, "timezone 'localtime' is not known"),
        ({"schedules": [{"slug": "a", "cron": "0 3 * * *"}]}, ".schedules[0].timezone: required, but absent"),
        ({"schedules": [{"cron": "0 3 * * *", "timezone": "UTC"}]}, ".schedules[0].slug: required"),
        ({"schedules": [{**DAILY, "slug": "cli-daily"}]}, "choose one without 'cli-'"),
        ({"schedules": [DAILY, DAILY]}, ".schedules[0].slug: 'daily' stands here twice"),
        ({"schedules": [{**DAILY, "parameters": {"force": "yes"}}]}, ".schedules[0].parameters.force"),
        ({"schedules": [{**DAILY, "crn": "x"}]}, ".schedules[0].crn: unknown key; did you mean 'cron'?"),
        ({"schedule": DAILY}, ".schedule: unknown key; did you mean 'schedules'?"),
        ({"concurrency_limit": {"limit": 0}}, ".concurrency_limit.limit: got 0"),
        ({"name": "a/b"}, ".name: got 'a/b'"),
    ],
)
def test_mistake_is_named(ground: Path, change: dict[str, Any], told: str) -> None:
    from flows.operate.manifest import declared

    write(ground, {**ENTRY, **change})
    with pytest.raises(ConfigError) as error:
        declared(ground)
    assert told in str(error.value)
    assert f"{ground / 'prefect.yaml'}: deployments[0]" in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments: [", "not YAML"),
        ("deployments: 3", "expected a list"),
        ("- 3", "expected keys and values"),
        ("deployments: [train]", "deployments[0]: got 'train'"),
        ("a: !!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_file_that_is_none(ground: Path, text: str, told: str) -> None:
    from flows.operate.manifest import declared

    (ground / "prefect.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"prefect\.yaml") as error:
        declared(ground)
    assert told in str(error.value)


def test_name_taken_twice(ground: Path) -> None:
    from flows.operate.manifest import declared

    write(ground, {**ENTRY, "name": "tiles"})  # the name that train of tiles has by itself
    with pytest.raises(ConfigError, match="two deployments are called 'train/tiles'"):
        declared(ground)


def test_applied_twice_changes_nothing(ground: Path, api: Any) -> None:
    from flows.operate import deployments

    write(ground, {**ENTRY, "name": "once", "schedules": [DAILY]})
    applied = deployments.apply(ground)
    ids = {(one.flow, one.name): made for made, one in applied.items()}
    assert len(ids) == len(applied) == 4
    made = api.read_deployment(ids["train", "once"])
    assert made.parameters == {"project": "rings", "root": str(ground)}
    assert (made.entrypoint, made.work_pool_name, made.pull_steps or None) == (
        "flows.train.train",
        None,
        None,
    )
    assert made.global_concurrency_limit.limit == 1
    assert made.concurrency_options.collision_strategy.value == "ENQUEUE"
    runs = scheduled(api, made.id)
    assert [run.state_name for run in runs] == ["Scheduled"] * 3, "written down without a wait"

    assert deployments.apply(ground) == applied
    again = api.read_deployment(made.id)
    assert (again.updated, again.schedules) == (made.updated, made.schedules)
    assert [run.id for run in scheduled(api, made.id)] == [run.id for run in runs]


def test_what_was_changed_through_the_api_is_put_right(ground: Path, api: Any) -> None:
    from prefect.client.schemas.actions import DeploymentUpdate

    from flows.operate import deployments

    write(ground, {**ENTRY, "name": "bent"})
    made = next(made for made, one in deployments.apply(ground).items() if one.name == "bent")
    shell = {"prefect.deployments.steps.run_shell_script": {"script": "touch hacked"}}
    changes = (
        {"pull_steps": [shell]},
        {"job_variables": {"command": "touch hacked"}},
        {"entrypoint": "os:system"},
        {"parameters": {"project": "tiles"}},
        {"concurrency_limit": 7},
    )
    for change in changes:
        api.update_deployment(made, DeploymentUpdate(**change))
        deployments.apply(ground)
        right = api.read_deployment(made)
        assert not (right.pull_steps or right.job_variables or right.work_pool_name), change
        assert right.entrypoint == "flows.train.train", change
        assert right.parameters == {"project": "rings", "root": str(ground)}, change
        assert right.global_concurrency_limit.limit == 1, change


def test_schedules_of_the_file_and_those_of_others(ground: Path, api: Any) -> None:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    from flows.operate import deployments

    write(ground, {**ENTRY, "name": "mixed", "schedules": [DAILY, {**DAILY, "slug": "old"}]})
    made = next(made for made, one in deployments.apply(ground).items() if one.name == "mixed")
    line = CronSchedule(cron="0 5 * * *", timezone="UTC")
    others = [
        DeploymentScheduleCreate(schedule=line, slug=slug, active=True) for slug in ("cli-mine", None, "odd")
    ]
    api.create_deployment_schedules(made, others)

    write(ground, {**ENTRY, "name": "mixed", "schedules": [{**DAILY, "cron": "30 4 * * *"}]})
    deployments.apply(ground)
    right = api.read_deployment(made)
    lines = {schedule.slug: schedule.schedule.cron for schedule in right.schedules}
    assert lines == {"daily": "30 4 * * *", "cli-mine": "0 5 * * *", None: "0 5 * * *"}
    standing = {schedule.id for schedule in right.schedules}
    assert {run.created_by.id for run in scheduled(api, made)} == standing, "none of those that went"


def test_project_that_vanished_and_came_back(ground: Path, api: Any) -> None:
    from prefect.states import Completed

    from flows.operate import deployments

    write(ground, {**ENTRY, "name": "leaving", "schedules": [DAILY]})
    made = next(made for made, one in deployments.apply(ground).items() if one.name == "leaving")
    past = api.create_flow_run_from_deployment(made)
    api.set_flow_run_state(past.id, Completed(), force=True)
    (ground / "prefect.yaml").unlink()
    assert made not in deployments.apply(ground)
    gone = api.read_deployment(made)
    assert (gone.paused, gone.version) == (True, deployments.RETIRED)
    assert scheduled(api, made) == []
    assert api.read_flow_run(past.id).state.is_completed(), "its history can be looked at"

    write(ground, {**ENTRY, "name": "leaving", "schedules": [DAILY]})
    assert made in deployments.apply(ground)
    assert not api.read_deployment(made).paused
    assert len(scheduled(api, made)) == 3


def test_plain_prefect_cli_deploys_the_shipped_file(root: Path, api: Any) -> None:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PWD": str(root), "PREFECT_CLI_COLORS": "false"}

    def prefect(*words: str) -> str:
        command = [programs / "prefect", "--no-prompt", *words]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "modelyard", "--type", "process")
    prefect("deploy", "--all")
    made = api.read_deployment_by_name("retrain/digits")
    assert (made.entrypoint, made.work_pool_name) == ("flows.retrain:retrain", "modelyard")
    place = {"prefect.deployments.steps.set_working_directory": {"directory": str(root)}}
    assert made.pull_steps == [place]
    assert [schedule.slug for schedule in made.schedules] == ["nightly"]
    assert made.concurrency_options.collision_strategy.value == "ENQUEUE"
    assert not api.read_deployment_by_name("predict/prices").schedules[0].active


def scheduled(api: Any, deployment: Any) -> list[Any]:
    """Runs of a deployment that are written down and have not begun, by time."""
    return sorted(
        api.get_scheduled_flow_runs_for_deployments([deployment]), key=lambda run: run.expected_start_time
    )
