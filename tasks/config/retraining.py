"""The section about training again: what counts as a reason, and what forbids it for a while."""

from __future__ import annotations

from pydantic import Field

from tasks.config.base import Strict


class Retrain(Strict):
    """When `modelyard retrain` trains; changed data and a changed configuration are reasons by default."""

    new_data: bool = True
    """Whether changed data is a reason by itself; false leaves it to age, drift and floor."""
    source: str | None = None
    """Where new data arrives: a path that replaces the project's source when retraining. Relative to the
    project, or anywhere on the machine; `--source` beats it."""
    fresh: str | None = None
    """Recent rows to measure drift and floor on, with or without the target: a table, a folder of Parquet
    files or of IDX files, at any path. By default they are measured on the source, where its data is new."""
    drift: float | None = Field(None, gt=0)
    """Largest population stability index of a column before it is a reason. Usual reading: below 0.1
    nothing moved, above 0.25 much did."""
    floor: float | None = None
    """Value of the project's metric that the champion has to keep on labelled fresh rows: at least this
    much where higher is better, else at most."""
    max_age_days: float | None = Field(None, ge=0)
    """Age of the champion, and of the last training, beyond which it is time."""
    cool_down_hours: float = Field(0, ge=0)
    """After a training came to its end, nothing but `--force` begins another for so long."""
    watch: bool = False
    """Whether the servers of `modelyard up` retrain when the source changes on disk."""
