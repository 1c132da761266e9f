"""The winner of a sweep, written into the project that it was found for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks import store
from tasks.errors import ConfigError
from tasks.records import RunRef
from tasks.registry import tracking
from tasks.tuning import rewriting


def edit(path: Path, changes: dict[str, Any], name: str, preset: str) -> dict[str, Any]:
    """What would change in a project's YAML: the settings, the diff, and the digest of the file that it fits.

    Args:
        path: The file.
        changes: Settings by dotted key.
        name: What the diff calls the file.
        preset: The preset under which the settings were found.

    Raises:
        ConfigError: It is laid out in a way that can't be edited safely.
    """
    before = path.read_bytes().decode()
    diff = rewriting.difference(before, rewriting.rewritten(before, changes, name, preset), name)
    return {"changes": changes, "diff": diff, "project_sha256": store.sha256_file(path)}


def accept(root: Path, document: dict[str, Any]) -> None:
    """Writes the winner of a sweep's document into project.yaml, whole or not at all, and notes it in MLflow.

    Raises:
        ConfigError: The file is not what it was when the sweep ended.
    """
    path = (root / "data" / document["project"] / "project.yaml").resolve()
    if store.sha256_file(path) != document["project_sha256"]:
        raise ConfigError(
            f"{path}: changed while the sweep went on", fix="apply the diff by hand, or sweep again"
        )
    before, mode = path.read_bytes().decode(), path.stat().st_mode
    after = rewriting.rewritten(before, document["changes"], str(path), document["preset"])
    with store.replacing(path) as temporary:
        temporary.write_bytes(after.encode())
        temporary.chmod(mode)
    run = RunRef(uri=tracking.connect(root), experiment_id="", run_id=document["run_id"])
    tracking.set_tags(run, {"modelyard.accepted": "true"})
