"""New files of a project are noticed once they stand still, also when they came while nobody looked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.operate.watch import Watch, appearance

SOURCE = "source: {kind: table, path: raw/rings.csv}"


@pytest.fixture
def root(tmp_path: Path, make_project) -> Path:
    """A project that is watched, and one that is not."""
    make_project(tmp_path, "watched", source=f"{SOURCE}\nretrain: {{watch: true}}")
    make_project(tmp_path, "left_alone")
    return tmp_path


def touch(root: Path, name: str = "watched") -> None:
    """Other content, and another time whatever the clock's grain."""
    path = root / "data" / name / "raw" / "rings.csv"
    path.write_text(path.read_text() + "0.1,0.2,red,inner\n")
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def test_first_look_is_no_change(root: Path) -> None:
    watch = Watch(root)
    assert watch.changed() == watch.changed() == []


def test_change_counts_once_it_stands_still(root: Path) -> None:
    watch = Watch(root)
    watch.changed()
    touch(root)
    assert watch.changed() == [], "it may still be written"
    touch(root)
    assert watch.changed() == [], "it was"
    ((name, look),) = watch.changed()
    assert name == "watched"
    assert watch.changed() == [(name, look)], "until it is acted on"
    watch.acknowledge(name, look)
    assert watch.changed() == []


def test_change_while_nobody_looked(root: Path) -> None:
    Watch(root).changed()
    touch(root)
    later = Watch(root)
    later.changed()
    assert [name for name, _ in later.changed()] == ["watched"]


def test_only_what_asks_for_it(root: Path) -> None:
    watch = Watch(root)
    watch.changed()
    touch(root, "left_alone")
    assert watch.changed() == watch.changed() == []
    assert appearance(root, "left_alone") is None


def test_folder_outside_where_data_arrives(tmp_path: Path, make_project) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    root = tmp_path / "root"
    make_project(root, "fed", source=f"{SOURCE}\nretrain: {{watch: true, source: {inbox}}}")
    watch = Watch(root)
    watch.changed()
    (inbox / "a.parquet").write_bytes(b"rows")
    watch.changed()
    assert [name for name, _ in watch.changed()] == ["fed"]


def test_torn_memory_and_broken_project_are_survived(root: Path) -> None:
    Watch(root).changed()
    (root / ".state" / "watch.json").write_text("{torn")
    (root / "data" / "watched" / "project.yaml").write_text("nonsense")
    assert Watch(root).changed() == []


def test_change_starts_a_retraining(service, make_project) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

    make_project(service.root, "newcomer", source=f"{SOURCE}\nretrain: {{watch: true}}")

    def deployed() -> bool:
        """The dispatcher noticed the new project."""
        return "retrain/newcomer" in (service.root / ".state" / "dispatcher.json").read_text()

    def watched() -> bool:
        """The dispatcher had its first look at it."""
        path = service.root / ".state" / "watch.json"
        return path.exists() and "newcomer" in path.read_text()

    def asked() -> object:
        """A run was asked for."""
        with get_client(sync_client=True) as client:
            mine = FlowRunFilterDeploymentId(any_=[client.read_deployment_by_name("retrain/newcomer").id])
            return next(iter(client.read_flow_runs(flow_run_filter=FlowRunFilter(deployment_id=mine))), None)

    service.until(deployed)
    service.until(watched)
    touch(service.root, "newcomer")
    run = service.until(asked)
    service.cancel(run.id)
    assert service.ended(run.id).state.is_final()


def test_pictures_beside_a_manifest_are_looked_at(tmp_path: Path, make_project) -> None:
    pictures = "source: {kind: images, path: raw/list.csv}\nretrain: {watch: true}"
    make_project(tmp_path, "seen", source=pictures)
    raw = tmp_path / "data" / "seen" / "raw"
    (raw / "deep").mkdir(parents=True, exist_ok=True)
    (raw / "list.csv").write_text("path,label\n")
    looks = [appearance(tmp_path, "seen")]
    (raw / "deep" / "one.png").write_bytes(b"x")
    looks.append(appearance(tmp_path, "seen"))
    os.utime(raw / "deep" / "one.png", ns=(1, 1))
    looks.append(appearance(tmp_path, "seen"))
    assert None not in looks
    assert len(set(looks)) == 3
