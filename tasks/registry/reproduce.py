"""Proof that a registered version works away from home: a fresh process must repeat its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import ArtifactTampered, RegistryConflict, ResourceLimit, quoted
from tasks.records import ModelVersion
from tasks.registry import cleanroom
from tasks.spans import span

SECONDS = 180.0
"""How long the fresh process may take; 5 to 8 s are usual, most of them imports."""
_AGAIN = "it was left without alias; train again"
TOLERANCE = 1e-5
"""Relative difference of numbers: another batch size adds up floats in another order."""


@dataclass(frozen=True)
class Sample:
    """Raw rows and what the model answered for them when it was judged.

    Attributes:
        data: n raw rows, or uint8 images (n, height, width[, 3]).
        values: (n,) labels or numbers.
        confidence: (n,) probability of each label; None for numbers.
    """

    data: pd.DataFrame | np.ndarray
    values: np.ndarray
    confidence: np.ndarray | None


class Stranger:
    """A fresh process without a GPU, which begins its imports at once and answers one request.

    Used as a context: it and its files are gone when the block ends.
    """

    def __init__(self) -> None:
        self._files = tempfile.TemporaryDirectory(prefix="modelyard-cleanroom-")
        self.folder = Path(self._files.name)
        self._noise = (self.folder / "noise").open("w+", encoding="utf-8")
        # -I keeps this folder, PYTHONPATH and the user's site out of the path of the new process.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", "-B", str(Path(cleanroom.__file__).resolve())],
            cwd=self.folder,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "MLFLOW_LOGGING_LEVEL": "CRITICAL"},
            stdin=subprocess.PIPE,
            stdout=self._noise,
            stderr=self._noise,
            text=True,
        )

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._noise.close()
        self._files.cleanup()

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What the process answers. Raises `subprocess.TimeoutExpired` after `seconds`."""
        path, answer = self.folder / "request.json", self.folder / "answer.json"
        path.write_text(json.dumps({**request, "answer": str(answer)}), encoding="utf-8")
        self._process.communicate(f"{path}\n", timeout=seconds)
        if not answer.exists():
            self._noise.seek(0)
            last = (self._noise.read().strip().splitlines() or ["it said nothing"])[-1]
            return {"error": "died", "message": f"exit {self._process.returncode}: {last}"}
        answered: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return answered


_ROOM: ContextVar[list[Stranger] | None] = ContextVar("modelyard_waiting_room", default=None)


@contextmanager
def waiting_room() -> Iterator[None]:
    """Within this block `call_ahead` has an effect; a stranger that nobody took is gone when it ends."""
    room: list[Stranger] = []
    token = _ROOM.set(room)
    try:
        yield
    finally:
        _ROOM.reset(token)
        for stranger in room:
            stranger.__exit__()


def call_ahead() -> None:
    """Starts a fresh process ahead of its time, so that its imports are done when it is asked."""
    room = _ROOM.get()
    if room is not None and not room:
        room.append(Stranger())


def stranger() -> Stranger:
    """The process that was called ahead, else one that starts now."""
    room = _ROOM.get()
    return room.pop() if room else Stranger()


def reproduce(
    uri: str, known: ModelVersion, sample: Sample, stranger: Stranger, *, seconds: float = SECONDS
) -> None:
    """Lets a fresh process load the version by its URI and answer, and compares the answers.

    Raises:
        ArtifactTampered: Its files are damaged, or it answers something else.
        RegistryConflict: It can't be loaded there, or did not bring its own code.
        ResourceLimit: The process took longer than `seconds`.
    """
    what = f"version {known.version} of model {quoted(known.name)}"
    request = {
        "tracking_uri": uri,
        "model_uri": f"models:/{known.name}/{known.version}",
        "rows": str(_write(sample.data, stranger.folder)),
        "probabilities": sample.confidence is not None,
    }
    try:
        with span("clean room"):
            found = stranger.ask(request, seconds)
    except subprocess.TimeoutExpired:
        raise ResourceLimit(
            f"{what} took more than {seconds:.0f} s in a fresh process",
            fix="free the machine and train again",
        ) from None
    if "error" in found:
        kind = ArtifactTampered if found["error"] == "ArtifactTampered" else RegistryConflict
        problem = quoted((found["message"].splitlines() or [found["error"]])[0])
        raise kind(f"{what} can't be used in a fresh process: {problem}", fix=_AGAIN)
    if found["tasks"] is None:
        raise RegistryConflict(f"{what} ran code from outside of the model", fix=_AGAIN)
    if difference := differs(sample, found["values"], found["confidence"]):
        raise ArtifactTampered(
            f"{what} answers otherwise in a fresh process than when it was judged: {difference}", fix=_AGAIN
        )


def _write(data: pd.DataFrame | np.ndarray, folder: Path) -> Path:
    if isinstance(data, np.ndarray):
        np.save(folder / "rows.npy", data, allow_pickle=False)
        return folder / "rows.npy"
    data.to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


def differs(sample: Sample, values: list[Any], confidence: list[float] | None) -> str:
    """How the answers differ from the sample's, in a few words; empty if they agree."""
    expected = sample.values
    if len(values) != len(expected):
        return f"{len(values)} answers for {len(expected)} rows"
    if sample.confidence is None:
        return _far(np.asarray(expected, dtype=np.float64), np.asarray(values, dtype=np.float64))
    other = sum(a != b for a, b in zip(expected.tolist(), values, strict=True))
    if other:
        return f"{other} of {len(values)} labels are others"
    return _far(np.asarray(sample.confidence), np.asarray(confidence, dtype=np.float64))


def _far(expected: np.ndarray, found: np.ndarray) -> str:
    scale = float(np.max(np.abs(expected), initial=0.0))
    close = np.isclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale * 0.1)
    if close.all():
        return ""
    worst = float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-12)))
    return f"{int((~close).sum())} of {len(found)} numbers are off, the worst by {worst:.2g} of its value"
