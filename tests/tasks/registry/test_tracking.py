from __future__ import annotations

import http.server
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.errors import RegistryConflict, Unavailable
from tasks.records import Epoch, RunRef
from tasks.registry import backend, tracking


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ready database: making one costs seconds, copying it a moment."""
    folder = tmp_path_factory.getbasetemp() / "mlflow-template" / "mlflow"
    if not (folder / "mlflow.db").exists():
        folder.mkdir(parents=True)
        (folder / ".mlflow.db.new").write_bytes(b"left by a process that died")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            backend.connect(folder.parent)
    return folder / "mlflow.db"


@pytest.fixture
def home(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow" / "mlflow.db")
    return tmp_path


@pytest.fixture
def run(home: Path) -> RunRef:
    return tracking.start_run(tracking.connect(home), "digits", home, tags={"mlflow.runName": "first"})


def read(run: RunRef):
    return backend.client(run.uri).get_run(run.run_id)


def epoch(number: int, loss: float) -> Epoch:
    return Epoch(
        epoch=number,
        train_loss=loss,
        validation_loss=loss,
        validation_metric=1 - loss,
        learning_rate=0.1,
        seconds=2.0,
    )


def test_the_store_is_an_absolute_wal_database_below_the_root(home: Path) -> None:
    uri = tracking.connect(home)

    assert uri == f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_environment_variable_replaces_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    assert tracking.connect(tmp_path) == "http://127.0.0.1:9"
    assert list(tmp_path.iterdir()) == []
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 2


def test_a_server_that_is_absent_is_unavailable_and_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = "http://me:hunter2@127.0.0.1:9"

    with pytest.raises(Unavailable) as caught:
        tracking.start_run(uri, "digits", tmp_path, tags={})

    assert "127.0.0.1:9" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no database" * 500])
def test_a_file_that_is_no_store_is_unavailable_at_once(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(content)
    began = time.monotonic()

    with pytest.raises(Unavailable, match=r"mlflow\.db"):
        tracking.connect(tmp_path)

    assert time.monotonic() - began < 5


def test_a_schema_of_another_version_is_unavailable(home: Path) -> None:
    with sqlite3.connect(home / "mlflow" / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")

    with pytest.raises(Unavailable, match="back it up"):
        tracking.start_run(tracking.connect(home), "digits", home, tags={})


def test_nothing_of_a_half_made_store_is_left(empty_store: Path) -> None:
    assert not (empty_store.parent / ".mlflow.db.new").exists()
    assert empty_store.read_bytes().startswith(b"SQLite format 3")


def test_a_run_keeps_its_artifacts_below_the_root(home: Path, run: RunRef, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("a")

    tracking.log_artifact(run, tmp_path / "note.txt")
    tracking.log_artifact(run, tmp_path / "plots", "pictures")

    place = home / "mlflow" / "artifacts" / "digits" / run.run_id / "artifacts"
    assert (place / "note.txt").read_text() == "hello"
    assert (place / "pictures" / "a.txt").read_text() == "a"


def test_a_second_run_joins_the_experiment_even_if_that_was_deleted(home: Path, run: RunRef) -> None:
    backend.client(run.uri).delete_experiment(run.experiment_id)

    again = tracking.start_run(run.uri, "digits", home, tags={})

    assert again.experiment_id == run.experiment_id
    assert again.run_id != run.run_id


def test_nested_settings_become_dotted_parameters(run: RunRef) -> None:
    tracking.log_params(run, {"fit": {"epochs": 5, "clip": None}, "note": "x" * 7000})
    tracking.log_params(run, {f"p{i}": i for i in range(150)})

    params = read(run).data.params
    assert params["fit.epochs"] == "5"
    assert params["fit.clip"] == "null"
    assert len(params["note"]) == 6000
    assert params["p149"] == "149"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<html>a portal</html>", "else than JSON"),
        (404, "<html>nothing here</html>", "HTTP status 404"),
        (401, "", "HTTP status 401"),
        (403, '{"error_code": "PERMISSION_DENIED", "message": "read only"}', "PERMISSION_DENIED"),
        (503, "later", "127.0.0.1"),
    ],
)
def test_a_server_that_answers_nonsense_is_unavailable(
    status: int, body: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Unavailable) as caught:
            tracking.start_run(f"http://127.0.0.1:{server.server_port}", "digits", tmp_path, tags={})
        server.shutdown()

    assert words in str(caught.value)


def test_a_run_that_was_deleted_is_a_conflict(run: RunRef) -> None:
    with pytest.raises(RegistryConflict, match="not found"):
        tracking.log_metrics(RunRef(uri=run.uri, experiment_id="1", run_id="0" * 32), {"a": 1.0})


def test_what_is_not_finite_is_a_tag_and_no_metric(run: RunRef) -> None:
    tracking.log_metrics(run, {"rmse": 2.5, "rmsle": math.inf, "r2": math.nan}, step=3)

    data = read(run).data
    assert data.metrics == {"rmse": 2.5}
    assert data.tags["modelyard.not_finite.rmsle"] == "inf at step 3"
    assert data.tags["modelyard.not_finite.r2"] == "nan at step 3"


def test_epochs_are_logged_at_their_step_in_one_call(run: RunRef, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    calls = []
    log_batch = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *a, **k: (calls.append(k), log_batch(*a, **k))[1])

    tracking.log_epochs(run, [epoch(1, 0.5), epoch(2, 0.25)])

    history = backend.client(run.uri).get_metric_history(run.run_id, "validation_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    assert len(calls) == 1
    assert read(run).data.metrics["epoch_seconds"] == 2.0


def test_data_sets_are_inputs_of_the_run_once(run: RunRef) -> None:
    for _ in range(2):
        tracking.log_dataset(
            run,
            name="digits test",
            digest="f" * 64,
            source="a.csv",
            rows=10,
            columns=["x", "y"],
            context="test",
        )

    (found,) = read(run).inputs.dataset_inputs
    assert found.dataset.name == "digits test"
    assert found.dataset.digest == "f" * 36
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "test")]


def test_recent_runs_are_plain_data_newest_first(home: Path, run: RunRef) -> None:
    tracking.log_metrics(run, {"accuracy": 0.5})
    tracking.set_tags(run, {"modelyard.outcome": "rejected", "modelyard.reasons": ["a", "b"]})
    tracking.finish_run(run, "FINISHED")
    second = tracking.start_run(run.uri, "digits", home, tags={})

    newest, oldest = tracking.recent_runs(run.uri, "digits", 5)

    assert newest["run_id"] == second.run_id
    assert newest["seconds"] is None
    assert oldest["status"] == "FINISHED"
    assert oldest["metrics"] == {"accuracy": 0.5}
    assert oldest["tags"]["modelyard.reasons"] == '["a", "b"]'
    assert tracking.recent_runs(run.uri, "digits", 1) == [newest]
    assert tracking.recent_runs(run.uri, "unknown", 5) == []


def test_nothing_is_written_on_the_terminal_and_no_run_becomes_ambient(
    home: Path, run: RunRef, capfd: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    tracking.log_metrics(run, {"accuracy": 0.5})
    tracking.finish_run(run, "KILLED")

    assert capfd.readouterr() == ("", "")
    assert mlflow.active_run() is None
    assert read(run).info.status == "KILLED"


def test_importing_the_module_imports_no_mlflow() -> None:
    code = "import sys, tasks.registry.tracking; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lock_that_is_held_is_a_conflict_and_dies_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "digits.lock"
    code = (
        "import sys, time; from pathlib import Path; from tasks.registry import backend\n"
        "with backend.locked(Path(sys.argv[1]), waiting_for='a test'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"

    with (
        pytest.raises(RegistryConflict, match=f"pid {owner.pid}"),
        backend.locked(path, waiting_for="it", seconds=0.1),
    ):
        pass
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    with backend.locked(path, waiting_for="it", seconds=5):
        assert path.read_text() == str(os.getpid())
    owner.stdout.close()
