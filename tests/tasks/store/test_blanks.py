"""Empty databases: made by migrations once an installation, copied after that."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tasks.store import blanks


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT name FROM sqlite_master ORDER BY name")]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Files that migrations made; the installation is made up."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return []


def provide(path: Path, made: list[Path]) -> None:
    def migrate() -> None:
        made.append(path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE flow (id)")

    blanks.provide("prefect", path, migrate)


def test_the_second_is_a_copy_of_the_first(made: list[Path], tmp_path: Path) -> None:
    for number in range(3):
        provide(tmp_path / f"{number}.db", made)
    assert made == [tmp_path / "0.db"]
    assert tables(tmp_path / "1.db") == tables(tmp_path / "2.db") == ["flow"]
    kept = blanks.kept("prefect")
    assert kept is not None and list(kept.parent.iterdir()) == [kept]


def test_another_version_of_the_package_is_another_database(
    made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version: Callable[[str], str] = lambda _: str(len(made))  # noqa: E731
    monkeypatch.setattr(blanks, "version", version)
    for number in range(2):
        provide(tmp_path / f"{number}.db", made)
    assert made == [tmp_path / "0.db", tmp_path / "1.db"]


def test_a_damaged_one_is_made_anew(made: list[Path], tmp_path: Path) -> None:
    kept = blanks.kept("prefect")
    assert kept is not None
    kept.parent.mkdir(parents=True)
    kept.write_text("no database, and longer than the sixteen bytes that SQLite looks at first")
    provide(tmp_path / "0.db", made)
    assert made == [tmp_path / "0.db"]
    assert tables(kept) == ["flow"]


@pytest.mark.parametrize("writable", [True, False])
def test_without_an_installation_of_ours_nothing_is_kept(
    writable: bool, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if writable:
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        assert blanks.kept("prefect") is None
    else:
        (tmp_path / "venv").write_text("in the way")
    for number in range(2):
        provide(tmp_path / f"{number}.db", made)
    assert made == [tmp_path / "0.db", tmp_path / "1.db"]
