"""MLflow runs whose process died: found by the lease that they were begun under, and ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.records import RunRef
from tasks.registry import backend, tracking

LEASE = "modelyard.lease"
"""Tag of a run: name of the lease that its process held."""
HOST = "modelyard.host"
"""Tag of a run: the machine on which that lease lies."""


def running(uri: str, project: str) -> Iterator[tuple[RunRef, dict[str, str]]]:
    """Runs of a project that MLflow shows as running, and that modelyard began, with their tags."""
    with backend.reaching(uri):
        client = backend.client(uri)
        named = map(client.get_experiment_by_name, (project, tracking.sweeps(project)))
        experiments = [experiment.experiment_id for experiment in named if experiment is not None]
        if not experiments:
            return
        wanted = f"attributes.status = 'RUNNING' AND tags.`{LEASE}` LIKE '%'"
        found = client.search_runs(experiments, wanted, max_results=1000)
    for run in found:
        reference = RunRef(uri=uri, experiment_id=run.info.experiment_id, run_id=run.info.run_id)
        yield reference, dict(run.data.tags)


def end(uri: str, run_id: str, reason: str) -> bool:
    """Ends a run as KILLED, unless it has ended; False if it had, or is gone."""
    with backend.reaching(uri):
        run = _get(backend.client(uri), run_id)
    if run is None or run.info.status != "RUNNING":
        return False
    reference = RunRef(uri=uri, experiment_id=run.info.experiment_id, run_id=run_id)
    tracking.set_tags(
        reference, {"error.code": "CRASHED", "error.message": reason, "modelyard.outcome": "crashed"}
    )
    tracking.finish_run(reference, "KILLED")
    return True


def _get(client: Any, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
