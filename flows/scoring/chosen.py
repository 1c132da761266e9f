"""Which version answers, and what it is known to be off by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.errors import ConfigError, quoted
from tasks.ladder import intervals
from tasks.ladder.intervals import Interval
from tasks.records import ModelVersion
from tasks.registry import backend, tracking, versions


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A version with its bundle, and its prediction interval if it carries one."""

    model: ModelVersion
    folder: Path
    interval: Interval | None


def choose(name: str, root: Path, number: int | None) -> Chosen:
    """Version `number` of the model `name`, or its champion, fetched and verified.

    Raises:
        ConfigError: There is no champion yet.
        RegistryConflict: There is no such version.
        ArtifactTampered: Its files are not the ones that were registered.
    """
    uri, cache = tracking.connect(root), root / ".state" / "models"
    if number is not None:
        model = tracking.version(uri, name, number, cache)
    elif (found := tracking.champion(uri, name, cache)) is not None:
        model = found
    else:
        raise ConfigError(f"model {quoted(name)} has no champion yet", fix="train one, or name a version")
    if model.folder is None:
        raise ConfigError(f"model {quoted(name)} version {model.version} came without its bundle")
    with backend.reaching(uri):
        entry = versions.get(backend.client(uri), name, model.version)
    tag = None if entry is None else entry.tags.get(intervals.TAG)
    return Chosen(model=model, folder=model.folder, interval=intervals.parse(tag))
