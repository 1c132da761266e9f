"""The server's database: made where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.servers import prefect_process


def test_a_database_that_is_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_process.blanks, "provide", lambda *_: pytest.fail("it is there"))
    (tmp_path / "0.db").write_text("mine")
    prefect_process.make_database(tmp_path / "0.db")
    assert (tmp_path / "0.db").read_text() == "mine"
