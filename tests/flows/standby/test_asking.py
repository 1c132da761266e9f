"""Which commands are handed over, and that all others run where they are."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flows.standby import asking


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(asking.OFF, "1")


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Roots of the commands that were handed over."""
    found: list[Path] = []
    monkeypatch.setattr(asking, "hand_over", lambda words, root: found.append(root))
    return found


@pytest.mark.parametrize("words", [["--root"], ["--root={}"]])
def test_the_root_is_found_as_the_command_finds_it(
    words: list[str], handed: list[Path], tmp_path: Path
) -> None:
    given = [word.format(tmp_path) for word in words] + [str(tmp_path)] * (words == ["--root"])
    assert asking.answer(["train", "rings", *given]) is None
    assert handed == [tmp_path]


@pytest.mark.parametrize("words", [[], ["--help"], ["projects"], ["train", "x", "--root", "/nowhere/at/all"]])
def test_others_run_here(words: list[str], handed: list[Path]) -> None:
    assert asking.answer(words) is None
    assert not handed


def test_it_can_be_switched_off(handed: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(asking.OFF, "0")
    assert asking.answer(["train", "rings", "--root", str(tmp_path)]) is None
    assert not handed


def test_a_socket_that_a_dead_process_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / ".state" / "standby.sock"))
    assert asking.hand_over(["train", "rings"], tmp_path) is None


def test_a_root_whose_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    assert asking.hand_over(["train", "rings"], tmp_path / ("long" * 30)) is None
