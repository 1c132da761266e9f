"""How a run's books are opened and closed: what it occupies, its MLflow run, and whatever ends it."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows import audience, occupation, past
from flows.books import provenance, rehearsal
from flows.books.keeping import BOOKS, Books, device_of
from flows.cluster.engaging import engaged
from flows.occupation import Policy
from flows.reuse import collecting, resuming
from flows.roots import find_root
from tasks import config as configuration
from tasks import store
from tasks.config import Project, own
from tasks.ladder import ahead
from tasks.lease import Lease
from tasks.records import RunRef
from tasks.registry import reproduce, tracking, unfinished
from tasks.spans import span

B = TypeVar("B", bound=Books)

STOPPED = {
    "CANCELLED": "cancelled; nothing was registered, the last whole checkpoint is kept",
    "STOPPED": "its process was told to end; nothing was registered, the last whole checkpoint is kept",
}
"""What a run says that did not fail and was not let finish."""


@contextmanager
def training(
    project: str,
    root: str | None,
    source: str | None,
    settings: list[str] | None,
    *,
    retraining: bool = False,
    if_running: Policy = "wait",
    resumes: str | None = None,
    allow_changed: bool = False,
) -> Iterator[Books]:
    """Opens the books of one run; whatever ends the block is what they say in the end.

    Args:
        project: Folder name below `data/`.
        root: The checkout; found like the command line finds it when absent.
        source: Data that replaces the project's own.
        settings: Assignments `dotted.key=value`.
        retraining: Whether a decision comes first; only after it is the device looked for.
        if_running: What happens if another run of the project goes on.
        resumes: Id of a run of the project that this one goes on with, by that one's settings.
        allow_changed: Go on although code, settings or data have changed since.

    Raises:
        ConfigError: The configuration is wrong, its device is not there, or it asks for what a table in
            pieces can't give; no run was begun.
        RegistryConflict: Another run of the project goes on, and the policy is to refuse.
        Unavailable: The MLflow store can't be reached.
    """
    place = find_root(root)
    path = Path(source).resolve() if source else None
    action = "retrain" if retraining else "train"
    asked = {"action": action, "source": source, "settings": settings or []}
    if resumes is not None:
        loaded = resuming.project(place, resumes, allow_changed=allow_changed)
        asked = resuming.asked(place, resumes)
    else:
        loaded = configuration.load(
            place, project, source=path, settings=tuple(settings or ()), retraining=retraining
        )
    own.require(loaded.config)
    rehearsal.check_memory(loaded)
    if not retraining:
        device_of(loaded.config)
    tags = {past.ASKED: json.dumps(asked), **({past.RESUMES: resumes} if resumes else {})}
    how: dict[str, Any] = {"action": action, "experiment": project, "if_running": if_running}
    with reproduce.waiting_room(), ahead.room(), opened(loaded, place, Books, tags, **how) as books:
        yield books


@contextmanager
def opened(
    loaded: Project,
    root: Path,
    kind: Callable[[Project, Path, RunRef], B],
    tags: dict[str, str],
    *,
    action: str,
    experiment: str,
    if_running: Policy,
) -> Iterator[B]:
    """Opens the books of one run of a project that is loaded.

    Args:
        loaded: The project.
        root: The checkout.
        kind: What the books are made by.
        tags: What the run says of itself, besides where it comes from.
        action: What the run does, in a word.
        experiment: Where in MLflow it is entered.
        if_running: What happens if another run of the project goes on.

    Raises:
        ConfigError: The root's settings are wrong; no run was begun.
        RegistryConflict: Another run of the project goes on, and the policy is to refuse.
        Unavailable: The MLflow store can't be reached, or the cluster; then no run was begun.
    """
    project, who = loaded.config.name, {"action": action, "flow_run_id": str(flow_run.id)}
    with (
        span(BOOKS),
        engaged(root, loaded),
        occupation.run(root, project=project, **who) as held,
        occupation.project(root, project, if_running, audience.present().waits, **who),
    ):
        collecting.make_room(root, loaded.work)
        books = kind(loaded, root, _begin(loaded, root, held, experiment, tags))
        with _ending(books, held):
            yield books


@contextmanager
def _ending(books: Books, held: Lease) -> Iterator[None]:
    """Whatever ends the block is what the books say in the end."""
    audience.present().started(books.run, str(flow_run.id or ""))
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        yield
        status = "FINISHED"
    except Exception as error:
        with _reporting():
            books.fail(error)
        raise
    except BaseException as error:  # Ctrl-C, or the signal of a service that ends
        status = "KILLED"
        code = "CANCELLED" if isinstance(error, KeyboardInterrupt) else "STOPPED"
        with _reporting():
            tracking.set_tags(books.run, {"error.code": code, "error.message": STOPPED[code]})
        raise
    finally:
        tracking.finish_run(books.run, status)
        held.note(mlflow_ended=True)


def _begin(project: Project, root: Path, held: Lease, experiment: str, asked: dict[str, str]) -> RunRef:
    page = provenance.flow_page(flow_run.api_url, str(flow_run.id))
    tags = {
        "mlflow.note.content": f"[Prefect flow run]({page})",
        "mlflow.runName": f"{project.config.name} {str(flow_run.id)[:8]}",
        "prefect.flow_run_id": str(flow_run.id or ""),
        "prefect.flow_run": page,
        unfinished.LEASE: held.path.name,
        unfinished.HOST: str(held.facts["host"]),
        past.CODE: provenance.code_digest(project.config),
        **asked,
        **provenance.git_state(root),
    }
    run = tracking.start_run(tracking.connect(root), experiment, root, tags=tags)
    held.note(mlflow_run_id=run.run_id)
    if before := asked.get(past.RESUMES):
        tracking.set_tags(dataclasses.replace(run, run_id=before), {past.RESUMED_BY: run.run_id})
    tracking.log_params(run, project.config.model_dump(mode="json", by_alias=True))
    with tempfile.TemporaryDirectory() as place:
        text = configuration.as_yaml(project.config)
        tracking.log_artifact(run, store.write_text(Path(place) / "config.yaml", text))
    return run


@contextmanager
def _reporting() -> Iterator[None]:
    """What fails while a failure is written down must not hide that failure."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("could not write about the failure: %s", error)
