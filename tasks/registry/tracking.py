"""Runs in MLflow: parameters, metrics, data sets and files of one run, addressed by a `RunRef`.

Nothing here reads or sets MLflow's ambient run or URI: a task that runs in a pool's thread would see
none. `connect`, `champion`, `reigning`, `version` and `versions` are offered here too, so that a flow
needs to know one module.
"""

from __future__ import annotations

import getpass
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tasks.records import Epoch, RunRef
from tasks.registry import backend
from tasks.registry.backend import connect, is_there
from tasks.registry.fetching import champion, reigning, version
from tasks.registry.lineage import log_data, log_dataset, part_of
from tasks.registry.versions import aliased, versions

__all__ = [
    "aliased",
    "champion",
    "connect",
    "finish_run",
    "is_there",
    "log_artifact",
    "log_data",
    "log_dataset",
    "log_epochs",
    "log_metrics",
    "log_params",
    "log_table",
    "part_of",
    "recent_runs",
    "reigning",
    "set_tags",
    "start_run",
    "sweeps",
    "version",
    "versions",
]

_BATCH = 100
"""MLflow takes at most so many parameters or tags in one call, and ten times as many metrics."""
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000


def sweeps(project: str) -> str:
    """Name of the experiment of a project's sweeps: their many runs are no trainings to compare."""
    return f"{project}.sweeps"


def start_run(uri: str, project: str, root: Path, *, tags: Mapping[str, str]) -> RunRef:
    """Begins a run in the project's experiment, which is made where it is new.

    Args:
        uri: What `connect` returned.
        project: Name of the experiment: the project's, or that of its sweeps.
        root: Folder that holds `mlflow/`; where artifacts go, unless a server decides that.
        tags: First tags of the run; `mlflow.runName` names it, `mlflow.note.content` describes it.

    Raises:
        Unavailable: The store can't be reached or read.
    """
    known = {"mlflow.source.name": "modelyard", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
    with backend.reaching(uri):
        client = backend.client(uri)
        experiment = _experiment(client, uri, project, root)
        run = client.create_run(experiment, tags={**known, **_strings(tags, _LONGEST_TAG)})
    return RunRef(uri=uri, experiment_id=experiment, run_id=run.info.run_id)


def _experiment(client: Any, uri: str, project: str, root: Path) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    found = client.get_experiment_by_name(project)
    if found is None:
        place = None if backend.is_remote(uri) else backend.artifacts(root, project)
        try:
            return str(client.create_experiment(project, artifact_location=place))
        except MlflowException:  # another process was faster
            found = client.get_experiment_by_name(project)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def finish_run(run: RunRef, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
    """Ends the run with `status`."""
    with backend.reaching(run.uri):
        backend.client(run.uri).set_terminated(run.run_id, status)


def log_params(run: RunRef, params: Mapping[str, Any]) -> None:
    """Logs settings; nested mappings become dotted keys, other values their JSON."""
    from mlflow.entities import Param  # noqa: PLC0415

    items = _strings(dict(_flat(params)), _LONGEST_PARAM).items()
    with backend.reaching(run.uri):
        client = backend.client(run.uri)
        for batch in _batches([Param(_key(name), value) for name, value in items], _BATCH):
            client.log_batch(run.run_id, params=batch)


def log_metrics(run: RunRef, metrics: Mapping[str, float], step: int = 0) -> None:
    """Logs numbers; what is not finite becomes a tag (MLflow would store infinity as 1.8e308)."""
    _log(run, [(name, float(value), step) for name, value in metrics.items()])


def log_epochs(run: RunRef, epochs: Sequence[Epoch]) -> None:
    """Logs lines of the training history, at the step of their epoch, in one call."""
    names = ("train_loss", "validation_loss", "validation_metric", "learning_rate")
    lines = [(name, float(getattr(epoch, name)), epoch.epoch) for epoch in epochs for name in names]
    _log(run, [*lines, *(("epoch_seconds", epoch.seconds, epoch.epoch) for epoch in epochs)])


def _log(run: RunRef, lines: Sequence[tuple[str, float, int]]) -> None:
    from mlflow.entities import Metric, RunTag  # noqa: PLC0415

    now = int(time.time() * 1000)
    metrics = [Metric(_key(name), value, now, step) for name, value, step in lines if math.isfinite(value)]
    odd = {
        f"modelyard.not_finite.{_key(name)}": f"{value} at step {step}"
        for name, value, step in lines
        if not math.isfinite(value)
    }
    tags = [RunTag(key, value) for key, value in odd.items()]
    with backend.reaching(run.uri):
        client = backend.client(run.uri)
        for batch in _batches(metrics, 10 * _BATCH):
            client.log_batch(run.run_id, metrics=batch)
        for batch in _batches(tags, _BATCH):
            client.log_batch(run.run_id, tags=batch)


def set_tags(run: RunRef, tags: Mapping[str, Any]) -> None:
    """Sets tags of the run; values that are not text become JSON."""
    from mlflow.entities import RunTag  # noqa: PLC0415

    items = _strings(tags, _LONGEST_TAG).items()
    with backend.reaching(run.uri):
        client = backend.client(run.uri)
        for batch in _batches([RunTag(_key(name), value) for name, value in items], _BATCH):
            client.log_batch(run.run_id, tags=batch)


def log_artifact(run: RunRef, path: Path, folder: str = "") -> None:
    """Copies a file, or what a folder holds, into `folder` of the run's artifacts."""
    with backend.reaching(run.uri):
        client = backend.client(run.uri)
        if path.is_dir():
            client.log_artifacts(run.run_id, str(path), folder or None)
        else:
            client.log_artifact(run.run_id, str(path), folder or None)


def log_table(run: RunRef, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Logs rows of plain data with the same keys as a table that MLflow's pages show, `NAME.json`."""
    columns = {str(key): [row[key] for row in rows] for key in (rows[0] if rows else ())}
    with backend.reaching(run.uri):
        backend.client(run.uri).log_table(run.run_id, columns, f"{name}.json")


def recent_runs(uri: str, project: str, limit: int) -> list[dict[str, Any]]:
    """The project's latest runs, newest first, as plain data.

    Each has `run_id`, `name`, `status`, `started` (ISO 8601, UTC), `seconds` (None while it runs),
    `metrics`, `params` and `tags`.
    """
    with backend.reaching(uri):
        client = backend.client(uri)
        experiment = client.get_experiment_by_name(project)
        if experiment is None:
            return []
        order = ["attributes.start_time DESC"]
        found = client.search_runs([experiment.experiment_id], max_results=limit, order_by=order)
    return [_plain(run) for run in found]


def _plain(run: Any) -> dict[str, Any]:
    began, ended = run.info.start_time, run.info.end_time
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "started": datetime.fromtimestamp(began / 1000, UTC).isoformat(timespec="seconds"),
        "seconds": None if ended is None else (ended - began) / 1000,
        "metrics": dict(run.data.metrics),
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, value


def _strings(values: Mapping[str, Any], longest: int) -> dict[str, str]:
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in values.items()
    }
    return {key: text if len(text) <= longest else text[: longest - 1] + "…" for key, text in texts.items()}


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name, flags=re.ASCII)[:250]


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
