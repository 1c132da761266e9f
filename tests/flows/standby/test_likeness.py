"""What tells two processes apart that run the same command."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from flows.standby import likeness


def test_a_process_is_like_itself() -> None:
    assert likeness.differs(likeness.birth(), likeness.birth()) == ""


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PREFECT_API_URL", "WHATEVER"])
def test_any_variable_counts_but_the_terminals(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, without = likeness.birth(), likeness.birth(frozenset({name}))
    monkeypatch.setenv("TERM", "other")
    assert likeness.differs(before, likeness.birth()) == ""
    monkeypatch.setenv(name, "other")
    assert likeness.differs(before, likeness.birth()) == "environment"
    assert likeness.differs(without, likeness.birth(frozenset({name}))) == ""


@pytest.mark.parametrize("name", ["code", "python", "limits", "nice", "cores", "cgroup"])
def test_so_does_all_else_that_it_was_born_with(name: str) -> None:
    other = likeness.birth() | {name: "other"}
    assert likeness.differs(likeness.birth(), other) == name


def test_a_session_has_no_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(text: str) -> str:
        monkeypatch.setattr(Path, "read_text", lambda self, encoding: text)
        return likeness._cgroup()

    assert read("0::/user.slice/session-3.scope") == read("0::/user.slice/session-14.scope")
    assert read("0::/user.slice/run-u7.scope") != read("0::/user.slice/session-14.scope")


def test_files_of_imported_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part.py"
    path.write_text("a = 1")
    module = ModuleType("part")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "part", module)
    known = likeness.files()
    assert str(path) in known
    assert likeness.changed(known) == ""
    path.write_text("a = 12")
    assert likeness.changed(known) == str(path)
    path.unlink()
    assert likeness.changed(known) == str(path)


def test_a_profile_of_prefects_that_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    known = likeness.files()
    (tmp_path / "profiles.toml").write_text("")
    assert likeness.changed(known) == str(tmp_path / "profiles.toml")
