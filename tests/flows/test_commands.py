"""The commands besides train: they read, check and predict."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from flows.servers import credentials
from flows.servers.prefect_server import prefect_server


def test_projects(yard, trained) -> None:
    listed = yard("projects", "--json").document["projects"]
    (entry,) = [each for each in listed if each["project"] == "rings"]
    assert entry["champion"] == {"name": "rings", "version": 1}
    answer = yard("projects")
    assert answer.code == 0
    assert "rings" in answer.out
    assert "version 1" in answer.out


def test_projects_lists_one_that_does_not_load(fresh) -> None:
    answer = fresh("projects", "--json")
    assert answer.code == 0
    sound, torn = answer.document["projects"]
    assert (sound["problem"], sound["champion"]) == (None, None)
    assert "network" in torn["problem"]


def test_check_trains_nothing(yard, trained) -> None:
    answer = yard("check", "rings", "--json")
    assert answer.code == 0, answer.err
    assert [record["step"]["name"] for record in answer.document["steps"]] == ["validate", "clean", "split"]
    assert answer.document["config"]["fit"]["epochs"] == 25
    assert "✓ split" in answer.err
    assert "fit to train" in yard("check", "rings").out


def test_show(yard, trained) -> None:
    by_prefix = yard("show", trained["run_id"][:12], "--json")
    assert by_prefix.code == 0, by_prefix.err
    stored = by_prefix.document
    assert stored["run_id"] == trained["run_id"]
    assert stored["scores"] == trained["scores"]
    lines = yard("show", trained["run_id"][:12]).out
    for word in ("registered", "logistic", "validate", "first run"):
        assert word in lines
    step = yard("show", trained["run_id"][:12], "fit", "--json").document
    assert step["step"]["name"] == "fit"
    assert len(step["history"]) == 25
    assert yard("show", "latest", "--json").code == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [(["ffffffffffff"], "no run"), (["rings", "fitt"], "did you mean 'fit'"), ([""], "no run")],
)
def test_show_refuses(words: list[str], text: str, yard, trained) -> None:
    answer = yard("show", *words)
    assert answer.code == 2
    assert text in answer.err


def test_show_without_runs(fresh) -> None:
    answer = fresh("show", "rings")
    assert answer.code == 2
    assert "no run yet" in answer.err
    assert "has no run yet" in fresh("compare", "rings").out


def test_compare(yard, trained) -> None:
    document = yard("compare", "rings", "--limit", "100", "--json").document
    assert document["metric"] == "accuracy"
    first = next(run for run in document["runs"] if run["run_id"] == trained["run_id"])
    assert first["outcome"] == "registered"
    assert first["version"] == 1
    assert first["scores"]["candidate"] == pytest.approx(trained["scores"][0]["value"])
    assert set(first["scores"]) == {"candidate", "majority", "logistic"}
    assert document["versions"][0]["aliases"]
    assert trained["run_id"][:8] in yard("compare", "rings", "--limit", "100").out


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict(ending: str, yard, trained, ring_rows: pd.DataFrame, tmp_path: Path) -> None:
    rows = ring_rows.head(40).astype({"x": "object"})
    rows.loc[3, "x"] = "wide"
    given, output = tmp_path / "rows.csv", tmp_path / f"answers.{ending}"
    rows.drop(columns="ring").to_csv(given, index=False)
    answer = yard("predict", "rings", given, "-o", output, "--json")
    assert answer.code == 0, answer.err
    assert answer.document | {"output": ""} == {
        "project": "rings",
        "model": {"name": "rings", "version": 1},
        "output": "",
        "rows": 40,
        "bad": 1,
        "unfamiliar": {},
    }
    read = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    assert list(read.columns) == ["prediction", "probability", "model_version", "error"]
    assert read["error"].notna().tolist() == [i == 3 for i in range(40)]
    assert pd.isna(read["prediction"][3])
    assert "x" in read["error"][3]
    good = read["error"].isna()
    assert (read["prediction"] == ring_rows.head(40)["ring"])[good].mean() > 0.9
    assert read["probability"][good].between(0.5, 1).all()


def test_predict_never_overwrites(yard, trained, ring_rows: pd.DataFrame, tmp_path: Path) -> None:
    given, output = tmp_path / "rows.csv", tmp_path / "answers.csv"
    ring_rows.head(5).to_csv(given, index=False)
    output.write_text("precious")
    refused = yard("predict", "rings", given, "-o", output)
    assert refused.code == 2
    assert "--force" in refused.err
    assert output.read_text() == "precious"
    assert yard("predict", "rings", given, "-o", output, "--force", "--model-version", "1").code == 0
    assert output.read_text().startswith("prediction,")


@pytest.mark.parametrize(
    ("output", "more", "code", "text"),
    [
        ("answers.xlsx", [], 2, ".parquet"),
        ("none/answers.csv", [], 2, "folder"),
        ("answers.csv", ["--model-version", "77"], 5, "77"),
    ],
)
def test_predict_refuses(output, more, code, text, yard, trained, ring_rows, tmp_path: Path) -> None:
    given = tmp_path / "rows.csv"
    ring_rows.head(5).to_csv(given, index=False)
    answer = yard("predict", "rings", given, "-o", tmp_path / output, *more)
    assert answer.code == code
    assert text in answer.err
    assert not (tmp_path / output).exists()


def test_predict_lacks_a_column(yard, trained, ring_rows: pd.DataFrame, tmp_path: Path) -> None:
    given = tmp_path / "rows.csv"
    ring_rows.drop(columns="y").to_csv(given, index=False)
    answer = yard("predict", "rings", given, "-o", tmp_path / "answers.csv")
    assert answer.code == 3
    assert "'y'" in answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


def test_predict_without_champion(fresh, tmp_path: Path) -> None:
    answer = fresh("predict", "rings", tmp_path / "x.csv", "-o", tmp_path / "o.csv")
    assert answer.code == 2
    assert "no champion yet" in answer.err


def test_doctor(yard, trained) -> None:
    document = yard("doctor", "--json").document
    found = {check["name"]: check for check in document["checks"]}
    for name in ("python", "device", "disk", "mlflow", "prefect", "project rings"):
        assert found[name]["state"] == "ok", found[name]
    assert "digests verify" in found["project rings"]["detail"]


def test_doctor_finds_a_damaged_champion(yard, trained, monkeypatch, tmp_path: Path) -> None:
    (weights,) = {p.resolve() for p in (yard.root / "mlflow").rglob("weights.safetensors")}
    (cached,) = {p.parent for p in (yard.root / ".state" / "models").rglob("weights.safetensors")}
    kept, data = cached.rename(tmp_path / "kept"), weights.read_bytes()
    try:
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        answer = yard("doctor", "--json")
        assert answer.code == 1
        found = {check["name"]: check for check in answer.document["checks"]}
        assert found["project rings"]["state"] == "broken"
        assert "sha256" in found["project rings"]["detail"]
    finally:
        weights.write_bytes(data)
        kept.rename(cached)


def test_ui_serves_both_and_ends_both(yard, trained) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "flows.cli", "ui", "--port", str(port), "--json", "--root", str(yard.root)]
    with prefect_server(yard.root) as server:
        url = server.wait()
        # A job that a shell runs in the background ignores SIGINT, and so would its children.
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **heard
        )
        try:
            pages = json.loads(process.stdout.readline())
            assert pages["prefect"] == url.removesuffix("/api")
            assert pages["mlflow"] == f"http://127.0.0.1:{port}"
            known = credentials.read(yard.root)
            assert pages["credentials"] == str(credentials.place(yard.root))
            assert known not in str(pages)
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(pages["mlflow"])
            request = urllib.request.Request(pages["mlflow"], headers=credentials.header(known))
            with urllib.request.urlopen(request) as answer:
                assert b"MLflow" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_ui_names_a_taken_port(yard, trained) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = yard("ui", "--port", str(port))
    assert answer.code == 2
    assert f"port {port} on 127.0.0.1 is taken" in answer.err


def test_download(yard, monkeypatch, tmp_path: Path) -> None:
    def fetched(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"x")
        return folder

    monkeypatch.setattr("tasks.sources.download.download_mnist", fetched)
    answer = yard("download", "mnist", tmp_path / "here", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["files"] == ["train-images-idx3-ubyte.gz"]
    assert "--source" in yard("download", "mnist", tmp_path / "there").out
