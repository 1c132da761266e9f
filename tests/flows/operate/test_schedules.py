"""Schedules: when they fire, what the commands say, and what becomes of runs that nobody ran in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from flows.cli import main
from flows.servers.prefect_server import Server, connected, prefect_server
from tasks.errors import ConfigError

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCHEDULER = 60.0
"""Seconds that the server's own scheduler may take; five are usual after a change."""


@pytest.fixture(scope="module")
def api(yard) -> Iterator[Any]:
    """A client of the yard's Prefect server."""
    with prefect_server(yard.root) as server, connected(server):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            yield client


@dataclass(frozen=True)
class Ground:
    """A root with the bare name of one project, whose deployments no other test has."""

    root: Path
    project: str

    def add(self, cron: str = "0 3 * * *", name: str = "default", flow: str = "retrain") -> Any:
        from flows.operate import schedules

        return schedules.add(self.root, self.project, cron, BERLIN, name=name, flow=flow)

    def names(self) -> dict[str, str]:
        """Cron lines by name, of this project."""
        from flows.operate import schedules

        return {row.name: row.cron for row in schedules.listing(self.root) if row.project == self.project}


@pytest.fixture
def ground(tmp_path: Path, api: Any) -> Ground:
    """A root of its own on the yard's server."""
    project = f"p{uuid4().hex[:8]}"
    (tmp_path / "data" / project).mkdir(parents=True)
    (tmp_path / "data" / project / "project.yaml").touch()
    return Ground(tmp_path, project)


def scheduled(api: Any, deployment: UUID) -> list[Any]:
    """Runs of a deployment that the server would hand out one day, by time."""
    runs = api.get_scheduled_flow_runs_for_deployments([deployment])
    return sorted(runs, key=lambda run: run.expected_start_time)


def due(minutes: float, *, made: bool = True, begun: int = 0, **parameters: Any) -> SimpleNamespace:
    """A run that was due so many minutes before noon."""
    return SimpleNamespace(
        auto_scheduled=made,
        run_count=begun,
        expected_start_time=NOON - timedelta(minutes=minutes),
        parameters=parameters,
        created_by=SimpleNamespace(id=uuid4()) if made else None,
    )


# --- when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        (date(2027, 3, 28), 1),  # 02:30 does not exist
        (date(2026, 10, 25), 2),  # 02:30 is there twice
        (date(2027, 10, 31), 2),
        (date(2027, 7, 1), 2),
    ],
)
def test_daily_line_fires_once_on_the_days_that_clocks_change(day: date, hour: int) -> None:
    from flows.operate.timetable import upcoming

    zone = ZoneInfo(BERLIN)
    begin = datetime(day.year, day.month, day.day, tzinfo=zone) - timedelta(days=1)
    for minutes in range(0, 60 * 28, 20):  # from whatever moment the scheduler happens to look
        after = begin.astimezone(UTC) + timedelta(minutes=minutes)
        found = [moment.astimezone(zone) for moment in upcoming("30 2 * * *", BERLIN, after, 4)]
        assert [moment.date() for moment in found] == [
            found[0].date() + timedelta(days=n) for n in range(4)
        ], "one a day"
        that = [moment for moment in found if moment.date() == day]
        assert [(m.hour, m.minute, m.fold) for m in that] in ([(hour, 30, 0)], []), after
        assert that or after > datetime(day.year, day.month, day.day, hour, 30, tzinfo=zone)


def test_line_of_every_minute_rests_for_the_hour_that_comes_twice() -> None:
    from flows.operate.timetable import upcoming

    after = datetime(2026, 10, 25, 0, 58, tzinfo=UTC)  # 02:58, summer time
    local = [f"{moment:%H:%M %Z}" for moment in upcoming("* * * * *", BERLIN, after, 3)]
    assert local == ["02:58 CEST", "02:59 CEST", "03:00 CET"]
    assert len(upcoming("* * * * *", "UTC", after, 60)) == 60


