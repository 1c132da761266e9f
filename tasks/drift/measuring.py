"""What fresh rows say about the champion: whether they moved, and whether it still answers them well."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from tasks import sources
from tasks.config import Columns, Retrain, Source, Task, higher_is_better
from tasks.drift import distance
from tasks.drift.profile import Profile
from tasks.errors import quoted
from tasks.own.extension import short
from tasks.records import Drift, ModelVersion, Standing, from_json


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Drift and standing, as far as asked for and possible.

    Attributes:
        fresh: Fingerprint of the rows.
        drift: None where no threshold is set.
        standing: None where no floor is set.
        warnings: What could not be measured, and what the numbers leave out.
    """

    fresh: str | None = None
    drift: Drift | None = None
    standing: Standing | None = None
    warnings: tuple[str, ...] = ()


def measure(
    rules: Retrain,
    champion: ModelVersion,
    profile: dict[str, Any] | None,
    fresh: Source,
    project: Path,
    columns: Columns,
    target: str,
    kind: Task,
    metric: str,
    seed: int,
) -> Measured:
    """Measures the champion on fresh rows; too few of them measure nothing.

    Args:
        rules: Threshold and floor.
        champion: With its bundle where there is a floor.
        profile: Of the rows that it learned from, as its run keeps it.
        fresh: The rows.
        project: Folder that relative paths start from.
        columns: How declared columns are read.
        target: Column to predict, which fresh rows may lack.
        kind: Of the task.
        metric: The project's.
        seed: Of the resamples.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
        DataError: The rows can't be read, or lack a column.
    """
    known = _known(profile)
    loaded = sources.read(fresh, project, None, _read_as(known, columns))
    rows = loaded.dataset.rows
    if len(rows) < distance.FEWEST_ROWS:
        few = f"{len(rows)} fresh rows are too few to measure anything; {distance.FEWEST_ROWS} are needed"
        return Measured(fresh=loaded.fingerprint, warnings=(few,))
    drift, standing, warnings = None, None, []
    if rules.drift is not None and known is not None:
        drift = distance.compare(known, rows, threshold=rules.drift, optional=target)
        if drift.unfamiliar:
            strange = ", ".join(f"{quoted(name)} {count:,}" for name, count in drift.unfamiliar.items())
            warnings.append(f"fresh values unlike any in training (new categories or gaps): {strange}")
    elif rules.drift is not None:
        warnings.append(f"no drift was measured: version {champion.version} was trained without a profile")
    if rules.floor is not None and target in rows.columns:
        standing, notes = _standing(champion, loaded, kind, metric, rules.floor, seed)
        warnings += notes
    elif rules.floor is not None:
        warnings.append(f"the floor was not measured: the fresh rows have no column {quoted(target)}")
    return Measured(fresh=loaded.fingerprint, drift=drift, standing=standing, warnings=tuple(warnings))


def _known(profile: dict[str, Any] | None) -> Profile | None:
    try:
        found = None if profile is None else from_json(Profile, profile)
    except (KeyError, TypeError, ValueError):  # of another version of modelyard
        return None
    return found if found is not None and found.rows >= distance.FEWEST_ROWS else None


def _read_as(known: Profile | None, columns: Columns) -> Columns:
    """Return the types that the columns had in training, whatever the fresh values look like."""
    types = {} if known is None else {column.name: column.type for column in known.columns}
    return columns.model_copy(update={"types": {**columns.types, **types}})


def _standing(
    champion: ModelVersion, loaded: sources.Loaded, kind: Task, metric: str, floor: float, seed: int
) -> tuple[Standing | None, tuple[str, ...]]:
    """The champion's metric on the rows that it never learned from, and what there is to say about it."""
    from tasks.ladder.fresh import score_fresh  # noqa: PLC0415 - torch, which drift alone does not need

    assert champion.folder is not None  # fetched, since there is a floor
    found = score_fresh(champion.folder, loaded.dataset, seed, (metric,), loaded.bad)
    metric, higher = short(metric), higher_is_better(kind, metric)
    if found.rows < distance.FEWEST_ROWS:
        few = f"the floor was not measured: {found.rows} labelled fresh rows are too few"
        return None, (*found.notes, few)
    scored = found.metrics[metric]
    if not isfinite(scored.value):
        return None, (*found.notes, f"the floor was not measured: {metric} is undefined on the fresh rows")
    held = scored.value >= floor if higher else scored.value <= floor
    standing = Standing(
        metric=metric,
        value=scored.value,
        low=scored.low,
        high=scored.high,
        rows=found.rows,
        floor=floor,
        held=held,
    )
    return standing, found.notes
