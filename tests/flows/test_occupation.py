"""What a run occupies: its lease, its project's slot, the GPU; and what a second run does."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import occupation
from tasks import lease
from tasks.errors import RegistryConflict

RUN = """
import sys, time
from pathlib import Path
from flows import occupation
try:
    with occupation.project(Path(sys.argv[1]), "rings", "refuse", print, action="train"):
        print("in", flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def active(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another run of the project, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.communicate()


def test_lease_stays_until_all_is_told(tmp_path: Path) -> None:
    with occupation.run(tmp_path, action="train", project="rings") as held:
        path = held.path
        assert lease.is_held(path)
        with occupation.run(tmp_path, flow_run_id="f") as inner:
            assert inner is held, "the flow finds the lease that its command took"
        assert lease.is_held(path)
    assert lease.read(path)["flow_run_id"] == "f", "work for the reconciler"
    with occupation.run(tmp_path) as held:
        held.note(settled=True)
    assert not held.path.exists()


def test_second_run_is_refused(tmp_path: Path, active) -> None:
    with (
        pytest.raises(
            RegistryConflict, match=rf"another run of rings is active: train rings, pid {active.pid}"
        ),
        occupation.project(tmp_path, "rings", "refuse", print),
    ):
        pass
    with occupation.project(tmp_path, "prices", "refuse", print):
        assert active.poll() is None, "another project is another slot"


def test_second_run_waits(tmp_path: Path, active) -> None:
    def told(text: str) -> None:
        assert text.startswith("waiting for the active run: train rings")
        active.kill()

    with occupation.project(tmp_path, "rings", "wait", told):
        assert active.wait() == -signal.SIGKILL


def test_second_run_takes_the_place(tmp_path: Path, active) -> None:
    heard: list[str] = []
    with occupation.project(tmp_path, "rings", "cancel", heard.append):
        assert active.stdout.readline() == "interrupted\n"
    assert [text.split(",")[0] for text in heard] == ["cancelled the active run: train rings"]


def test_process_of_another_boot_is_out_of_reach() -> None:
    here = lease.identity()
    assert not occupation.cancel({**here, "boot": "another", "pid": 1})
    assert not occupation.cancel({**here, "host": "another", "pid": 1})
    assert not occupation.cancel(here), "never ourselves"


def test_gpu_is_leased_and_the_cpu_is_not(tmp_path: Path) -> None:
    with occupation.device(tmp_path, "cpu", print):
        assert not occupation.slot(tmp_path, "gpu-0").exists()
    with occupation.device(tmp_path, "cuda", print):
        assert lease.is_held(occupation.slot(tmp_path, "gpu-0"))
    assert not lease.is_held(occupation.slot(tmp_path, "gpu-0"))