@pytest.mark.parametrize(
    ("cron", "zone", "told"),
    [
        ("61 * * * *", BERLIN, "--cron '61 * * * *' is not a cron line; an example: '0 3 * * *'"),
        ("", BERLIN, "has 0 fields"),
        ("R * * * *", BERLIN, "is not a cron line"),
        ("0 0 31 4 *", BERLIN, "never comes"),
        ("* * * * *", "", "--timezone '' is not known; an example: Europe/Berlin"),
        ("* * * * *", "+02:00", "--timezone '+02:00' is not known"),
        ("* * * * *", "Europe/Berln", "did you mean 'Europe/Berlin'?"),
    ],
)
def test_line_that_would_not_do_what_its_author_thinks(cron: str, zone: str, told: str) -> None:
    from flows.operate.timetable import check

    with pytest.raises(ConfigError) as error:
        check(cron, zone, "--")
    assert told in str(error.value)


@pytest.mark.parametrize("cron", ["* * * * *", "*/5 8-18 * * mon-fri", "@daily", "0 3 29 2 *"])
def test_line_that_is_one(cron: str) -> None:
    from flows.operate.timetable import check

    check(cron, "UTC", "--")


# --- what is overdue -------------------------------------------------------------------------------


def test_one_catch_up_run_is_enough() -> None:
    from flows.operate.schedules import overdue

    older, old, last, coming = due(30), due(20), due(10), due(-10)
    assert overdue([last, coming, older, old], NOON) == ([last], [older, old])
    assert overdue([], NOON) == ([], [])


def test_what_somebody_asked_for_is_never_skipped() -> None:
    from flows.operate.schedules import overdue

    asked, also, made, begun = due(30, made=False), due(1, made=False), due(20), due(25, begun=1)
    assert overdue([asked, made, also, begun], NOON) == ([asked, begun, made, also], [])


def test_other_parameters_are_other_work() -> None:
    from flows.operate.schedules import overdue

    week, night, nights = due(20, force=True), due(10), due(30)
    assert overdue([week, night, nights], NOON) == ([week, night], [nights])


def test_run_of_a_schedule_that_is_gone() -> None:
    from flows.operate.schedules import strays

    stray, right, asked = due(1), due(1), due(1, made=False)
    assert strays([stray, right, asked], {right.created_by.id}) == [stray]


def test_overdue_runs_of_a_real_server(ground: Ground, api: Any) -> None:
    from flows.operate.schedules import overdue, remove

    row = ground.add("* * * * *").row
    begin = datetime.now(UTC) - timedelta(minutes=20)
    body = {"start_time": begin.isoformat(), "end_time": datetime.now(UTC).isoformat()}
    api.request("POST", "/deployments/{id}/schedule", path_params={"id": row.deployment}, json=body)
    asked = api.create_flow_run_from_deployment(row.deployment)
    now = datetime.now(UTC)
    runs = api.get_scheduled_flow_runs_for_deployments([row.deployment], scheduled_before=now)
    keep, skip = overdue(runs, now)
    made = [run for run in keep if run.auto_scheduled]
    assert (len(keep), len(made), asked.id in {run.id for run in keep}) == (2, 1, True)
    assert len(skip) >= 18
    assert max(run.expected_start_time for run in skip) < made[0].expected_start_time

    remove(ground.root, ground.project, "default")
    assert [run.id for run in scheduled(api, row.deployment)] == [asked.id], "what is overdue goes, too"


# --- made and taken away ---------------------------------------------------------------------------


def test_first_run_is_there_at_once(ground: Ground, api: Any) -> None:
    change = ground.add("* * * * *")
    runs = scheduled(api, change.row.deployment)
    assert [run.state_name for run in runs] == ["Scheduled"] * len(runs)
    assert 60 <= len(runs) <= 62, "those of the next hour"
    assert 0 <= (runs[0].expected_start_time - datetime.now(UTC)).total_seconds() + 5 <= 65
    assert runs[0].parameters == {"project": ground.project, "root": str(ground.root)}
    assert change.upcoming == tuple(run.expected_start_time for run in runs)


