"""The flow of a sweep: the data steps once, then trial after trial; test rows are never looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import pages
from flows.books import rehearsal
from flows.books.opening import opened
from flows.roots import find_root
from flows.sweeping.books import Sweep
from tasks import config as configuration
from tasks.clean import clean
from tasks.config import own
from tasks.registry import tracking
from tasks.split import split
from tasks.validate import validate


@flow(name="sweep", flow_run_name="{project}")
def sweep(
    project: str,
    root: str | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    name: str | None = None,
    source: str | None = None,
    settings: list[str] | None = None,
    if_running: Literal["wait", "cancel", "refuse"] = "wait",
) -> State[dict[str, Any]]:
    """Looks for better settings of a project, judged on validation rows.

    Args:
        project: Folder name below `data/`.
        root: The checkout; found like the command line finds it when absent.
        trials: Settings to try beside the present ones.
        minutes: When to end, from the beginning of the run.
        name: What the sweep is called; one of the same name is gone on with.
        source: Data that replaces the project's own.
        settings: Assignments `dotted.key=value` over `project.yaml`, in every trial.
        if_running: What happens when a run of the project is active.

    Returns:
        The sweep as the JSON document that `modelyard sweep --json` prints.

    Raises:
        ModelyardError: Any failure that was foreseen and is not one trial's alone.
    """
    place = find_root(root)
    path = Path(source).resolve() if source else None
    loaded = configuration.load(place, project, source=path, settings=tuple(settings or ()))
    own.require(loaded.config)
    rehearsal.check_memory(loaded)
    where = tracking.sweeps(project)
    opening = opened(loaded, place, Sweep, {}, action="sweep", experiment=where, if_running=if_running)
    try:
        with opening as books:
            document = in_order(books, name, trials, minutes)
    except KeyboardInterrupt:
        return pages.cancelled()
    create_markdown_artifact(document.pop("page"), key=f"{project.replace('_', '-')}-sweep")
    return Completed(message=document["sentences"][0], data=document)


def in_order(books: Sweep, name: str | None, trials: int | None, minutes: float | None) -> dict[str, Any]:
    """Runs the data steps, then trials as long as any is asked for; returns the sweep's document."""
    c, do, work = books.config, books.do, books.work
    raw = do(validate, c.source, c.validation, c.target, c.task, c.columns, books.folder, work)
    rows = do(clean, raw, c.clean, c.target, c.validation.quarantine, work, c.columns.text)
    do(split, rows, **books.splitting(), work=work)
    books.open(name, trials, minutes)
    while books.goes_on():
        books.try_one()
    return books.close()
