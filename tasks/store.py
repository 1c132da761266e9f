"""Files that are whole or absent, and steps that are not done twice.

A step's output is a folder `work/STEP/KEY` that holds its files, `inputs.json` (what the key was
made of) and `record.json` (what the step returned, with the digest of every file; written last).
It is built under a temporary name and renamed, so a folder that exists is complete; before it is
believed its digests are verified. The key covers the content of the inputs, the slice of the
configuration, the source of the library and the versions of what computes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tasks.records import Step, from_json, to_json
from tasks.spans import span

R = TypeVar("R")

LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn", "scipy", "great-expectations")
"""Libraries whose version may change a step's output."""

KEPT = 8
"""Outputs of one step that stay on disk; older ones are removed."""


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Hex sha256 of plain data or records, the same on every machine."""
    text = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Writes `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value: Any) -> Path:
    """Writes plain data or records as readable JSON, whole or not at all."""
    return write_text(path, json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_tree(folder: Path) -> None:
    # Small outputs by the hundred (Data Docs) would each cost a disk flush; they can be made again.
    for path in folder.iterdir():
        if path.is_file():
            _flush(path)


def remember(
    work: Path, name: str, inputs: Mapping[str, Any], record: type[R], build: Callable[[Path], R]
) -> R:
    """The record that `build` returns for these inputs, from disk where it was built before.

    Args:
        work: The project's folder of step outputs.
        name: The step.
        inputs: Plain data that the output depends on: digests, settings, seed.
        record: Type of the record; it has the fields `step` and `folder`.
        build: Writes the step's files into the folder it is given and returns the record, with
            that same folder in it. It runs at most once; if it raises, nothing is left.

    Returns:
        The record, its `step` telling whether and why the step ran.
    """
    made_of = {**to_json(dict(inputs)), "code": code_digest(), "libraries": library_versions()}
    home = work / name / digest(made_of)[:20]
    began = time.perf_counter()
    with span("cache"):
        known = recall(home, record)
    if known is not None:
        os.utime(home)  # the least recently used outputs are the ones that go
        return _with_step(
            known,
            Step(
                name=name,
                status="reused",
                why="same data, settings and code",
                seconds=time.perf_counter() - began,
            ),
        )
    why = _difference(work / name, made_of)
    (work / name).mkdir(parents=True, exist_ok=True)
    sweep(work / name)
    shutil.rmtree(home, ignore_errors=True)  # present, but not whole: damaged
    temporary = Path(tempfile.mkdtemp(dir=work / name, prefix=f".building-{os.getpid()}-"))
    try:
        built = build(temporary)
        seconds = time.perf_counter() - began
        built = _with_step(
            built, Step(name=name, status="ran", why=why, seconds=round(seconds, 3)), folder=home
        )
        with span("cache"):
            write_json(temporary / "inputs.json", made_of)
            write_json(temporary / "record.json", {"record": built, "files": _digests(temporary)})
            _flush_tree(temporary)
        try:
            temporary.rename(home)
        except OSError:  # another process built the same: its folder is as good
            if recall(home, record) is None:
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _forget_oldest(work / name)
    return built


def _with_step(record: R, step: Step, **changes: Any) -> R:
    return dataclasses.replace(record, step=step, **changes)  # type: ignore[type-var]


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "record.json")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def recall(home: Path, record: type[R]) -> R | None:
    """The stored record, unless it or a file that it speaks for is missing or changed."""
    try:
        stored = json.loads((home / "record.json").read_text(encoding="utf-8"))
        for name, expected in stored["files"].items():
            if sha256_file(home / name) != expected:
                return None
        known = from_json(record, stored["record"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dataclasses.replace(known, folder=home)  # type: ignore[type-var]


def _difference(folder: Path, made_of: Mapping[str, Any]) -> str:
    """Why a step has to run: what is new against its latest output."""
    latest = max(folder.glob("*/inputs.json"), key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        return "first run"
    try:
        before = json.loads(latest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its last output can't be read"
    changed = sorted(_changes(before, dict(made_of)))
    return f"changed: {', '.join(changed[:6])}" if changed else "its last output was damaged"


def _changes(before: Any, now: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() | now.keys():
            yield from _changes(before.get(key), now.get(key), f"{prefix}.{key}" if prefix else key)
    elif before != now:
        yield prefix


def sweep(folder: Path) -> None:
    """Removes what builders that were killed left behind."""
    for path in folder.glob(".building-*"):
        try:
            os.kill(int(path.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError, IndexError, OverflowError):
            continue  # alive under another user, or not named by us


def _forget_oldest(folder: Path) -> None:
    outputs = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in sorted(outputs, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def code_digest() -> str:
    """Digest of the library's own source: a changed line anywhere in it makes steps run again."""
    package = Path(__file__).parent
    return digest({p.relative_to(package).as_posix(): sha256_file(p) for p in sorted(package.rglob("*.py"))})


@cache
def _library_versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in LIBRARIES)


def library_versions() -> dict[str, str]:
    """Installed versions of `LIBRARIES`."""
    return dict(_library_versions())
