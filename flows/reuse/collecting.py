"""What of a project's `work` folder nobody will ask for again, and its removal.

Kept in any case: what a version with an alias was made from, and what the latest run of the project left
(so that it can be shown, registered, or gone on with); of each step the outputs that were used last. A
project of which a run goes on is left alone. An output goes by one rename, so a process that is killed
meanwhile leaves whole ones, and rests that the next builder sweeps away.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import occupation, past
from tasks import config, lease, store
from tasks.errors import RegistryConflict
from tasks.registry import tracking

KEPT = 8
"""Outputs of a step beyond which the next run of the project makes room."""
YOUNG_SECONDS = 3600.0
"""What no lease speaks for may be in use when it was written to within this time."""


@dataclass(frozen=True)
class Waste:
    """Something that may go.

    Attributes:
        path: A file or folder.
        bytes: Its size.
        why: What it is.
        used: Time of its last use as the folder or file itself tells it, seconds since 1970.
    """

    path: Path
    bytes: int
    why: str
    used: float


@dataclass(frozen=True)
class Reach:
    """What is asked for by something that stays.

    Attributes:
        outputs: Step and key of outputs.
        runs: Beginnings of run ids, as reports are named by them.
    """

    outputs: frozenset[tuple[str, str]]
    runs: frozenset[str]


NOTHING = Reach(frozenset(), frozenset())


def collect(root: Path, *, keep: int, dry_run: bool) -> dict[str, Any]:
    """Removes what may go, of every project; or only says what that is.

    Args:
        root: The checkout.
        keep: How many of the outputs of each step that were used last stay, at least one.
        dry_run: Whether nothing is removed.

    Returns:
        A document: `removed` (path, bytes, why), `bytes` of all of it, `skipped` (project, why).

    Raises:
        Unavailable: The registry can't be asked what its aliases reach; nothing was removed.
    """
    removed, skipped, works = [], [], []
    with ExitStack() as held:
        for folder in sorted(path.parent for path in (root / "data").glob("*/work")):
            slot = occupation.slot(root, f"project-{folder.name}")
            taken = None if dry_run else lease.take(slot, action="gc", project=folder.name)
            if lease.is_held(slot) if dry_run else taken is None:
                skipped.append({"project": folder.name, "why": f"in use: {lease.describe(lease.read(slot))}"})
                continue
            if taken is not None:
                held.callback(taken.release)
            works.append(folder / "work")
        # Only now that no run of these projects can come to its end: what it leaves would not be known.
        reach = reached(root) if works else NOTHING
        for work in works:
            found = list(waste(work, reach, keep))
            removed += found if dry_run else [each for each in found if _remove(each)]
    listed = [
        {"path": each.path.relative_to(root).as_posix(), "bytes": each.bytes, "why": each.why}
        for each in removed
    ]
    total = sum(each.bytes for each in removed)
    return {"dry_run": dry_run, "bytes": total, "removed": listed, "skipped": skipped}


def make_room(root: Path, work: Path) -> None:
    """Removes outputs of steps that have more than `KEPT`; for whoever holds the project's slot."""
    if any(len(store.outputs(folder)) > KEPT for folder in _folders(work)):
        for each in _outputs(work, reached(root), KEPT):
            _remove(each)


def reached(root: Path) -> Reach:
    """What versions with an alias, and the latest run of each project, were made from.

    Raises:
        Unavailable: The registry can't be read.
    """
    if not tracking.is_there(root):
        return NOTHING
    uri = tracking.connect(root)
    runs = {known.run_id for known in tracking.aliased(uri) if known.run_id is not None}
    runs |= {run["run_id"] for name in config.names(root) for run in tracking.recent_runs(uri, name, 1)}
    outputs = set()
    for run_id in runs:
        for step in past.STEPS:
            with suppress(RegistryConflict):  # somebody deleted the run
                if stored := past.read(uri, run_id, f"{step}/record.json"):
                    outputs.add((step, Path(str(stored["folder"])).name))
    return Reach(frozenset(outputs), frozenset(run_id[:12] for run_id in runs))


def waste(work: Path, reach: Reach, keep: int) -> Iterator[Waste]:
    """What may go from one project's folder, as `collect` describes it."""
    yield from _outputs(work, reach, keep)
    for folder in _folders(work):
        yield from (_waste(path, f"left by a killed {folder.name}") for path in store.left_behind(folder))
    for path in _old_checkpoints(work / "checkpoints", keep):
        yield _waste(path, "checkpoints of a training that never went on")
    for path in _older((work / "reports").glob("*.html"), keep):
        if path.stem not in reach.runs:
            yield _waste(path, "an older report, which its MLflow run has too")
    for path in (*(work / "untracked").glob("*"), *work.glob(".refused-*")):
        if max(each.lstat().st_mtime for each in _all(path)) < time.time() - YOUNG_SECONDS:
            yield _waste(path, "left by a killed validate" if path.parent == work else "left by a lone step")


def _outputs(work: Path, reach: Reach, keep: int) -> Iterator[Waste]:
    for folder in _folders(work):
        for path in _older(store.outputs(folder), keep):
            if (folder.name, path.name) not in reach.outputs:
                yield _waste(path, f"an older output of {folder.name}")


def _folders(work: Path) -> list[Path]:
    """Folders of steps, whatever steps there are."""
    return sorted({path.parent.parent for path in work.glob("*/[!.]*/inputs.json")})


def _older(paths: Iterable[Path], keep: int) -> list[Path]:
    """All but the `keep` that were used last."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]


def _old_checkpoints(folder: Path, keep: int) -> list[Path]:
    """Checkpoints of all but the `keep` trainings that were at work last; a refit belongs to its training."""
    trainings: dict[str, list[Path]] = {}
    for path in _older(folder.glob("*"), 0):
        trainings.setdefault(path.name.removesuffix("-refit"), []).append(path)
    return [path for paths in list(trainings.values())[keep:] for path in paths]


def _all(path: Path) -> list[Path]:
    return [path, *path.rglob("*")]


def _waste(path: Path, why: str) -> Waste:
    size = sum(each.lstat().st_size for each in _all(path) if not each.is_dir())
    return Waste(path, size, why, path.stat().st_mtime)


def _remove(found: Waste) -> bool:
    """Takes something away, unless somebody used it meanwhile; whether it went."""
    with suppress(FileNotFoundError):
        if found.path.stat().st_mtime != found.used:
            return False
        if (found.path / "inputs.json").exists():
            store.discard(found.path)
        elif found.path.is_dir():
            shutil.rmtree(found.path)
        else:
            found.path.unlink()
        return True
    return False
