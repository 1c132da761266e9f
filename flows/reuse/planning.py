"""What a training would do: of each step whether its output is there, and what differs. Nothing is run.

The steps are called as plain functions, in the order of a training, in a store that answers from disk or
not at all. For a step that would run, its latest output stands in, so that the steps after it can be judged
by all that does not come from it: what differs makes them run for sure, and where nothing does, it depends
on whether the step gives again what it gave before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect import Task

from flows import past
from flows.books import unchanged
from flows.books.keeping import Books
from flows.books.untracked import NOWHERE
from tasks import store
from tasks.config import Project
from tasks.records import ModelVersion, ValidateRecord
from tasks.registry import tracking

R = TypeVar("R")

Answer = Literal["hit", "miss", "depends"]

NAMED = 5
"""Parts of a key that a line names."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What would become of one step.

    Attributes:
        step: Its name.
        answer: hit, miss, or depends: a hit if the steps that it depends on give what they gave before.
        why: The reason in words.
        depends_on: Steps that would run before it, and whose output decides.
        changes: The parts of its key that differ from its latest output.
    """

    step: str
    answer: Answer
    why: str
    depends_on: tuple[str, ...] = ()
    changes: tuple[store.Change, ...] = ()


class _Done(Exception):
    """No later step can be judged."""


class Plan(Books):
    """Goes through a training without doing it.

    Attributes:
        lines: What is known of the steps so far.
    """

    def __init__(self, project: Project, root: Path) -> None:
        super().__init__(project, root, NOWHERE)
        self.lines: list[Line] = []
        self._aside = tempfile.TemporaryDirectory(prefix="modelyard-")

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The model to beat; fetched to where the plan's end takes it away, unless it is here already."""
        if not tracking.is_there(self.root):
            return None
        uri, cache = tracking.connect(self.root), self.root / ".state" / "models"
        known = tracking.reigning(uri, self.config.register_as.name)
        if known is None:
            return None
        here = any(cache.glob(f"{known.name}-{known.version}-*"))
        return tracking.version(uri, known.name, known.version, cache if here else Path(self._aside.name))

    def rehearse(self) -> None:
        """What would be refused is for `check` to say."""

    def do(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """The step's output where it is there, or the latest one."""
        record: Any
        awaited = tuple(line.step for line in self.lines if line.answer == "miss")
        if "run" in kwargs:
            kwargs["run"] = None
        try:
            record = step.fn(*args, **kwargs)
            self.lines.append(_hit(record.step.name, awaited))
        except store.Missed as missed:
            self.lines.append(Line(step=missed.name, answer="miss", why=_why(missed), changes=missed.changes))
            record = _stand_in(missed)
        self.records[step.name] = record
        if record is None or len(self.lines) == len(past.STEPS):
            raise _Done
        made: R = record
        return made


def plan(project: Project, root: Path, force: Iterable[str] = ()) -> list[Line]:
    """What a training would do, step by step; reads the data once, for its fingerprint.

    Args:
        project: The project.
        root: The checkout.
        force: Steps that would be run in any case.

    Raises:
        ModelyardError: The data, the suite or a part of the project's own can't be read, or the device
            is not there.
    """
    from flows.train import in_order  # noqa: PLC0415

    made = Plan(project, root)
    with store.planning(), store.forcing(force), suppress(_Done):
        in_order(made)
    made._aside.cleanup()
    if not force:
        _answered_from_the_record(made.lines, project, root)
    known = {line.step for line in made.lines}
    awaited = tuple(line.step for line in made.lines if line.answer == "miss")
    rest = [
        Line(step=step, answer="depends", why=f"depends on {' and '.join(awaited)}", depends_on=awaited)
        for step in past.STEPS
        if step not in known
    ]
    return [*made.lines, *rest]


def _answered_from_the_record(lines: list[Line], project: Project, root: Path) -> None:
    """The only step that would run is no longer one where `train` answers from the last run's record.

    That is so after a registration: the champion is new to the key, but it is the candidate itself.
    """
    missed = [line for line in lines if line.answer != "hit"]
    parts = {change.part for line in missed for change in line.changes}
    if [line.step for line in missed] != ["evaluate"] or parts != {"champion"}:
        return
    if unchanged.find(project, root) is not None:
        lines[-1] = Line(step="evaluate", answer="hit", why="the champion is this candidate itself")


def _hit(step: str, awaited: tuple[str, ...]) -> Line:
    if not awaited:
        return Line(step=step, answer="hit", why="same data, settings and code; its files are whole")
    before = "it gives what it gave" if len(awaited) == 1 else "these give what they gave"
    why = f"depends on {' and '.join(awaited)}: a hit if {before} before"
    return Line(step=step, answer="depends", why=why, depends_on=awaited)


def _why(missed: store.Missed) -> str:
    """The reason, with values where they are short."""
    if not missed.changes:
        return missed.why
    shown, more = missed.changes[:NAMED], len(missed.changes) - NAMED
    return ", ".join(map(str, shown)) + (f", and {more} more" if more > 0 else "")


def _stand_in(missed: store.Missed) -> Any:
    """The latest output of a step, as far as it is whole; of the data it says what it is now."""
    kind = past.STEPS[missed.name]
    record = None if missed.latest is None else store.recall(missed.latest, kind)
    if isinstance(record, ValidateRecord):
        return replace(record, fingerprint=str(missed.made_of["data"]))
    return record
