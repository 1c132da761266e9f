"""Several processes that train one network, started with torchrun and followed from here.

What they need lies in a folder beside the checkpoints: the examples, mapped into memory by all of them
and there but once, and a plan. If one of them ends, torchrun ends the others and starts all again, and
they go on from the last checkpoint; never half of them. They end with this process, however that ended:
it holds a lock that they wait for. All talk by files and over loopback; of several machines (`spread`), which
share that folder, over the network, and `joining` runs on each of the others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch
from torch import nn

from tasks import lease
from tasks.config import Fit, Training
from tasks.errors import ConfigError, ModelyardError, ResourceLimit, by_code
from tasks.learning.loop.member import (
    EPOCHS,
    ERROR,
    EXAMPLES,
    OWNER,
    PLAN,
    TRAINED,
    VALIDATION,
    read_trained,
)
from tasks.learning.loop.memory import ran_out
from tasks.records import Epoch, from_json
from tasks.store import write_json

if TYPE_CHECKING:
    from tasks.learning.training import Examples, Task, Trained

RESTARTS = 2
"""How often a group begins again before that is an error."""
POLL_SECONDS = 0.05
PATIENCE = 10.0
"""Seconds between asking the group to end and ending it."""
LOOPBACK = {"linux": "lo", "darwin": "lo0"}
NODES = "nodes.json"
"""What the other machines need to know: the settings of `spread`, processes and threads. Written last."""

_SPREAD: ContextVar[Training | None] = ContextVar("spread", default=None)


@contextmanager
def spread(over: Training) -> Iterator[None]:
    """Within the block processes are spread over so many machines."""
    token = _SPREAD.set(over)
    try:
        yield
    finally:
        _SPREAD.reset(token)


def _over() -> Training:
    return _SPREAD.get() or Training()


def train(
    network: nn.Module,
    examples: Examples,
    validation: Examples,
    task: Task,
    settings: Fit,
    *,
    device: str,
    checkpoint: Path,
    watchers: Sequence[Callable[[Epoch, int], None]],
    **how: Any,
) -> Trained:
    """What `training.train` returns, from `settings.processes` processes; `network` gets the best weights.

    Raises:
        ConfigError: There are not as many devices.
        ResourceLimit: Processes ended, or memory ran out, more than `RESTARTS` times.
        ModelyardError: What they raised.
    """
    check_devices(settings.processes, device)
    folder = checkpoint / "group"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True, mode=0o700)
    try:
        torch.save(examples, folder / EXAMPLES)
        torch.save(validation, folder / VALIDATION)
        plan = {
            "network": network, "task": task, "settings": settings, "device": device,
            "checkpoint": checkpoint, **how,
        }  # fmt: skip
        (folder / PLAN).write_bytes(cloudpickle.dumps(plan))
        told = {**_over().model_dump(), "processes": settings.processes, "threads": settings.threads}
        write_json(folder / NODES, told)
        with _torchrun(folder, settings) as agent:
            _follow(agent, folder / EPOCHS, watchers)
        if not (folder / TRAINED).is_file():
            raise _failure(folder, settings)
        trained = read_trained(folder / TRAINED)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    network.load_state_dict(trained.weights)
    return trained


def check_devices(processes: int, device: str) -> None:
    """Raises ConfigError unless each process of this machine can have a device of this kind."""
    nodes = _over().nodes
    if processes > 1 and processes % nodes:
        raise ConfigError(
            f"fit.processes is {processes}, and training.nodes in .modelyard.yaml is {nodes}",
            fix=f"set fit.processes to a multiple of {nodes}",
        )
    each = " a machine" if nodes > 1 else ""
    processes //= nodes if processes > 1 else 1
    found = torch.cuda.device_count() if device == "cuda" else 1
    if processes > found and device != "cpu":
        raise ConfigError(
            f"fit.processes is {processes}{each}, but this machine has {found} {device} "
            f"device{'s'[: found != 1]}",
            fix=f"set fit.processes to {nodes * found}, or fit.device to cpu",
        )


@contextmanager
def _torchrun(folder: Path, settings: Fit) -> Iterator[subprocess.Popen[bytes]]:
    """The running group; at the end of the block it is over, whatever ended the block."""
    words, env = launch(folder, _over(), settings.processes, settings.threads)
    owner = lease.take(folder / OWNER)
    # A session of its own: Ctrl-C is for us, and we tell the group.
    with (folder / "log").open("wb") as log:
        agent = subprocess.Popen(  # noqa: S603 - no shell, and words of our own
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
        )
        try:
            yield agent
        finally:
            agent.terminate()
            try:
                agent.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()
            if owner is not None:
                owner.release()


def launch(
    folder: Path, over: Training, processes: int, threads: int | None
) -> tuple[list[str], dict[str, str]]:
    """Command and environment of torchrun on one of the machines.

    Where they are several, what torchrun takes besides comes from its own variables, such as PET_LOCAL_ADDR,
    and gloo and NCCL go by theirs.
    """
    each = processes // over.nodes
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),  # a project's own modules, too
        "OMP_NUM_THREADS": str(threads or max(1, (os.cpu_count() or 1) // each)),
    }
    if over.rendezvous is None:
        meeting = [
            "--rdzv-id=group", f"--rdzv-endpoint={folder / 'rendezvous'}", "--rdzv-conf=store_type=file",
            "--local-addr=127.0.0.1",
        ]  # fmt: skip
        env["GLOO_SOCKET_IFNAME"] = LOOPBACK.get(sys.platform, "")
        env["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # it would listen on every interface
    else:
        # Named by the checkpoint: who still waits for another group does not meet this one.
        name = zlib.crc32(folder.parent.name.encode())
        meeting = [f"--rdzv-id={name}", f"--rdzv-endpoint={over.rendezvous}"]
    words = [
        sys.executable, "-m", "torch.distributed.run", f"--nnodes={over.nodes}", f"--nproc-per-node={each}",
        f"--max-restarts={RESTARTS}", "--monitor-interval=0.1", "--rdzv-backend=c10d", *meeting,
        f"--log-dir={folder / 'logs'}", "--redirects=3", "-m", "tasks.learning.loop.member", str(folder),
    ]  # fmt: skip
    return words, env


def _follow(
    agent: subprocess.Popen[bytes], file: Path, watchers: Sequence[Callable[[Epoch, int], None]]
) -> None:
    """Tells the watchers of each epoch once, until the group is over."""
    told, at, over = 0, 0, False
    while not over:
        over = agent.poll() is not None
        whole, at = _lines(file, at)
        for line in whole:
            told_of = json.loads(line)
            epoch = from_json(Epoch, told_of["epoch"])
            # What follows a checkpoint comes a second time when the group begins again.
            if epoch.epoch > told:
                told = epoch.epoch
                for watcher in watchers:
                    watcher(epoch, told_of["planned"])
        if not over:
            time.sleep(POLL_SECONDS)


def _lines(file: Path, at: int) -> tuple[list[bytes], int]:
    """Whole lines from byte `at` on, and where they end."""
    if not file.is_file():
        return [], at
    with file.open("rb") as source:
        source.seek(at)
        text, mark, _ = source.read().rpartition(b"\n")
    return text.splitlines(), at + len(text) + len(mark)


def _failure(folder: Path, settings: Fit) -> ModelyardError:
    """Why there is no result."""
    if (folder / ERROR).is_file():
        told = json.loads((folder / ERROR).read_text(encoding="utf-8"))
        return by_code(told["code"])(told["message"], fix=told["fix"])
    words = _last_words(folder / "logs")
    message = f"one of {settings.processes} processes of the training ended, {RESTARTS + 1} times over"
    if words and not ran_out(RuntimeError(words)):
        return ModelyardError(f"{message}: {words}", fix="see what it says with fit.processes: 1")
    return ResourceLimit(
        f"{message}: {words or 'it was killed, often for want of memory'}",
        fix="lower fit.batch_size or fit.processes; the next run goes on from the last checkpoint",
    )


def _last_words(logs: Path) -> str:
    """The error of the process that ended first in the last attempt; nothing where it was killed."""
    attempts = sorted(logs.glob("*/attempt_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    files = sorted(attempts[-1].glob("*/stderr.log"), key=_when_last_written) if attempts else []
    lines = files[0].read_text(encoding="utf-8", errors="replace").splitlines() if files else []
    told = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return told[-1][:300] if told else ""


def _when_last_written(file: Path) -> int:
    return file.stat().st_mtime_ns
