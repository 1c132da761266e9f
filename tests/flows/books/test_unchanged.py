"""A training that would change nothing: answered from the record, and from nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import occupation
from flows.books import unchanged
from tasks import config, lease
from tasks.registry import backend, tracking

HEAVY = ("torch", "mlflow", "prefect", "great_expectations", "sklearn", "matplotlib")


def find(busy: Any, *settings: str) -> dict[str, Any] | None:
    found = unchanged.find(config.load(busy.root, "rings", settings=settings), busy.root)
    return None if found is None else found[0]


@pytest.fixture
def latest(busy, busy_trained) -> Path:
    """The note of the first training, put back in the end."""
    path = busy.root / "data" / "rings" / "work" / unchanged.FILE
    if not path.exists() or json.loads(path.read_text())["run"]["run_id"] != busy_trained["run_id"]:
        unchanged_note(busy, busy_trained, path)
    return path


def unchanged_note(busy: Any, document: dict[str, Any], path: Path) -> None:
    """Trains again as the first time: other tests on the same yard may have trained since."""
    path.unlink(missing_ok=True)
    assert busy("train", "rings").code == 0


def test_the_document_is_that_of_a_run_that_finds_everything_done(busy, latest) -> None:
    before = len(tracking.recent_runs(tracking.connect(busy.root), "rings", 100))
    quick = busy("train", "rings", "--json").document
    assert len(tracking.recent_runs(tracking.connect(busy.root), "rings", 100)) == before
    latest.unlink()
    slow = busy("train", "rings", "--json").document
    assert len(tracking.recent_runs(tracking.connect(busy.root), "rings", 100)) == before + 1
    assert quick.keys() == slow.keys()
    for key in ("outcome", "reasons", "model", "data", "split", "verdicts", "gate", "warnings", "device"):
        assert quick[key] == slow[key], key
    assert [score | {"note": ""} for score in quick["scores"]] == [s | {"note": ""} for s in slow["scores"]]
    assert [step["status"] for step in quick["steps"]] == ["reused"] * 6


def test_it_loads_nothing_heavy_and_shows_every_step(busy, latest) -> None:
    words = ["train", "rings", "--root", str(busy.root)]
    script = f"import sys; from flows.cli import main; code = main({words!r})\n"
    script += f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules)); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing has changed since" in done.stdout
    assert [line.split()[:3] for line in done.stdout.splitlines() if line.startswith("✓")][-1] == [
        "✓", "register", "reused",
    ]  # fmt: skip


def test_whatever_is_another_is_left_to_the_flow(busy, latest, tmp_path) -> None:
    assert find(busy) is not None
    assert find(busy, "fit.epochs=24") is None
    assert find(busy, "fit.device=cpu") is None
    suite = busy.root / "data" / "rings" / "expectations.json"
    kept = suite.read_text()
    suite.write_text(kept + "\n")
    assert find(busy) is None
    suite.write_text(kept)
    raw = busy.root / "data" / "rings" / "raw" / "rings.csv"
    rows = raw.read_text()
    raw.write_text(rows.replace("red", "rot", 1))
    assert find(busy) is None
    raw.unlink()
    assert find(busy) is None
    raw.write_text(rows)
    assert find(busy) is not None


def test_a_file_that_is_gone_or_torn_is_noticed(busy, latest, tmp_path) -> None:
    known = json.loads(latest.read_text())
    for place in (Path(known["folders"]["split"]) / "parts.parquet", Path(known["run"]["report"])):
        shutil.copy(place, tmp_path / place.name)
        place.unlink()
        assert find(busy) is None
        shutil.copy(tmp_path / place.name, place)
    assert find(busy) is not None
    latest.write_text("{")
    assert find(busy) is None
    latest.write_text(json.dumps(known))


def test_a_champion_that_nobody_met_is_left_to_the_flow(busy, latest, monkeypatch) -> None:
    client = backend.client(tracking.connect(busy.root))
    champion = client.get_registered_model("rings").aliases["champion"]
    client.delete_registered_model_alias("rings", "champion")
    try:
        assert find(busy) is None
    finally:
        client.set_registered_model_alias("rings", "champion", champion)
    assert find(busy) is not None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert find(busy) is None


def test_a_deleted_run_is_not_named(busy, latest) -> None:
    client, run_id = (
        backend.client(tracking.connect(busy.root)),
        json.loads(latest.read_text())["run"]["run_id"],
    )
    client.delete_run(run_id)
    try:
        assert find(busy) is None
    finally:
        client.restore_run(run_id)
    assert find(busy) is not None


def test_nothing_is_answered_while_a_run_is_active(busy, latest) -> None:
    held = lease.take(occupation.slot(busy.root, "project-rings"))
    assert held is not None
    with held:
        assert find(busy) is None
