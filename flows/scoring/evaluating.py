"""What a registered version is worth on new labelled data; nothing is altered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.scoring.chosen import choose
from tasks import sources
from tasks.config import ImagesSource, Project, Source
from tasks.errors import ConfigError, quoted
from tasks.ladder import fresh
from tasks.learning import scoring
from tasks.own.extension import short
from tasks.records import to_json


def evaluate(project: Project, root: Path, data: Path, version: int | None) -> dict[str, Any]:
    """Scores a version, or the champion, on the project's source, which was replaced by new data.

    Args:
        project: With `source` replaced by the new data.
        root: The checkout.
        data: The same place, as it was given.
        version: Version of the model; the champion when absent.

    Returns:
        `project`, `model` (name and version), `target`, `data` (file, fingerprint, and the numbers of
        rows, of those scored, seen, bad, dropped and of an unknown label), `metrics` (each with value,
        low and high, NaN where undefined), `metric`, `higher_is_better` and `notes`.

    Raises:
        ConfigError: There is no champion yet, or the version is of another kind than the project.
        DataError: The data can't be read, lacks the target, or has none of the model's labels.
    """
    config = project.config
    known = choose(config.register_as.name, root, version)
    manifest = scoring.load(known.folder).manifest
    if manifest["task"] != config.task:
        raise ConfigError(
            f"version {known.model.version} of {quoted(known.model.name)} is a {manifest['task']}; "
            f"the project asks for a {config.task}",
            fix="name another --version",
        )
    source = _as_taken(config.source, manifest["image_shape"])
    loaded = sources.read(source, project.folder, manifest["target"], fresh.columns_of(manifest))
    found = fresh.score_fresh(
        known.folder, loaded.dataset, config.seed, (config.evaluate.metric,), loaded.bad
    )
    return {
        "project": config.name,
        "model": {"name": known.model.name, "version": known.model.version},
        "target": manifest["target"],
        "data": {
            "file": str(data),
            "fingerprint": loaded.fingerprint,
            "rows": found.read,
            "scored": found.rows,
            "seen": found.seen,
            "bad": found.bad,
            "dropped": found.dropped,
            "unknown": found.unknown,
        },
        "metrics": to_json(found.metrics),
        "metric": short(config.evaluate.metric),
        "higher_is_better": config.higher_is_better,
        "notes": list(found.notes),
    }


def _as_taken(source: Source, shape: list[int] | None) -> Source:
    """The same pictures in the size and mode that the model takes, whatever the project says by now."""
    if not isinstance(source, ImagesSource) or shape is None:
        return source
    mode = "colour" if len(shape) == 3 else "grey"
    return source.model_copy(update={"size": (shape[0], shape[1]), "mode": mode})
