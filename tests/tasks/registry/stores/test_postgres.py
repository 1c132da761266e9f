"""The store in PostgreSQL: made once by whoever comes first, and away within seconds where it is not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.config.settings import FILE
from tasks.errors import ConfigError, Unavailable
from tasks.registry import backend, tracking

CONNECT = """
import sys
from pathlib import Path
from tasks.registry import backend
print(backend.connect(Path(sys.argv[1])))
"""


def settle(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / FILE).write_text(text)
    return root


def test_two_machines_make_it_once(postgres: Any, tmp_path: Path) -> None:
    url = postgres.url(database=postgres.create("made_once"))
    roots = [settle(tmp_path / name, f"mlflow: {{database: '{url}'}}") for name in ("one", "two")]
    both = [subprocess.Popen([sys.executable, "-c", CONNECT, r], stdout=subprocess.PIPE) for r in roots]
    assert [process.communicate(timeout=120)[0].decode().strip() for process in both] == [url, url]
    assert [process.returncode for process in both] == [0, 0]
    assert backend.connect(roots[0]) == url
    run = tracking.start_run(url, "rings", roots[0], tags={"a": "b"})
    assert tracking.recent_runs(url, "rings", 5)[0]["run_id"] == run.run_id
    assert not (roots[0] / "mlflow" / "mlflow.db").exists()


def test_server_that_is_away(tmp_path: Path) -> None:
    root = settle(tmp_path, "mlflow: {database: 'postgresql://yard@127.0.0.1:1/mlflow'}")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1.*pgpass"):
        backend.connect(root)
    assert time.monotonic() - began < 60, "MLflow's own retries would take minutes"


def test_database_that_is_not_there(postgres: Any, tmp_path: Path) -> None:
    root = settle(tmp_path, f"mlflow: {{database: '{postgres.url(database='nowhere')}'}}")
    with pytest.raises(Unavailable, match='database "nowhere" does not exist'):
        backend.connect(root)


def test_place_for_artifacts(tmp_path: Path) -> None:
    assert backend.artifacts(tmp_path, "rings") == (tmp_path / "mlflow/artifacts/rings").as_uri()
    settle(tmp_path, "mlflow: {artifacts: /srv/yard}")
    assert backend.artifacts(tmp_path, "rings") == "file:///srv/yard/rings"
    settle(tmp_path, "mlflow: {artifacts: 's3://bucket/yard'}")
    assert backend.artifacts(tmp_path, "rings") == "s3://bucket/yard/rings"


def test_object_store_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install boto3"):
        backend.connect(settle(tmp_path, "mlflow: {artifacts: 's3://bucket/yard'}"))
