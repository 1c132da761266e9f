"""What a run shows in Prefect's pages: the decision, the ladder, the links, and the outcome as a tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed

from flows import outcome
from flows.books.opening import STOPPED


def publish(document: dict[str, Any]) -> State[dict[str, Any]]:
    """Publishes a finished run from inside its flow; returns the state that the flow ends in.

    A rejected candidate is a finished run: the state is Completed and its message says so.
    """
    project, links = document["project"], document["links"]
    for name, text, description in _texts(document):
        create_markdown_artifact(text, key=f"{_slug(project)}-{name}", description=description)
    for title in ("Report", "MLflow run"):
        if title in links:
            create_link_artifact(
                links[title], link_text=title, key=f"{_slug(project)}-{_slug(title)}", description=title
            )
    with get_client(sync_client=True) as client:
        client.update_flow_run(document["flow_run_id"], tags=[project, document["outcome"]])
    reasons = "; ".join(document["reasons"])
    message = f"{document['outcome']}: {reasons}" if reasons else document["outcome"]
    return Completed(message=message, data=document)


def cancelled() -> State[dict[str, Any]]:
    """The state of a flow that somebody stopped, by Ctrl-C or in the pages; for Prefect it crashed."""
    return Cancelled(message=STOPPED["CANCELLED"])


def _texts(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, text and description of each page."""
    if "decision" in document:
        yield "decision", outcome.decision(document), "Whether to train, and why"
    if document["scores"]:
        yield "ladder", outcome.markdown(document, document["links"]), "Ladder and verdicts"


def _slug(text: str) -> str:
    """`text` as an artifact key: lower-case letters, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
