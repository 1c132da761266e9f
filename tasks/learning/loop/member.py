"""One of several processes that train a network; torchrun starts it on a folder that `group` has written.

`python -m torch.distributed.run … -m tasks.learning.loop.member FOLDER`
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import distributed

from tasks.errors import ModelyardError
from tasks.learning.loop.ranks import Ranks
from tasks.records import Epoch, from_json, to_json
from tasks.store import replacing, write_json

if TYPE_CHECKING:
    from tasks.learning.training import Trained

PLAN, EXAMPLES, VALIDATION = "plan", "examples", "validation"
EPOCHS, TRAINED, ERROR, OWNER = "epochs", "trained.safetensors", "error.json", "owner"


def main(folder: Path) -> int:
    """Trains; the first process leaves the result. Returns the exit status: 0 also for an error that would
    come again, which is left in a file.
    """
    threading.Thread(target=_leash, args=(folder / OWNER,), daemon=True).start()
    if (folder / ERROR).is_file():
        return 0
    try:
        _train(folder)
    except ModelyardError as error:
        write_json(folder / ERROR, {"code": error.code, "message": error.message, "fix": error.fix})
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _leash(owner: Path) -> None:
    """Ends this process and the agent that would start it again when the lock's owner is gone."""
    handle = os.open(owner, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _train(folder: Path) -> None:
    from tasks.learning import training  # noqa: PLC0415 - it calls what is above it here

    # Files of our own, written a moment ago for this process and nobody else. The examples are mapped into
    # memory, which all processes share.
    plan: dict[str, Any] = cloudpickle.loads((folder / PLAN).read_bytes())
    place = plan.pop("device")
    ranks, attempt = _joined(folder, place)
    device = f"cuda:{os.environ['LOCAL_RANK']}" if place == "cuda" else place
    examples, validation = (
        torch.load(folder / name, mmap=True, weights_only=False) for name in (EXAMPLES, VALIDATION)
    )
    network, task, settings = (plan.pop(name) for name in ("network", "task", "settings"))
    with training.watching(_teller(folder / EPOCHS)) if not ranks.rank else training.unwatched():
        trained = training.train(
            network, examples, validation, task, settings, device=device, ranks=ranks, **plan
        )
    if not ranks.rank:
        _write(folder / TRAINED, trained, attempt)


def _joined(folder: Path, device: str) -> tuple[Ranks, int]:
    """This process among the others, which it has met, and how often they began again."""
    names = ("RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
    rank, size, attempt = (int(os.environ[name]) for name in names)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    alone = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"  # one machine: no port has to be open
    # By path: as a URL, torch would end it at the first '#'.
    place = str(folder / f"store-{attempt}")
    meet: Any = {"store": distributed.FileStore(place, size)} if alone else {}  # type: ignore[attr-defined]
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=size, **meet)
    return Ranks(rank, size), attempt


def _teller(file: Path) -> Callable[[Epoch, int], None]:
    def tell(epoch: Epoch, planned: int) -> None:
        with file.open("a", encoding="utf-8") as target:
            target.write(json.dumps({"epoch": to_json(epoch), "planned": planned}) + "\n")

    return tell


def _write(file: Path, trained: Trained, restarts: int) -> None:
    plain = to_json({**vars(trained), "weights": None, "restarts": restarts})
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in trained.weights.items()}
    with replacing(file) as temporary:
        save_file(weights, temporary, {"trained": json.dumps(plain)})


def read_trained(file: Path) -> Trained:
    """The result that the first process left."""
    from tasks.learning.training import Trained  # noqa: PLC0415

    with safe_open(file, framework="pt") as source:
        plain = json.loads(source.metadata()["trained"])
        weights = {name: source.get_tensor(name).clone() for name in source.keys()}  # noqa: SIM118
    history = tuple(from_json(Epoch, epoch) for epoch in plain["history"])
    return Trained(**{**plain, "weights": weights, "history": history})


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # torch 2.13's gloo aborts about one interpreter in twenty at its exit, after the work is done.
    os._exit(status)
