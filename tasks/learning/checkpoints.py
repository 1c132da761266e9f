"""Checkpoints that are whole or not there: one safetensors file each, its digest in its name.

A file is written under a temporary name, flushed and renamed. Its name carries the sha256 of its
bytes, so a flipped bit or a cut file is known before it is read, and the one before it is taken.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tasks.records import Epoch, from_json, to_json
from tasks.store import replacing, sha256_file

KEPT = 2
"""Checkpoints that stay: the newest and the one before, in case the newest is damaged."""

SHARE = 0.005
"""Part of the time that writing checkpoints may take: epochs of milliseconds are not written each."""
LONGEST = 60.0
"""Seconds after which the next epoch is written whatever that takes; a killed run repeats no more."""


@dataclass(frozen=True)
class State:
    """All that training needs to go on as if it had never stopped."""

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: tuple[Epoch, ...]
    best_epoch: int
    best_value: float
    spent: float
    """Seconds of training so far."""


class Saver:
    """Writes checkpoints as often as they are worth.

    Args:
        folder: Where.
        state: What to write, asked for between two epochs.
        done: Epochs that are on disk already.
    """

    def __init__(self, folder: Path, state: Callable[[], State], done: int) -> None:
        self._folder, self._state, self._done = folder, state, done
        self._due = -math.inf

    def offer(self) -> None:
        """Writes the state if it is time to."""
        if time.perf_counter() >= self._due:
            self.save()

    def save(self) -> None:
        """Writes the state, unless it is on disk."""
        state, began = self._state(), time.perf_counter()
        if len(state.history) > self._done:
            save(self._folder, state, len(state.history))
            self._done, now = len(state.history), time.perf_counter()
            self._due = now + min((now - began) / SHARE, LONGEST)


def save(folder: Path, state: State, epoch: int) -> Path:
    """Writes the checkpoint of `epoch` and removes all but the newest two."""
    tensors = {f"network.{name}": tensor for name, tensor in state.network.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    for index, slots in state.optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    plain = {
        "groups": state.optimizer["param_groups"],
        "history": to_json(state.history),
        "best_epoch": state.best_epoch,
        "best_value": state.best_value,
        "spent": state.spent,
    }
    draft = folder / f"epoch-{epoch:06d}"
    with replacing(draft) as temporary:
        # Clones: safetensors refuses tensors that share memory.
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        save_file(copies, temporary, {"state": json.dumps(plain)})
    path = draft.with_name(f"{draft.name}-{sha256_file(draft)[:32]}.safetensors")
    draft.replace(path)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path) -> State | None:
    """The newest checkpoint whose bytes are what its name says; None when there is none."""
    for path in _newest_first(folder):
        try:
            if sha256_file(path)[:32] == path.stem.rpartition("-")[2]:
                return _read(path)
        except (OSError, SafetensorError, ValueError, KeyError):
            continue
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.safetensors"), reverse=True)


def _read(path: Path) -> State:
    tensors: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    with safe_open(path, framework="pt") as file:
        plain = json.loads(file.metadata()["state"])
        for key in file.keys():  # noqa: SIM118 - an open safetensors file is no mapping
            group, _, name = key.partition(".")
            tensors[group][name] = file.get_tensor(key)
    slots: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors["optimizer"].items():
        index, _, slot = key.partition(".")
        slots.setdefault(int(index), {})[slot] = tensor
    return State(
        network=tensors["network"],
        best=tensors["best"],
        optimizer={"state": slots, "param_groups": plain["groups"]},
        history=tuple(from_json(Epoch, epoch) for epoch in plain["history"]),
        best_epoch=plain["best_epoch"],
        best_value=plain["best_value"],
        spent=plain["spent"],
    )
