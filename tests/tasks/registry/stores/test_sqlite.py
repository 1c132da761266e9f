"""The local store's file, read without MLflow: the same versions, aliases and runs as MLflow tells."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.registry import backend, versions
from tasks.registry.stores import sqlite

INPUTS = ["a" * 64, "b" * 64, "c" * 64]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """A root with three versions of one model, the last of them deleted; its client and its run."""
    root = tmp_path_factory.mktemp("root")
    client = backend.client(backend.connect(root))
    run = client.create_run(client.create_experiment("p", artifact_location=(root / "kept").as_uri()))
    for name in ("m", "other"):
        client.create_registered_model(name)
        for inputs in INPUTS:
            tags = {versions.INPUTS: inputs, versions.DECISION: "promoted"}
            client.create_model_version(name, run.info.artifact_uri, run.info.run_id, tags=tags)
    client.delete_model_version("m", "3")
    client.set_registered_model_alias("m", "champion", "1")
    client.set_registered_model_alias("m", "challenger", "2")
    return root, client, run.info.run_id


def test_the_file_says_what_mlflow_says(store) -> None:
    root, *_ = store
    seen = versions.glimpse(root, "m")
    assert [version for version, _ in seen] == versions.versions(backend.connect(root), "m")
    assert [decision for _, decision in seen] == ["promoted", "promoted"]
    assert versions.glimpse(root, "nobody") == []


def test_a_run_has_finished_once_it_ended_well_and_until_it_is_deleted(store) -> None:
    root, client, run_id = store
    path = backend.local_file(root)
    assert not sqlite.has_finished(path, run_id)
    client.set_terminated(run_id, "KILLED")
    assert not sqlite.has_finished(path, run_id)
    client.set_terminated(run_id, "FINISHED")
    assert sqlite.has_finished(path, run_id)
    client.delete_run(run_id)
    assert not sqlite.has_finished(path, run_id)


def test_a_store_from_the_kept_tables_is_as_one_from_migrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    migrated: list[Path] = []
    migrate = sqlite._migrate
    monkeypatch.setattr(sqlite, "_migrate", lambda path: (migrated.append(path), migrate(path)))
    stores = [backend.connect(tmp_path / name) for name in ("first", "second")]
    assert migrated == [tmp_path / "first" / "mlflow" / ".mlflow.db.new"]
    for name, uri in zip(("first", "second"), stores, strict=True):
        found = backend.client(uri).search_experiments()
        assert [(each.experiment_id, each.name) for each in found] == [("0", "Default")]
        assert found[0].artifact_location == f"{backend.artifacts(tmp_path / name, 'Default')}/0"
        with closing(sqlite3.connect(backend.local_file(tmp_path / name))) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert {path.name for path in (tmp_path / name / "mlflow").iterdir()} <= {
            "mlflow.db", "mlflow.db-wal", "mlflow.db-shm", ".lock",
        }  # fmt: skip


def test_no_store_yet_has_no_versions_and_is_not_made(tmp_path: Path) -> None:
    assert versions.glimpse(tmp_path, "m") == []
    assert not backend.local_file(tmp_path).exists()


def test_another_store_is_left_to_mlflow(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert versions.glimpse(store[0], "m") is None


def test_a_file_that_is_damaged_or_strange_is_left_to_mlflow(tmp_path: Path) -> None:
    path = backend.local_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"no database" * 200)
    assert versions.glimpse(tmp_path, "m") is None
    path.unlink()
    sqlite3.connect(path).close()
    assert versions.glimpse(tmp_path, "m") is None
