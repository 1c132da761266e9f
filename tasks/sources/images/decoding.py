"""Many pictures decoded side by side by limited processes, which hostile ones may end without harm."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tasks.errors import Unavailable
from tasks.sources.images import decoder

BATCH = 256
"""Pictures that a process is asked for at a time."""
MOST = 8
"""Processes at once, at most."""
UNREAD: dict[str, Any] = {"sha256": "", "height": 0, "width": 0, "mode": "", "error": "was not looked at"}

Answer = tuple[dict[str, Any], bytes]


@dataclass(frozen=True)
class Decoded:
    """Pictures in one size, in the order that they were asked for.

    Attributes:
        pixels: uint8 (n, height, width) or (n, height, width, 3); zeros where there is an error.
        digests: Hex sha256 of each file; empty where it could not be read.
        heights: (n,) int64, as in the file, in pixels.
        widths: (n,) int64, likewise.
        modes: Pillow's name of the mode in the file, such as `L`, `RGB`, `RGBA`, `P`, `CMYK`.
        errors: Position to the reason why there are no pixels.
    """

    pixels: np.ndarray
    digests: list[str]
    heights: np.ndarray
    widths: np.ndarray
    modes: list[str]
    errors: dict[int, str]


def decode(paths: Sequence[Path], size: tuple[int, int], mode: str) -> Decoded:
    """Decodes pictures, as many at a time as there are cores; `decoder` tells the rules.

    Args:
        paths: Files; no name holds a line break.
        size: Height and width that all are brought to, in pixels.
        mode: `grey` or `colour`.

    Raises:
        Unavailable: No process can be started.
    """
    count, shape = len(paths), (*size, 3) if mode == "colour" else size
    pixels = np.zeros((count, *shape), dtype=np.uint8)
    flat, told = pixels.reshape(count, math.prod(shape)), [UNREAD] * count

    def work(starts: Sequence[int]) -> None:
        with _Process(size, mode) as process:
            for start in starts:
                for row, answer in enumerate(process.ask(paths[start : start + BATCH]), start=start):
                    told[row], found = answer
                    if found:
                        flat[row] = np.frombuffer(found, dtype=np.uint8)

    starts = range(0, count, BATCH)
    workers = max(1, min(MOST, os.cpu_count() or 1, len(starts)))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [starts[i::workers] for i in range(workers)]))
    return Decoded(
        pixels=pixels,
        digests=[one["sha256"] for one in told],
        heights=np.array([one["height"] for one in told], dtype=np.int64),
        widths=np.array([one["width"] for one in told], dtype=np.int64),
        modes=[one["mode"] for one in told],
        errors={row: f"can't be decoded: {one['error']}" for row, one in enumerate(told) if one["error"]},
    )


class _Process:
    """A decoder; a picture that ends it costs no other one its answer."""

    def __init__(self, size: tuple[int, int], mode: str) -> None:
        self._command = [sys.executable, "-I", decoder.__file__, *map(str, size), mode]
        self._length = math.prod(size) * (3 if mode == "colour" else 1)
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._ended()

    def ask(self, paths: Sequence[Path]) -> Iterator[Answer]:
        """The answer to each path, in order."""
        at = 0
        while at < len(paths):
            self._send(paths[at:])
            for path in paths[at:]:
                answer, at = self._answer(), at + 1
                yield answer or ({**UNREAD, "sha256": decoder.digest(path), "error": self._ended()}, b"")
                if answer is None:
                    break

    def _send(self, paths: Sequence[Path]) -> None:
        self._child = self._child or self._started()
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead: there will be no answer either
            self._child.stdin.write(
                b"".join([b"%d\n" % len(paths), *(os.fsencode(p) + b"\n" for p in paths)])
            )
            self._child.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        try:
            # Our own interpreter and file, two numbers and a word.
            child = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, stderr=nothing)  # noqa: S603
        except OSError as error:
            raise Unavailable(f"no process to decode pictures: {error.strerror or error}") from None
        if child.stdout is None or child.stdout.readline() != decoder.READY:
            child.kill()
            raise Unavailable(
                f"the process that decodes pictures does not start (exit {child.wait()})",
                fix=f"try it: {' '.join(self._command)}",
            )
        return child

    def _answer(self) -> Answer | None:
        """What is said of the next path; None when the process has ended instead."""
        assert self._child is not None
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line.endswith(b"\n"):
            return None
        told: dict[str, Any] = json.loads(line)
        pixels = b"" if told["error"] else self._child.stdout.read(self._length)
        return (told, pixels) if told["error"] or len(pixels) == self._length else None

    def _ended(self) -> str:
        """Why the process is no more."""
        assert self._child is not None
        child, self._child = self._child, None
        code = child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        if code == -signal.SIGXCPU:
            return f"takes more than {decoder.SECONDS} s of CPU time"
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return f"ends the process that decodes it ({name})"
