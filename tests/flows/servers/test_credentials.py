"""The credential: made once, private, never shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.servers import credentials
from tasks.errors import UnsafeInput

ENSURE = """
import sys
from pathlib import Path
from flows.servers import credentials
print(credentials.ensure(Path(sys.argv[1])))
"""


def test_made_once_and_private(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENSURE, str(tmp_path)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=60)[0].strip() for process in both}
    assert found == {credentials.read(tmp_path)}
    user, _, token = found.pop().partition(":")
    assert user == "modelyard"
    assert len(token) == 43, "32 random bytes"
    path = credentials.place(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_another_root_has_another(tmp_path: Path) -> None:
    assert credentials.ensure(tmp_path / "a") != credentials.ensure(tmp_path / "b")


def test_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / ".state").mkdir(mode=0o755)
    credentials.ensure(tmp_path)
    assert (tmp_path / ".state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    token = credentials.ensure(tmp_path).partition(":")[2]
    credentials.place(tmp_path).chmod(mode)
    with pytest.raises(UnsafeInput, match="remove it") as caught:
        credentials.ensure(tmp_path)
    assert token not in str(caught.value)


@pytest.mark.parametrize("text", ["", "modelyard:", "modelyard:short", "root:" + "a" * 43, "a\nb"])
def test_file_that_holds_something_else_is_refused(tmp_path: Path, text: str) -> None:
    credentials.ensure(tmp_path)
    credentials.place(tmp_path).write_text(text)
    with pytest.raises(UnsafeInput, match="holds no credential"):
        credentials.read(tmp_path)


def test_link_is_refused(tmp_path: Path) -> None:
    credentials.ensure(tmp_path)
    path = credentials.place(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeInput):
        credentials.read(tmp_path)
