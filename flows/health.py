"""What `modelyard doctor` looks at: each check says ok, warn or broken, and why."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from flows import occupation
from flows.servers import prefect_server
from tasks import config, lease
from tasks.errors import ModelyardError
from tasks.registry.stores import postgres
from tasks.wording import size

State = Literal["ok", "warn", "broken"]

LEAST_DISK = 500 * 2**20
"""Bytes; a training of a shipped project with its report and model writes some 30 MB."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    state: State
    detail: str


def examine(root: Path) -> Iterator[Check]:
    """Every check of a checkout, one after the other."""
    checks: list[tuple[str, Callable[[Path], tuple[State, str]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("device", _device),
        ("disk", _disk),
        ("mlflow", _mlflow),
        ("prefect", _prefect),
        ("runs", _runs),
    ]
    for name, look in checks:
        yield _examined(name, look, root)
    for project in config.names(root):
        yield _examined(f"project {project}", lambda place, name=project: _project(place, name), root)  # type: ignore[misc]
        yield _examined(f"ledger {project}", lambda place, name=project: _ledger(place, name), root)  # type: ignore[misc]


def _examined(name: str, look: Callable[[Path], tuple[State, str]], root: Path) -> Check:
    try:
        state, detail = look(root)
    except ModelyardError as error:
        state, detail = "broken", str(error)
    except Exception as error:
        state, detail = "broken", f"{type(error).__name__}: {error}".splitlines()[0]
    return Check(name=name, state=state, detail=detail)


def _python(root: Path) -> tuple[State, str]:  # noqa: ARG001
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    return ("ok" if fits else "broken"), f"{platform.python_version()}" + (
        "" if fits else "; needs 3.11 to 3.13"
    )


def _packages(root: Path) -> tuple[State, str]:  # noqa: ARG001
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    lock = Path(__file__).resolve().parent.parent / "requirements.lock"
    if not lock.exists():
        return "warn", "no requirements.lock beside the code to compare with"
    wrong, count = [], 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        try:
            wanted = Requirement(line.split("#")[0].strip().rstrip("\\"))
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        count += 1
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            found = "none"
        if found == "none" or not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} is {found}, locked {wanted.specifier}")
    shown = "; ".join(wrong[:3]) + (f"; {len(wrong) - 3} more" if len(wrong) > 3 else "")
    return ("broken", shown) if wrong else ("ok", f"{count} packages are at their locked versions")


def _device(root: Path) -> tuple[State, str]:  # noqa: ARG001
    import torch  # noqa: PLC0415

    from tasks.learning.devices import resolve_device  # noqa: PLC0415

    return "ok", f"{resolve_device('auto')} (torch {torch.__version__}, {torch.get_num_threads()} threads)"


def _disk(root: Path) -> tuple[State, str]:
    free = shutil.disk_usage(root).free
    return ("ok" if free > LEAST_DISK else "broken"), f"{size(free)} free"


def _mlflow(root: Path) -> tuple[State, str]:
    from tasks.registry import tracking  # noqa: PLC0415

    uri = tracking.connect(root)
    count = sum(len(tracking.recent_runs(uri, name, 1000)) for name in config.names(root))
    return "ok", f"{count} runs in {uri}"


def _prefect(root: Path) -> tuple[State, str]:
    if url := prefect_server.configured_url():
        answers = prefect_server.healthy(url, patience=5)
        return ("ok" if answers else "broken"), f"{url} {'answers' if answers else 'does not answer'}"
    if place := config.root_settings(root).prefect.database:
        postgres.reach(place)
        return "ok", f"{place} answers"
    home = root / ".state" / "prefect"
    if not (home / "prefect.db").exists():
        return "ok", "a server is started when it is needed; none was yet"
    with closing(
        sqlite3.connect(f"{(home / 'prefect.db').absolute().as_uri()}?mode=ro", uri=True)
    ) as database:
        problem = database.execute("PRAGMA quick_check").fetchone()[0]
        runs = database.execute("SELECT count(*) FROM flow_run").fetchone()[0]
    return ("ok", f"{runs} flow runs in {home}") if problem == "ok" else ("broken", f"{home}: {problem}")


def _runs(root: Path) -> tuple[State, str]:
    """Who is at work, and which dead runs Prefect still has to be told of (MLflow was, by this command)."""
    from flows.operate import reconcile  # noqa: PLC0415

    living = [lease.describe(note) for note in lease.living(occupation.runs(root))]
    dead = reconcile.unfinished(root)
    if dead:
        return "warn", f"died, and Prefect does not know yet: {'; '.join(dead)}; `modelyard up` tells it"
    return "ok", f"at work: {'; '.join(living)}" if living else "none at work, none died unnoticed"


def _project(root: Path, name: str) -> tuple[State, str]:
    from tasks.registry import tracking  # noqa: PLC0415

    loaded = config.load(root, name).config
    champion = tracking.champion(tracking.connect(root), loaded.register_as.name, root / ".state" / "models")
    if champion is None:
        return "ok", "loads; no champion yet"
    return "ok", f"loads; champion is version {champion.version}, its digests verify"


def _ledger(root: Path, name: str) -> tuple[State, str]:
    """Whether the aliases are where the ledger says that they were moved."""
    from tasks.registry import ledger, promotion, tracking  # noqa: PLC0415

    try:
        model = config.load(root, name).config.register_as.name
    except ModelyardError:
        return "warn", "its project does not load"
    found = promotion.examine(tracking.connect(root), root, model)
    if found:
        return "warn", "; ".join(found)
    return "ok", f"{len(ledger.Ledger(root, model).entries)} entries lead to the present aliases"
