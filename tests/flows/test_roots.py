"""Where the projects are found."""

from __future__ import annotations

from pathlib import Path

import pytest

import flows.roots
from flows.roots import find_root
from tasks.errors import ConfigError


def project(root: Path) -> Path:
    folder = root / "data" / "one"
    folder.mkdir(parents=True)
    (folder / "project.yaml").write_text("name: one\n")
    return root


def test_given_wins(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_ROOT", "/")
    assert find_root(tmp_path) == tmp_path


def test_environment_is_next(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_ROOT", str(tmp_path))
    assert find_root() == tmp_path


def test_upwards_from_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MODELYARD_ROOT", raising=False)
    deep = project(tmp_path) / "data" / "one" / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert find_root() == tmp_path


def test_the_checkout_is_last(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MODELYARD_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_root() == Path(flows.roots.__file__).resolve().parents[1]


def test_absent_folder_is_an_error(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="--root"):
        find_root(tmp_path / "none")
    monkeypatch.setenv("MODELYARD_ROOT", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="MODELYARD_ROOT"):
        find_root()
