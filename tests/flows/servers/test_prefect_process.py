"""The server's database: made by migrations once an installation, copied after that."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flows.servers import prefect_process


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT name FROM sqlite_master ORDER BY name")]


@pytest.fixture
def migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were made by migrations, which are a single table here; the installation is made up, too."""
    made: list[Path] = []

    async def migrate(_: object) -> None:
        path = tmp_path / f"{len(made)}.db"
        made.append(path)
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE flow (id)")

    monkeypatch.setattr(prefect_process, "_migrate", migrate)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return made


def test_the_second_is_a_copy_of_the_first(migrated: list[Path], tmp_path: Path) -> None:
    for number in range(3):
        prefect_process.make_database(tmp_path / f"{number}.db")
    assert migrated == [tmp_path / "0.db"]
    assert tables(tmp_path / "1.db") == tables(tmp_path / "2.db") == ["flow"]
    kept = prefect_process.template()
    assert kept is not None and list(kept.parent.iterdir()) == [kept]


def test_one_that_is_there_stays(migrated: list[Path], tmp_path: Path) -> None:
    (tmp_path / "0.db").write_text("mine")
    prefect_process.make_database(tmp_path / "0.db")
    assert (tmp_path / "0.db").read_text() == "mine" and not migrated


def test_a_damaged_one_is_made_anew(migrated: list[Path], tmp_path: Path) -> None:
    kept = prefect_process.template()
    assert kept is not None
    kept.parent.mkdir(parents=True)
    kept.write_text("no database, and longer than the sixteen bytes that SQLite looks at first")
    prefect_process.make_database(tmp_path / "0.db")
    assert migrated == [tmp_path / "0.db"]
    assert tables(kept) == ["flow"]


@pytest.mark.parametrize("writable", [True, False])
def test_without_an_installation_of_ours_nothing_is_kept(
    writable: bool, migrated: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if writable:
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        assert prefect_process.template() is None
    else:
        (tmp_path / "venv").write_text("in the way")
    for number in range(2):
        prefect_process.make_database(tmp_path / f"{number}.db")
    assert migrated == [tmp_path / "0.db", tmp_path / "1.db"]
