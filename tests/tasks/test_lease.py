"""A lease binds processes, dies with its owner and says who that was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks import lease
from tasks.errors import RegistryConflict

OWNER = """
import sys, time
from pathlib import Path
from tasks import lease
held = lease.take(Path(sys.argv[1]), project="rings", action="train")
print("none" if held is None else "held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a process that takes a lease and sleeps."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_one_owner_at_a_time(tmp_path: Path, owner) -> None:
    path = tmp_path / "slots" / "project-rings"
    process = owner(path)
    assert lease.is_held(path)
    assert lease.take(path) is None
    note = lease.read(path)
    assert note["pid"] == process.pid
    assert note["boot"] == lease.boot_id()
    assert lease.describe(note).startswith(f"train rings, pid {process.pid}, since ")


def test_kill_frees_it_at_once(tmp_path: Path, owner) -> None:
    path = tmp_path / "project-rings"
    process = owner(path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not lease.is_held(path)
    with lease.take(path, project="other") as held:
        assert held.facts["project"] == "other"
        assert lease.read(path)["pid"] == os.getpid()


def test_looking_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "slot"
    assert not lease.is_held(path)
    assert not path.exists()
    lease.take(path).release()
    assert not lease.is_held(path)
    assert lease.take(path) is not None


def test_left_are_the_dead_ones(tmp_path: Path, owner) -> None:
    living, dying = owner(tmp_path / "living"), owner(tmp_path / "dying")
    dying.kill()
    dying.wait()
    found = [(left.path.name, left.facts["pid"]) for left in lease.left(tmp_path)]
    assert found == [("dying", dying.pid)]
    assert [note["pid"] for note in lease.living(tmp_path)] == [living.pid]
    for left in lease.left(tmp_path):
        assert lease.is_held(left.path), "nobody else works on it meanwhile"
        left.release(remove=True)
    assert not (tmp_path / "dying").exists()
    assert list(lease.left(tmp_path / "nowhere")) == []


def test_a_lock_on_a_removed_file_binds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "slot"
    first = lease.take(path)
    path.unlink()  # as its owner does at the end, while another process has the file open
    with lease.take(path) as second:
        assert second.path.exists()
        assert lease.take(path) is None
    first.release()


def test_note_grows_and_is_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "run"
    held = lease.take(path, project="rings")
    held.note(flow_run_id="a" * 36)
    held.note(flow_run_id="b")
    assert lease.read(path)["flow_run_id"] == "b"
    assert lease.read(path)["project"] == "rings"
    held.release()
    assert path.exists()
    path.write_text("{torn")
    assert lease.read(path) == {}
    assert lease.describe({}) == "by a process that left no note"


def test_waiting_is_told_once_and_ends(tmp_path: Path, owner) -> None:
    path, heard = tmp_path / "slot", []
    process = owner(path)

    def told(note: dict) -> None:
        heard.append(note["pid"])
        process.kill()

    with lease.wait(path, seconds=None, told=told):
        assert heard == [process.pid]


def test_refused_at_once_or_after_a_while(tmp_path: Path, owner) -> None:
    path, heard = tmp_path / "slot", []
    owner(path)
    with pytest.raises(RegistryConflict, match=r"the lease is taken: train rings, pid \d+"):
        lease.wait(path, seconds=0, told=heard.append)
    assert heard == [], "nothing is waited for"
    began = time.monotonic()
    with pytest.raises(RegistryConflict):
        lease.wait(path, seconds=0.3, told=heard.append)
    assert time.monotonic() - began >= 0.3
    assert len(heard) == 1
