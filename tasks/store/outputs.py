"""Steps that are not done twice: outputs by key, forced ones, and what would be done."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from tasks.records import Step, from_json
from tasks.spans import span
from tasks.store import keys, source
from tasks.store.files import digest, flush_files, sha256_file, write_json
from tasks.store.keys import Change

R = TypeVar("R")

REUSED = "same data, settings and code"
NAMED = 6
"""Parts of a key that a reason names."""

_FORCED: ContextVar[frozenset[str]] = ContextVar("modelyard_forced", default=frozenset())
_PLANNING: ContextVar[bool] = ContextVar("modelyard_planning", default=False)


class Missed(Exception):
    """Raised instead of building, while `planning`.

    Attributes:
        name: The step.
        made_of: What its output would be made of.
        changes: Where that differs from its latest output.
        why: The reason in words.
        latest: Folder of its latest output; None before the first.
    """

    def __init__(
        self,
        name: str,
        made_of: Mapping[str, Any],
        changes: tuple[Change, ...],
        why: str,
        latest: Path | None,
    ) -> None:
        super().__init__(why)
        self.name, self.made_of, self.changes, self.why, self.latest = name, made_of, changes, why, latest


@contextmanager
def planning() -> Iterator[None]:
    """Nothing is built or written in the block: an output that is not there raises `Missed`."""
    token = _PLANNING.set(True)
    try:
        yield
    finally:
        _PLANNING.reset(token)


@contextmanager
def forcing(names: Iterable[str]) -> Iterator[None]:
    """Steps of these names are done in the block, whatever was done before."""
    token = _FORCED.set(frozenset(names))
    try:
        yield
    finally:
        _FORCED.reset(token)


def remember(
    work: Path,
    name: str,
    inputs: Mapping[str, Any],
    record: type[R],
    build: Callable[[Path], R],
    also: Iterable[str] = (),
) -> R:
    """The record that `build` returns for these inputs, from disk where it was built before.

    Args:
        work: The project's folder of step outputs.
        name: The step.
        inputs: Plain data that the output depends on: digests, settings, seed.
        record: Type of the record; it has the fields `step` and `folder`.
        build: Writes the step's files into the folder it is given and returns the record, with
            that same folder in it. It runs at most once; if it raises, nothing is left. What its module
            reaches belongs to the key.
        also: Names in `tasks` that `build` runs and its module does not know of.

    Returns:
        The record, its `step` telling whether and why the step ran.

    Raises:
        Missed: It would have to be built, and that is only planned.
    """
    made_of = keys.made_of(inputs, getattr(build, "func", build).__module__, *also)
    home = work / name / digest(made_of)[:20]
    began, planned, forced = time.perf_counter(), _PLANNING.get(), name in _FORCED.get()
    if not planned:
        source.keep()
    with span("cache"):
        known = None if forced else recall(home, record)
    if known is not None:
        if not planned:
            os.utime(home)  # the least recently used outputs are the ones that go
        seconds = time.perf_counter() - began
        return _with_step(known, Step(name=name, status="reused", why=REUSED, seconds=seconds))
    missed = _missed(work / name, home, made_of, forced=forced)
    if planned:
        raise missed
    return _built(home, missed, record, build, forced=forced)


def _built(
    home: Path, missed: Missed, record: type[R], build: Callable[[Path], R], *, forced: bool
) -> R:  # fmt: skip
    """What `build` returns, its files stored at `home`."""
    began = time.perf_counter()
    home.parent.mkdir(parents=True, exist_ok=True)
    sweep(home.parent)
    temporary = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".building-{os.getpid()}-"))
    try:
        built = build(temporary)
        seconds = round(time.perf_counter() - began, 3)
        step = Step(name=missed.name, status="ran", why=missed.why, seconds=seconds)
        built = _with_step(built, step, folder=home)
        with span("cache"):
            write_json(temporary / "inputs.json", missed.made_of)
            write_json(temporary / "record.json", {"record": built, "files": _digests(temporary)})
            flush_files(temporary)
            _settle(temporary, home, record, replace=forced)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return built


def _settle(temporary: Path, home: Path, record: type[Any], *, replace: bool) -> None:
    """Gives a finished output its name; one that another process built meanwhile is as good."""
    if home.exists() and (replace or recall(home, record) is None):
        discard(home)
    try:
        temporary.rename(home)
    except OSError:
        if recall(home, record) is None:
            raise


def discard(home: Path) -> None:
    """Takes an output away at once; a process that is killed meanwhile leaves what `sweep` removes."""
    aside = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".building-{os.getpid()}-"))
    home.rename(aside / home.name)
    shutil.rmtree(aside, ignore_errors=True)


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


def latest(folder: Path) -> Path | None:
    """The output of a step that was made or used last."""
    return max(outputs(folder), key=lambda path: path.stat().st_mtime, default=None)


def outputs(folder: Path) -> list[Path]:
    """The outputs in the folder of a step."""
    return [path.parent for path in folder.glob("[!.]*/inputs.json")]


def _missed(folder: Path, home: Path, made_of: Mapping[str, Any], *, forced: bool) -> Missed:
    """Why a step has to run: it was asked for, its output is damaged, or what is new against the latest."""
    last, found = latest(folder), tuple[Change, ...]()
    if forced:
        last = home if home.exists() else last
        why = "it was asked for"
    elif home.exists():
        why = f"its output was damaged: {_damage(home)}"
    elif last is None:
        why = "first run"
    else:
        try:
            before = json.loads((last / "inputs.json").read_text(encoding="utf-8"))
            found = tuple(keys.changes(before, dict(made_of)))
            why = f"changed: {', '.join(change.part for change in found[:NAMED])}"
        except (OSError, ValueError):
            why = "its last output can't be read"
    return Missed(folder.name, made_of, found, why, last)


def _damage(home: Path) -> str:
    try:
        stored = json.loads((home / "record.json").read_text(encoding="utf-8"))["files"]
        for name, expected in stored.items():
            if not (home / name).is_file():
                return f"{name} is gone"
            if sha256_file(home / name) != expected:
                return f"{name} was changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return "record.json can't be read"


def sweep(folder: Path) -> None:
    """Removes what builders that were killed left behind."""
    for path in left_behind(folder):
        shutil.rmtree(path, ignore_errors=True)


def left_behind(folder: Path) -> Iterator[Path]:
    """Folders of builders that are no more."""
    for path in folder.glob(".building-*"):
        try:
            os.kill(int(path.name.split("-")[1]), 0)
        except ProcessLookupError:
            yield path
        except (OSError, ValueError, IndexError, OverflowError):
            continue  # alive under another user, or not named by us
