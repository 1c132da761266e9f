"""Every kind of bad input: one clear line, the right exit code, nothing registered, the champion stays."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

CASES = {
    "unknown key": (["--set", "fit.epoch=3"], 2, "CONFIG", "did you mean 'epochs'"),
    "unknown metric": (["--set", "gate=[{metric: acuracy, at_least: 0.5}]"], 2, "CONFIG", "accuracy"),
    "unknown rung": (["--set", "gate=[{better_than: logistik}]"], 2, "CONFIG", "logistic"),
    "no assignment": (["--set", "fit.epochs"], 2, "CONFIG", "dotted.key=value"),
    "no such source": (["--source", "/nowhere/at/all.csv"], 2, "CONFIG", "no such file"),
    "misspelt target": (["--set", "target=rign"], 3, "DATA_REJECTED", "ring"),
}


@pytest.fixture
def unchanged(yard, trained):
    """The registry is the same afterwards as it was before."""
    before = yard.versions()
    yield
    assert yard.versions() == before


def check_refusal(answer, code: int, name: str, text: str) -> None:
    """One line on standard error, the same as a document, no traceback."""
    assert answer.code == code, answer.err
    lines = [line for line in answer.err.splitlines() if line.startswith("error[")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error[{name}] ")
    assert "Traceback" not in answer.err
    assert text in answer.err
    document = answer.document
    assert document["exit"] == code
    assert document["error"]["code"] == name


@pytest.mark.parametrize("case", list(CASES))
def test_settings(case: str, yard, unchanged) -> None:
    words, code, name, text = CASES[case]
    check_refusal(yard("train", "rings", *words, "--json"), code, name, text)


def test_unknown_project(yard, unchanged) -> None:
    check_refusal(yard("train", "ringz", "--json"), 2, "CONFIG", "did you mean 'rings'")


def test_torchrun_around_the_whole_of_it(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    check_refusal(fresh("train", "rings", "--json"), 2, "CONFIG", "set fit.processes to the number of")
    assert not (fresh.root / "mlflow").exists()


def test_absent_root(yard) -> None:
    from flows.cli import main

    assert main(["projects", "--root", str(yard.root / "none")]) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none(yard, unchanged) -> None:
    work = yard.root / "data" / "rings" / "work" / "validate"
    before = {path.name for path in work.iterdir()}
    words = ["train", "rings", "--set", "fit.device=cuda", "--set", "target=rign", "--json"]
    check_refusal(yard(*words), 2, "CONFIG", "fit.device is 'cuda'")  # said before the data is looked at
    assert {path.name for path in work.iterdir()} == before


@pytest.mark.parametrize("command", ["check", "train"])
def test_settings_that_a_table_in_pieces_can_not_be_trained_with(
    command: str, yard, unchanged, ring_rows: pd.DataFrame, tmp_path: Path
) -> None:
    work = yard.root / "data" / "rings" / "work" / "validate"
    before = {path.name for path in work.iterdir()}
    ring_rows.to_parquet(tmp_path / "rows.parquet")
    words = ["--source", str(tmp_path / "rows.parquet")]
    words += ["--set", "source.stream=always", "--set", "fit.refit=true"]
    text = "fit.refit takes rows that are in memory"
    check_refusal(yard(command, "rings", *words, "--json"), 2, "CONFIG", text)
    assert {path.name for path in work.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        ("", "DATA_FORMAT", "empty"),
        ("x,y,colour,ring\n", "DATA_REJECTED", "row"),
        ("x,y,colour,ring\n1,2,red\n", "DATA_FORMAT", "expected 4 fields, got 3"),
    ],
    ids=["empty file", "header only", "short row"],
)
def test_files(content: str, name: str, text: str, yard, unchanged, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    check_refusal(yard("train", "rings", "--source", path, "--json"), 3, name, text)


def test_target_full_of_nulls(yard, unchanged, ring_rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    ring_rows.assign(ring="").to_csv(path, index=False)
    check_refusal(yard("train", "rings", "--source", path, "--json"), 3, "DATA_REJECTED", "ring")


def test_broken_suite(yard, unchanged, make_project) -> None:
    folder = make_project(yard.root, "broken")
    try:
        (folder / "expectations.json").write_text('{"name": "broken", "expectations": [')
        answer = yard("check", "broken", "--json")
        check_refusal(answer, 2, "CONFIG", "expectations.json")
        suite = {
            "name": "broken",
            "expectations": [{"type": "expect_column_valus_to_be_unique", "kwargs": {}}],
        }
        (folder / "expectations.json").write_text(json.dumps(suite))
        check_refusal(yard("train", "broken", "--json"), 2, "CONFIG", "expect_column_values_to_be_unique")
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()


def test_data_that_breaks_the_suite(yard, unchanged, ring_rows: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    ring_rows.assign(x=ring_rows["x"] * 1000).to_csv(path, index=False)
    check_refusal(yard("check", "rings", "--source", path, "--json"), 3, "DATA_REJECTED", "x")


def test_server_that_is_configured_but_down(yard, unchanged, monkeypatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    check_refusal(yard("train", "rings", "--json"), 6, "UNAVAILABLE", "127.0.0.1:1")
