"""One trial of a sweep: a fit that is judged on validation rows, as a child of the sweep's MLflow run."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna import TrialPruned

from flows import occupation
from flows.books.beside import training_here
from flows.books.keeping import TAG_LIMIT
from tasks import config as configuration
from tasks.errors import ModelyardError, RegistryConflict, Unavailable
from tasks.fit import fit
from tasks.learning import training
from tasks.records import Epoch, FitRecord, RunRef, Step
from tasks.registry import tracking, unfinished
from tasks.tuning.study import Proposal, State, Trial
from tasks.wording import number

if TYPE_CHECKING:
    from flows.sweeping.books import Sweep

FAILURES = (ModelyardError, RuntimeError, MemoryError)
"""What one trial may die of while the next is tried: settings that do not go together, a loss that grew
without bounds, memory that ran out, a network of the project's own that can't take its options."""
GONE = (Unavailable, RegistryConflict)
"""What would meet every trial."""

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class TimeIsUp(Exception):
    """The sweep's minutes are over; the trial goes on when the sweep does."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """How a trial went, for whoever watches."""

    step: Step
    facts: dict[str, Any]
    warnings: tuple[str, ...] = ()
    trial: Trial | None = None
    """None where it was stopped on its way."""


@dataclass
class _Heard:
    """What became known of a fit while it went on."""

    books: Sweep
    epochs: list[Epoch] = field(default_factory=list)

    def __call__(self, epoch: Epoch, total: int) -> None:
        self.epochs.append(epoch)
        if self.books.study.prunes(epoch, total):
            raise TrialPruned(f"after epoch {epoch.epoch} of {total}")
        if epoch.epoch < total and self.books.time_is_up():
            raise TimeIsUp


def attempt(books: Sweep, proposal: Proposal) -> TrialRecord:
    """Makes the trial that was proposed, and tells the study how it ended.

    Raises:
        Unavailable: The store can't be reached; the trial is made again when the sweep goes on.
    """
    began, child = time.monotonic(), _begin(books, proposal)
    heard, value, reason = _Heard(books), None, ""
    state: State = "complete"
    try:
        fitted = _fitted(books, proposal, heard)
        heard.epochs[:] = fitted.history
        value = fitted.history[fitted.best_epoch - 1].validation_metric
        if not math.isfinite(value):
            state, reason = "failed", f"{books.metric} is undefined on the validation rows"
    except TrialPruned as pruned:
        state, reason = "pruned", str(pruned)
    except TimeIsUp:
        tracking.finish_run(child, "KILLED")
        seconds = time.monotonic() - began
        facts = {"stopped": f"after epoch {heard.epochs[-1].epoch}, since the time is up"}
        return TrialRecord(step=Step(name=f"trial {proposal.number}", seconds=seconds), facts=facts)
    except BaseException as error:
        if not isinstance(error, FAILURES) or isinstance(error, GONE):
            with suppress(*GONE):
                tracking.finish_run(child, "KILLED")
            raise
        state, reason = "failed", told(error)
    trial = books.study.tell(
        state,
        value=value,
        epochs=heard.epochs[-1].epoch if heard.epochs else 0,
        reason=reason,
        seconds=time.monotonic() - began,
        run_id=child.run_id,
    )
    shutil.rmtree(books.scratch, ignore_errors=True)
    _end(child, trial, books.metric, heard.epochs)
    return _record(trial, books.metric)


def repeated(books: Sweep, former: Trial) -> TrialRecord:
    """A trial whose settings were tried before: it would end in the same bits."""
    trial = books.study.tell(
        former.state,
        value=former.value,
        epochs=former.epochs,
        reason=f"the same settings as trial {former.number}",
        seconds=0.0,
        run_id=former.run_id,
    )
    return _record(trial, books.metric)


def told(error: BaseException) -> str:
    """An error in one line."""
    text = error.message if isinstance(error, ModelyardError) else str(error)
    name = error.code if isinstance(error, ModelyardError) else type(error).__name__
    return " ".join(f"{name}: {text}".split())[:500]


def _fitted(books: Sweep, proposal: Proposal, heard: _Heard) -> FitRecord:
    """Fits on train rows with the proposed settings; never refits, for validation rows are what judges."""
    settings = tuple(f"{key}={json.dumps(value)}" for key, value in proposal.changes.items())
    config = configuration.restored(books.root, books.text, f"trial {proposal.number}", settings).config
    changed = {
        "network": config.network,
        "encode": config.encode,
        "settings": config.fit.model_copy(update={"refit": False}),
    }
    records = (books.records[name] for name in ("validate", "clean", "split"))
    with training_here(books), training.watching(heard):
        record: FitRecord = fit.fn(*records, **books.told | changed, work=books.scratch)
    return record


def _begin(books: Sweep, proposal: Proposal) -> RunRef:
    with occupation.run(books.root) as held:
        tags = {
            "mlflow.parentRunId": books.run.run_id,
            "mlflow.runName": f"trial {proposal.number:02d}" + ("" if proposal.number else " (present)"),
            unfinished.LEASE: held.path.name,
            unfinished.HOST: str(held.facts["host"]),
            "modelyard.trial": str(proposal.number),
        }
    child = tracking.start_run(books.run.uri, tracking.sweeps(books.config.name), books.root, tags=tags)
    tracking.log_params(child, proposal.settings)
    return child


def _end(child: RunRef, trial: Trial, metric: str, epochs: Sequence[Epoch]) -> None:
    """What the child's page shows; its curve comes in one call, since one an epoch would slow the fit."""
    tracking.log_epochs(child, epochs)
    tracking.log_metrics(child, {"seconds": trial.seconds, "epochs": trial.epochs})
    if trial.value is not None:
        tracking.log_metrics(child, {metric: trial.value})
    note = f"**{trial.state}** {trial.reason}".strip()[:TAG_LIMIT]
    tracking.set_tags(child, {"modelyard.state": trial.state, "mlflow.note.content": note})
    tracking.finish_run(child, _STATUS[trial.state])  # type: ignore[arg-type]


def _record(trial: Trial, metric: str) -> TrialRecord:
    facts: dict[str, Any] = (
        {trial.state: trial.reason} if trial.value is None else {metric: number(trial.value)}
    )
    return TrialRecord(
        step=Step(name=f"trial {trial.number}", seconds=trial.seconds), facts=facts, trial=trial
    )
