"""A process that stands by becomes what it is asked to be, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from tests.flows.standby.conftest import NOT_ANSWERED, Yard, eventually


def facts(yard: Yard, **how: Any) -> dict[str, Any]:
    caller = yard.ask("facts", "--more", **how)
    out, err = caller.communicate("what was typed", timeout=60)
    assert caller.returncode == 3, out + err + yard.log()
    assert err == "a word aside\n"
    return json.loads(out)


def sleeper(yard: Yard) -> tuple[Any, psutil.Process]:
    """A command that goes on, and the process that runs it."""
    note = yard.root / "pid"
    caller = yard.ask("sleep", str(note))
    pid = int(eventually(lambda: note.exists() and note.read_text()))
    return caller, psutil.Process(pid)


def test_a_command_finds_what_its_own_process_would_have(yard: Yard) -> None:
    yard.stand()
    place = yard.root / "elsewhere"
    place.mkdir()
    before = os.umask(0o031)
    try:
        found = facts(yard, cwd=place, TERM="strange")
    finally:
        os.umask(before)
    assert found["folder"] == str(place)
    assert found["environment"]["TERM"] == "strange"
    assert found["argv"][1:] == ["facts", "--more"]
    assert found["said"] == "what was typed"
    assert found["umask"] == 0o031
    assert found["group"] == found["pid"], "Ctrl-C and the keeper's end reach it by its own group alone"


def test_a_command_holds_nothing_of_the_process_it_came_from(yard: Yard) -> None:
    yard.stand()
    found = facts(yard)
    assert str(yard.root / "lock") not in found["files"], "the lock of what stands would never be free"
    assert sum("socket" in name for name in found["files"]) == 1, "the one to its caller"


def test_commands_side_by_side_draw_other_numbers(yard: Yard) -> None:
    yard.stand()
    first, second = facts(yard), facts(yard)
    assert first["pid"] != second["pid"]
    assert first["draw"] != second["draw"]


def test_another_environment_is_another_process(yard: Yard) -> None:
    yard.stand()
    caller = yard.ask("facts", OMP_NUM_THREADS="7")
    caller.communicate(timeout=60)
    assert caller.returncode == NOT_ANSWERED


def test_changed_code_is_never_run_stale(yard: Yard) -> None:
    (yard.root / "fickle.py").write_text("answer = 1\n")
    yard.stand("fickle")
    facts(yard)
    (yard.root / "fickle.py").write_text("answer = 42\n")
    caller = yard.ask("facts")
    caller.communicate(timeout=60)
    assert caller.returncode == NOT_ANSWERED
    assert yard.process is not None and yard.process.wait(30) == 0, "the keeper starts it anew"
    assert "fickle.py has changed" in yard.log()
    assert not yard.socket.exists()


def test_a_killed_caller_takes_its_command_along(yard: Yard) -> None:
    yard.stand()
    caller, child = sleeper(yard)
    caller.kill()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_signals_are_passed_on(yard: Yard) -> None:
    yard.stand()
    caller, child = sleeper(yard)
    caller.send_signal(signal.SIGINT)
    caller.communicate(timeout=60)
    assert caller.returncode == 130
    assert not child.is_running()


def test_a_command_that_dies_is_told(yard: Yard) -> None:
    yard.stand()
    caller = yard.ask("die")
    _, err = caller.communicate(timeout=60)
    assert caller.returncode == 128 + signal.SIGKILL
    assert "ended by signal 9" in err


def test_a_command_outlives_who_stood_by(yard: Yard) -> None:
    yard.stand()
    caller, child = sleeper(yard)
    assert yard.process is not None and yard.process.stdin is not None
    yard.process.stdin.close()
    assert yard.process.wait(30) == 0
    assert not yard.socket.exists()
    assert child.is_running() and caller.poll() is None
    caller.send_signal(signal.SIGINT)
    caller.communicate(timeout=60)
    assert caller.returncode == 130, "the command said itself how it ended"


def test_noise_at_the_socket_is_left_unanswered(yard: Yard) -> None:
    import socket

    yard.stand()
    for noise in (b"", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(yard.socket))
            connection.sendall(noise)
    assert facts(yard)["said"] == "what was typed"
    assert oct(Path(yard.socket).stat().st_mode)[-3:] == "600"
