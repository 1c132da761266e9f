"""The scoring flow, for schedules: `modelyard predict` as a run that Prefect keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed

from flows.roots import find_root
from flows.scoring import streaming
from tasks import config as configuration


@flow(name="predict", flow_run_name="{project}")
def predict(
    project: str,
    source: str,
    output: str,
    root: str | None = None,
    model_version: int | None = None,
    force: bool = False,
) -> State[dict[str, Any]]:
    """Predicts the rows of a file or folder with a project's champion.

    Args:
        project: Folder name below `data/`.
        source: What to read; a relative path starts from the project's folder.
        output: What to write, likewise; `{date}` and `{time}` become those of now in UTC, so that
            each run of a schedule writes a file of its own.
        root: The checkout; found like the command line finds it when absent.
        model_version: Version of the model, instead of the champion.
        force: Whether a file that is there may be replaced.

    Returns:
        The JSON document that `modelyard predict --json` prints.

    Raises:
        ModelyardError: Any failure that was foreseen; nothing is written.
    """
    place = find_root(root)
    loaded = configuration.load(place, project)
    try:
        done = streaming.predict(
            loaded.config,
            place,
            loaded.folder / source,
            loaded.folder / dated(output, datetime.now(UTC)),
            version=model_version,
            force=force,
        )
    except KeyboardInterrupt:
        return Cancelled(message="cancelled; nothing was written")
    document = done.document(project)
    get_run_logger().info(done.sentence)
    if done.warning:
        get_run_logger().warning(done.warning)
    key = f"{project.replace('_', '-')}-predictions"
    create_markdown_artifact(_page(document), key=key, description="Predictions")
    return Completed(message=done.sentence, data=document)


def dated(output: str, now: datetime) -> str:
    """`output` with `{date}` as 2026-07-31 and `{time}` as 030000."""
    return output.replace("{date}", f"{now:%Y-%m-%d}").replace("{time}", f"{now:%H%M%S}")


def _page(document: dict[str, Any]) -> str:
    model = document["model"]
    facts = {
        "rows": f"{document['rows']:,}",
        "rows with an error": f"{document['bad']:,}",
        "values unlike any in training": f"{sum(document['unfamiliar'].values()):,}",
        "model": f"{model['name']} version {model['version']}",
        "output": f"`{document['output']}`",
    }
    lines = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join([f"# {document['project']}: predictions", "", "| | |", "| --- | --- |", *lines])
