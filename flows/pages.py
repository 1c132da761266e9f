"""What a training run shows in Prefect's pages: the ladder, the links, and the outcome as a tag."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import outcome


def publish(document: dict[str, Any]) -> State[dict[str, Any]]:
    """Publishes a finished run from inside its flow; returns the state that the flow ends in.

    A rejected candidate is a finished run: the state is Completed and its message says so.
    """
    project, links = document["project"], document["links"]
    create_markdown_artifact(
        outcome.markdown(document, links), key=f"{_slug(project)}-ladder", description="Ladder and verdicts"
    )
    for title in ("Report", "MLflow run"):
        create_link_artifact(
            links[title], link_text=title, key=f"{_slug(project)}-{_slug(title)}", description=title
        )
    with get_client(sync_client=True) as client:
        client.update_flow_run(document["flow_run_id"], tags=[project, document["outcome"]])
    reasons = "; ".join(document["reasons"])
    message = f"{document['outcome']}: {reasons}" if reasons else document["outcome"]
    return Completed(message=message, data=document)


def _slug(text: str) -> str:
    """`text` as an artifact key: lower-case letters, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
