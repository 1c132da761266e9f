"""The retraining flow: decide first, then train; what a schedule runs."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows import pages
from flows.books.keeping import Books
from flows.books.opening import training
from tasks.decide import decide


@flow(name="retrain", flow_run_name="{project}")
def retrain(
    project: str,
    root: str | None = None,
    source: str | None = None,
    settings: list[str] | None = None,
    force: bool = False,
    if_running: Literal["wait", "cancel", "refuse"] = "wait",
) -> State[dict[str, Any]]:
    """Trains a project again if there is a reason to, and says why not otherwise.

    Args:
        project: Folder name below `data/`.
        root: The checkout; found like the command line finds it when absent.
        source: Data that replaces the project's own, and `retrain.source`.
        settings: Assignments `dotted.key=value` over `project.yaml`.
        force: Whether to train without a reason.
        if_running: What happens when a run of the project is active.

    Returns:
        The run as the JSON document that `modelyard retrain --json` prints.

    Raises:
        ModelyardError: Any failure that was foreseen; the MLflow run says FAILED and why.
    """
    opening = training(project, root, source, settings, retraining=True, if_running=if_running)
    try:
        with opening as books:
            decided = books.do(decide, **books.deciding(force=force))
            document = _train(books) if decided.train else books.skip()
    except KeyboardInterrupt:
        return pages.cancelled()
    return pages.publish(document)


def _train(books: Books) -> dict[str, Any]:
    from flows.train import in_order  # noqa: PLC0415 - three seconds of imports that a skipped run saves

    return in_order(books)
