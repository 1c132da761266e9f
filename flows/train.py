"""The training flow: the order of the steps and nothing else."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows import pages
from flows.books.keeping import Books
from flows.books.opening import training
from tasks import store
from tasks.clean import clean
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.register import register
from tasks.split import split
from tasks.validate import validate


@flow(name="train", flow_run_name="{project}")
def train(
    project: str,
    root: str | None = None,
    source: str | None = None,
    settings: list[str] | None = None,
    if_running: Literal["wait", "cancel", "refuse"] = "wait",
    force: list[str] | None = None,
    resumes: str | None = None,
    allow_changed: bool = False,
) -> State[dict[str, Any]]:
    """Turns a project's data into a registered model, or says why not.

    Args:
        project: Folder name below `data/`.
        root: The checkout; found like the command line finds it when absent.
        source: Data that replaces the project's own.
        settings: Assignments `dotted.key=value` over `project.yaml`.
        if_running: What happens when a run of the project is active.
        force: Steps that run again, whatever was done before.
        resumes: Id of a run that failed or was stopped and that this one goes on with, by its settings.
        allow_changed: Go on with it although code, settings or data have changed since.

    Returns:
        The run as the JSON document that `modelyard train --json` prints.

    Raises:
        ModelyardError: Any failure that was foreseen; the MLflow run says FAILED and why.
    """
    try:
        with (
            training(
                project, root, source, settings,
                if_running=if_running, resumes=resumes, allow_changed=allow_changed,
            ) as books,
            store.forcing(force or ()),
        ):  # fmt: skip
            document = in_order(books)
    except KeyboardInterrupt:
        return pages.cancelled()
    return pages.publish(document)


def in_order(books: Books) -> dict[str, Any]:
    """Runs the six steps, each on what the ones before it returned; returns the run's document."""
    c, do, work = books.config, books.do, books.work
    raw = do(validate, c.source, c.validation, c.target, c.task, c.columns, books.folder, work)
    rows = do(clean, raw, c.clean, c.target, c.validation.quarantine, work, c.columns.text)
    parts = do(split, rows, **books.splitting(), work=work)
    fitted = do(fit, raw, rows, parts, **books.fitting(), work=work, run=books.run)
    judged = do(evaluate, raw, rows, parts, fitted, **books.judging(), work=work)
    do(register, books.run, raw, rows, parts, fitted, judged, **books.registering(), root=books.root)
    return books.close()