def test_scheduler_of_the_server_makes_runs(ground: Ground, api: Any) -> None:
    """With SQLAlchemy 2.1 it makes none, and says so nowhere but in its log."""
    from prefect.client.schemas.actions import DeploymentUpdate

    row = ground.add("0 3 * * *").row
    api.update_deployment(row.deployment, DeploymentUpdate(description="changed"))
    began = time.monotonic()
    while len(runs := scheduled(api, row.deployment)) < 3:  # a change throws the coming runs away
        assert time.monotonic() - began < SCHEDULER, "the scheduler made no run"
        time.sleep(0.2)
    assert [run.expected_start_time.astimezone(ZoneInfo(BERLIN)).hour for run in runs] == [3, 3, 3]


def test_same_call_twice(ground: Ground, api: Any) -> None:
    first, second = ground.add(), ground.add()
    assert (first.word, second.word) == ("made", "unchanged")
    assert second.row == first.row
    assert second.upcoming == first.upcoming
    assert len(first.upcoming) == 3


def test_two_at_once_make_one(ground: Ground, api: Any) -> None:
    with ThreadPoolExecutor(4) as pool:  # each with the settings that point at the yard's server
        asked = [pool.submit(copy_context().run, ground.add) for _ in range(4)]
    assert sorted(one.result().word for one in asked) == ["made"] + ["unchanged"] * 3
    assert ground.names() == {"default": "0 3 * * *"}


def test_replaced_and_moved(ground: Ground, api: Any) -> None:
    first = ground.add("* * * * *")
    second = ground.add("0 5 * * *")
    assert (second.word, second.before.cron) == ("replaced", "* * * * *")
    third = ground.add("0 5 * * *", flow="train")
    assert (third.word, third.before.flow, third.row.flow) == ("replaced", "retrain", "train")
    assert ground.names() == {"default": "0 5 * * *"}
    assert scheduled(api, first.row.deployment) == []
    assert len(scheduled(api, third.row.deployment)) == 3


def test_nothing_is_left_of_a_schedule_that_went(ground: Ground, api: Any) -> None:
    from prefect.states import Scheduled

    from flows.operate import schedules

    gone, stays = ground.add("* * * * *", "often"), ground.add("0 3 * * *", "nightly")
    ours = [run for run in scheduled(api, gone.row.deployment) if run.created_by.id == gone.row.id]
    waits = Scheduled(name="AwaitingConcurrencySlot", scheduled_time=datetime.now(UTC))
    api.set_flow_run_state(ours[0].id, waits, force=True)
    assert [row.name for row in schedules.remove(ground.root, ground.project, "often")] == ["often"]
    assert {run.created_by.id for run in scheduled(api, gone.row.deployment)} == {stays.row.id}
    assert len(scheduled(api, gone.row.deployment)) == 3, "the other schedule's runs are there at once"
    ended = api.read_flow_run(ours[0].id).state
    assert (ended.is_cancelled(), ended.message) == (True, schedules.TAKEN_AWAY)
    assert schedules.remove(ground.root, ground.project, "often") == []
    assert [row.name for row in schedules.remove(ground.root, ground.project, None)] == ["nightly"]
    assert scheduled(api, gone.row.deployment) == []


def test_paused_by_hand_is_woken_by_the_same_call(ground: Ground, api: Any) -> None:
    row = ground.add().row
    api.update_deployment_schedule(row.deployment, row.id, active=False)
    assert ground.add().word == "replaced"
    assert len(scheduled(api, row.deployment)) == 3


# --- the command line ------------------------------------------------------------------------------


