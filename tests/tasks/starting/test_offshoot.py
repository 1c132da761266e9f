"""A process is forked from what this one was before it had threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tasks.starting import offshoot
from tasks.starting.offshoot import keep_seed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are for Linux")

PARENT = """
import os, sys, threading, time
from multiprocessing import Pipe
from tasks.starting import offshoot

if sys.argv[1:] == ["threads"]:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def tell(question, answers):
    answers.send((question, os.getppid(), threading.active_count(), sorted(os.listdir("/proc/self/fd"))))
    while question == "wait":
        time.sleep(0.1)

def ask(question):
    near, far = Pipe(duplex=False)
    child = offshoot.start(tell, question, far)
    far.close()
    return child, near

secret = open(__file__)
print("kept", offshoot.keep_seed(), flush=True)
"""
ASK = """
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
for question in ("first", "second"):
    child, near = ask(question)
    said, parent, threads, files = near.recv()
    print(said, parent != os.getpid(), threads, len(files), flush=True)
    child.kill(), child.join()
"""
WAIT = """
child, near = ask("wait")
print(near.recv()[1], child.pid, flush=True)
"""


def run(tmp_path: Path, text: str, *words: str) -> str:
    """What a process says whose main module is `text`."""
    path = tmp_path / "parent.py"
    path.write_text(PARENT + text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-W", "error", str(path), *words]
    how = {"env": environment, "capture_output": True, "text": True, "check": True, "timeout": 60}
    return subprocess.run(command, **how).stdout


def test_it_answers_without_threads_or_files_of_who_asked(tmp_path: Path) -> None:
    said = run(tmp_path, ASK).splitlines()
    assert said[0] == "kept True"
    # Standard streams, the end of the pipe, and the listing itself.
    assert said[1:] == ["first True 1 5", "second True 1 5"]


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_nothing_is_left_when_the_process_ends(end: str, tmp_path: Path) -> None:
    path = tmp_path / "parent.py"
    path.write_text(PARENT + WAIT + end, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )  # which reads to the end: so nobody holds the stream any more
    left = [
        psutil.Process(pid) for pid in map(int, done.stdout.splitlines()[1].split()) if psutil.pid_exists(pid)
    ]
    deadline = time.monotonic() + 10
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def test_threads_forbid_it(tmp_path: Path) -> None:
    assert run(tmp_path, "print(ask('first')[0])", "threads").splitlines() == ["kept False", "None"]


def test_without_a_seed_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offshoot.start(print, None, None) is None  # type: ignore[arg-type]
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert not keep_seed()
