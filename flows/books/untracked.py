"""Books that nobody reads: the steps are called as plain functions, and nothing is entered anywhere.

What was done before can be given, and the books close after the last step that is asked for: with
`flows.train.in_order` that makes one step on a former run's inputs, or a short rehearsal of all.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect import Task

from flows.books.beside import training_here
from flows.books.keeping import Books
from flows.cluster.engaging import engaged
from tasks.config import Project
from tasks.records import ModelVersion, RunRef
from tasks.registry import tracking

R = TypeVar("R")

NOWHERE = RunRef(uri="", experiment_id="", run_id="")


class _Done(Exception):
    """The last step that was asked for is done."""


class Untracked(Books):
    """One untracked run of some steps.

    Attributes:
        known: What earlier steps returned, which are not run again.
        last: The step after which nothing is run.
        champion_uri: The store that has the model to beat; empty where none is to be beaten.
        scratch: Folder of outputs that no later run takes up.
    """

    def __init__(
        self,
        project: Project,
        root: Path,
        *,
        last: str,
        known: Mapping[str, Any] | None = None,
        champion_uri: str = "",
    ) -> None:
        super().__init__(project, root, NOWHERE)
        self.known = dict(known or {})
        self.last = last
        self.champion_uri = champion_uri
        self.scratch = project.work / "untracked"
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The model to beat, where the store is known."""
        if not self.champion_uri:
            return None
        cache = self.root / ".state" / "models"
        return tracking.champion(self.champion_uri, self.config.register_as.name, cache)

    def run_steps(self) -> dict[str, Any]:
        """Runs the steps in the order of a training, up to the last; returns the records of all."""
        from flows.train import in_order  # noqa: PLC0415

        with engaged(self.root, self.project), suppress(_Done):
            in_order(self)
        return self.records

    def do(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """What is known of the step, or what it returns now."""
        if step.name in self.known:
            record: R = self.known[step.name]
            self.records[step.name] = record
            return record
        return super().do(step, *args, **kwargs)

    def call(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """Calls the step as a function that knows no run."""
        if "run" in kwargs:
            kwargs["run"] = None
        with training_here(self) if step.name == "fit" else nullcontext():
            return step.fn(*args, **kwargs)

    def look(self, when: Literal["before", "after"], stage: str) -> None:
        """The project's own steps are no part of it."""

    def enter(self, name: str, record: Any) -> None:  # noqa: ARG002
        """Enters nothing; ends after the last step."""
        if name == self.last:
            raise _Done


class OneStep(Untracked):
    """One step on a former run's inputs; it runs anew, whatever is remembered."""

    @property
    def work(self) -> Path:
        """A folder in which nothing is remembered; it stays until the next step, to be looked into."""
        return self.scratch