@pytest.fixture
def line(ground: Ground, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """Runs a command on the ground; answers exit code, document, and what was said."""

    def run(command: str, *words: str) -> tuple[int, Any, str]:
        code = main([command, *words, "--root", str(ground.root), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return run


def test_commands(ground: Ground, line: Callable[..., tuple[int, Any, str]]) -> None:
    what = (ground.project, "--cron", "30 2 * * *", "--timezone", BERLIN, "--name", "late")
    code, document, err = line("schedule", *what)
    assert (code, document["change"], document["before"]) == (0, "made", None)
    assert document["schedule"] == {
        "project": ground.project,
        "flow": "retrain",
        "name": "late",
        "cron": "30 2 * * *",
        "timezone": BERLIN,
        "active": True,
        "origin": "cli",
        "next": document["upcoming"][0],
    }
    assert datetime.fromisoformat(document["upcoming"][0]).utcoffset() is not None
    assert "made" in err
    assert line("schedule", *what)[1]["change"] == "unchanged"
    code, document, err = line("schedules", ground.project)
    assert [row["name"] for row in document["schedules"]] == ["late"]
    assert "modelyard schedule" in err
    code, document, err = line("unschedule", ground.project)
    assert (code, document["removed"], [row["name"] for row in document["left"]]) == (0, [], ["late"])
    assert "no such schedule 'default'" in err
    code, document, err = line("unschedule", ground.project, "--all")
    assert (code, [row["name"] for row in document["removed"]], document["left"]) == (0, ["late"], [])


def test_declared_schedules(ground: Ground, line: Callable[..., tuple[int, Any, str]]) -> None:
    from flows.operate import deployments

    declared = f"""
deployments:
  - name: {ground.project}
    entrypoint: flows.retrain:retrain
    parameters: {{project: {ground.project}}}
    schedules: [{{slug: nightly, cron: "0 3 * * *", timezone: Europe/Berlin}}]
"""
    (ground.root / "prefect.yaml").write_text(declared)
    _, document, err = line("schedules", ground.project)
    assert [(row["name"], row["active"], row["next"]) for row in document["schedules"]] == [
        ("nightly", False, None)
    ]
    assert "not on the server yet" in err
    deployments.apply(ground.root)
    _, document, err = line("schedules", ground.project)
    assert document["schedules"][0]["active"]
    assert document["schedules"][0]["origin"] == "file"
    code, document, err = line("unschedule", ground.project, "--name", "nightly")
    assert (code, document["error"]["code"]) == (2, "CONFIG")
    assert f"is declared in {ground.root / 'prefect.yaml'}" in err
    assert line("unschedule", ground.project, "--all")[1]["removed"] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("schedule", "nobody", "--cron", "* * * * *"), "no project 'nobody'"),
        (("unschedule", "nobody"), "no project 'nobody'"),
        (("schedule", "PROJECT", "--cron", "x"), "--cron 'x' has 1 fields"),
        (("schedule", "PROJECT", "--cron", "* * * * *", "--name", "a b"), "--name 'a b'"),
        (("schedule", "PROJECT", "--cron", "* * * * *", "--flow", "predict"), "predict"),
        (("schedule", "PROJECT"), "--cron"),
    ],
)
def test_mistakes(
    words: tuple[str, ...], told: str, ground: Ground, line: Callable[..., tuple[int, Any, str]]
) -> None:
    code, _, err = line(*(ground.project if word == "PROJECT" else word for word in words))
    assert (code, told in err) == (2, True), err
    assert ground.names() == {}


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (Server(root=Path(), temporary=True), "nothing starts until `modelyard up`"),
        (Server(root=Path()), ""),
        (Server(url="http://127.0.0.1:1/api"), "where a worker or `modelyard up` uses this server"),
    ],
)
def test_says_what_it_takes_to_fire(
    server: Server, told: str, capsys: pytest.CaptureFixture[str], ground: Ground
) -> None:
    from flows.commands import scheduling
    from flows.commands.options import Common

    scheduling._remind(Common(), server, [ground.add().row])
    out = capsys.readouterr().out
    assert told in out
    assert bool(out) == bool(told)
