"""What goes to make room, and what never does."""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows import occupation
from flows.reuse import collecting
from flows.reuse.collecting import NOTHING, Reach
from tasks import lease, store
from tasks.records import Step
from tasks.registry import backend, tracking


@dataclass(frozen=True, kw_only=True)
class Made:
    step: Step
    folder: Path


def made(work, step, seed):
    """An output of a step; the higher the seed, the later it was used."""

    def build(folder):
        (folder / "rows.parquet").write_bytes(b"x" * 1000)
        return Made(step=Step(name=step), folder=folder)

    home = store.remember(work, step, {"seed": seed}, Made, build).folder
    os.utime(home, (seed, seed))
    return home


@pytest.fixture
def root(tmp_path, make_project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_project(tmp_path)
    return tmp_path


@pytest.fixture
def work(root):
    return root / "data" / "rings" / "work"


def gone(work, keep=1, reach=NOTHING):
    return {each.path.relative_to(work).as_posix() for each in collecting.waste(work, reach, keep)}


def test_of_each_step_the_outputs_used_last_stay(work):
    clean, split = [made(work, "clean", seed) for seed in (3, 1, 2)], made(work, "split", 1)
    assert gone(work) == {f"clean/{home.name}" for home in clean[1:]}
    assert gone(work, keep=2) == {f"clean/{clean[1].name}"}
    assert gone(work, reach=Reach(frozenset({("clean", clean[1].name)}), frozenset())) == {
        f"clean/{clean[2].name}"
    }
    assert split.exists()


def test_other_leavings(work):
    made(work, "clean", 1)
    (work / "clean" / ".building-999999999-x").mkdir()
    (work / "clean" / f".building-{os.getpid()}-x").mkdir()
    names = (
        *("checkpoints/a/1", "checkpoints/b/1", "checkpoints/b-refit/1"),
        *("reports/r1.html", "reports/r2.html", "reports/r3.html"),
        *("untracked/old", "untracked/new", "refused/result.json", "mine/notes.txt"),
    )
    for age, name in enumerate(names):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("x")
        for path in (work / name, (work / name).parent):
            os.utime(path, (1000 + age, 1000 + age))
    os.utime(work / "untracked" / "new", (time.time(), time.time()))
    os.utime(work / "untracked" / "old", (1000, 1000))
    assert gone(work, reach=Reach(frozenset(), frozenset({"r1"}))) == {
        "clean/.building-999999999-x", "checkpoints/a", "reports/r2.html", "untracked/old",
    }  # fmt: skip


def test_a_dry_run_names_what_then_goes(root, work):
    homes = [made(work, "clean", seed) for seed in (1, 2, 3)]
    planned = collecting.collect(root, keep=1, dry_run=True)
    assert all(home.exists() for home in homes)
    assert [each["path"] for each in planned["removed"]] == [
        home.relative_to(root).as_posix() for home in (homes[1], homes[0])
    ]
    assert planned["bytes"] == sum(each["bytes"] for each in planned["removed"]) > 2000
    done = collecting.collect(root, keep=1, dry_run=False)
    assert done == planned | {"dry_run": False}
    assert [home.exists() for home in homes] == [False, False, True]
    assert sorted(path.name for path in (work / "clean").iterdir()) == [homes[2].name]


def test_the_registry_is_read_once_and_when_no_run_can_end_any_more(root, work, monkeypatch):
    made(work, "clean", 1)
    made(root / "data" / "other" / "work", "clean", 1)
    seen, slots = [], [occupation.slot(root, f"project-{name}") for name in ("rings", "other")]

    def reached(_):
        seen.append([lease.is_held(slot) for slot in slots])
        return NOTHING

    monkeypatch.setattr(collecting, "reached", reached)
    collecting.collect(root, keep=1, dry_run=False)
    assert seen == [[True, True]]
    assert not any(lease.is_held(slot) for slot in slots)


def test_a_project_of_which_a_run_goes_on_is_left_alone(root, work):
    homes = [made(work, "clean", seed) for seed in (1, 2)]
    with occupation.project(root, "rings", "refuse", print, action="train"):
        for dry_run in (True, False):
            found = collecting.collect(root, keep=1, dry_run=dry_run)
            assert found["removed"] == []
            assert found["skipped"][0]["project"] == "rings"
            assert "train rings" in found["skipped"][0]["why"]
    assert all(home.exists() for home in homes)


def test_what_was_used_meanwhile_stays(work):
    home = made(work, "clean", 1)
    made(work, "clean", 2)
    (found,) = collecting.waste(work, NOTHING, 1)
    os.utime(home)
    assert collecting._remove(found) is False
    assert home.exists()


def run(root, outputs, alias=None):
    """A run of rings in MLflow that had these outputs, and a version of it with an alias."""
    uri = tracking.connect(root)
    made = tracking.start_run(uri, "rings", root, tags={})
    for step, home in outputs.items():
        record = root / "record.json"
        record.write_text(json.dumps({"folder": str(home)}))
        tracking.log_artifact(made, record, step)
    tracking.finish_run(made, "FINISHED")
    if alias:
        client = backend.client(uri)
        version = client.create_model_version("rings", "file:///nowhere", made.run_id)
        client.set_registered_model_alias("rings", alias, version.version)
    return made


def test_what_an_alias_or_the_latest_run_was_made_from_stays(root, work):
    backend.client(tracking.connect(root)).create_registered_model("rings")
    homes = {seed: made(work, "fit", seed) for seed in range(1, 7)}
    for seed, alias in ((1, "champion"), (2, None), (3, "challenger"), (4, "mine"), (5, None)):
        run(root, {"fit": homes[seed]}, alias)
        time.sleep(0.002)  # runs are told apart by milliseconds
    done = collecting.collect(root, keep=1, dry_run=False)
    assert [each["path"] for each in done["removed"]] == [homes[2].relative_to(root).as_posix()]
    backend.client(tracking.connect(root)).delete_registered_model_alias("rings", "mine")
    collecting.collect(root, keep=1, dry_run=False)
    assert [seed for seed, home in homes.items() if home.exists()] == [1, 3, 5, 6]


def test_a_run_makes_room_beyond_what_is_kept(root, work):
    backend.client(tracking.connect(root)).create_registered_model("rings")
    homes = {seed: made(work, "fit", seed) for seed in range(1, collecting.KEPT + 1)}
    collecting.make_room(root, work)
    assert all(home.exists() for home in homes.values())
    homes |= {seed: made(work, "fit", seed) for seed in (90, 91)}
    run(root, {"fit": homes[1]}, "champion")
    collecting.make_room(root, work)
    assert [seed for seed, home in homes.items() if not home.exists()] == [2]


def test_a_registry_that_can_not_be_asked_stops_it(root, work, fresh):
    homes = [made(work, "clean", seed) for seed in (1, 2)]
    (root / "mlflow").mkdir()
    (root / "mlflow" / "mlflow.db").write_bytes(b"no database at all" * 100)
    answer = type(fresh)(root)("gc")
    assert answer.code == 6, answer.err
    assert all(home.exists() for home in homes)


def test_the_command_tells_bytes(root, work, fresh):
    for seed in (1, 2):
        made(work, "clean", seed)
    answer = type(fresh)(root)("gc", "--dry-run")
    assert (answer.code, "would be freed" in answer.out) == (0, True), answer.err
    assert "an older output of clean" in answer.out
    assert type(fresh)(root)("gc", "--json").document["bytes"] > 1000
    assert type(fresh)(root)("gc", "--json").document["removed"] == []
