"""What a sweep leaves behind: its MLflow run with the ranked table, a child for each trial, and a diff."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import outcome
from flows.books import entries, provenance
from flows.books.keeping import TAG_LIMIT, Books, device_of
from flows.sweeping import trials, winner
from flows.sweeping.trials import TrialRecord
from tasks import config as configuration
from tasks import store
from tasks.errors import ConfigError, RegistryConflict, quoted
from tasks.records import RunRef
from tasks.registry import tracking
from tasks.tuning import ranking
from tasks.tuning.space import space_of
from tasks.tuning.study import Study, Trial

REPEATS = 20
"""Proposals in a row that were all tried before, after which the space counts as exhausted."""
SHOWN = 20
"""Rows of the table in a run's description; its artifacts have all."""


@task(name="trial", task_run_name="trial {number}", cache_policy=NO_CACHE)
def trial(number: int, make: Callable[[], TrialRecord]) -> TrialRecord:  # noqa: ARG001 - names the task run
    """One trial, as Prefect shows it."""
    return make()


class Sweep(Books):
    """One sweep's state while it goes on."""

    study: Study

    def open(self, name: str | None, trials_asked: int | None, minutes: float | None) -> None:
        """Opens the study, new or to be gone on with, once the rows are split.

        Args:
            name: What it is called; by default after what its trials are made of.
            trials_asked: Settings to try beside the present ones, those of former processes included.
            minutes: When no further epoch begins, from the beginning of the run.

        Raises:
            ConfigError: A study of this name is about something else, or the name is none.
        """
        if name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name, re.ASCII):
            raise ConfigError(f"--name {quoted(name)}: expected letters, digits, dots and dashes")
        identity = self._identity()
        self.limit, self.minutes = trials_asked, minutes
        self.repeats = 0
        self.name = name or store.digest(identity)[:8]
        self.place = self.work / "sweep" / self.name
        self.space = space_of(self.config)
        self.study = Study(
            self.place / "study.jsonl",
            self.config,
            self.space,
            higher_is_better=self.higher_is_better,
            identity=identity,
        )
        self._adopt()

    @property
    def metric(self) -> str:
        """What trials are judged by."""
        return self.config.fit.metric or self.config.evaluate.metric

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return configuration.higher_is_better(self.config.task, self.metric)

    @property
    def judged_on(self) -> str:
        """The rows that judge a trial, in words: those of all, or those that each member holds out."""
        rows = f"{self.records['split'].validation:,} validation rows"
        return f"{rows} of each member's own" if self.config.fit.bagging else rows

    @property
    def scratch(self) -> Path:
        """Outputs of the trial at work: checkpoints that it goes on from when its process dies."""
        return self.place / "trial"

    @cached_property
    def text(self) -> str:
        """The present settings, each default resolved: what every trial's are laid over."""
        return configuration.as_yaml(self.config)

    @cached_property
    def told(self) -> dict[str, Any]:
        """What `fit` is told in every trial, but for what is searched."""
        return self.fitting()

    def goes_on(self) -> bool:
        """Whether another trial is to be made."""
        tried = len(self.study.trials())
        enough = self.limit is not None and tried > self.limit
        return not enough and self.repeats < REPEATS and not self.time_is_up()

    def time_is_up(self) -> bool:
        """Whether the minutes are over."""
        return self.minutes is not None and time.monotonic() - self.began > 60 * self.minutes

    def try_one(self) -> None:
        """Makes the next trial, as a task of the flow."""
        proposal = self.study.ask()
        former = next((t for t in self.study.trials() if t.settings == proposal.settings), None)
        self.repeats = self.repeats + 1 if former else 0
        make = partial(trials.repeated, self, former) if former else partial(trials.attempt, self, proposal)
        self._watched(f"trial {proposal.number}", partial(trial, proposal.number, make))

    def enter(self, name: str, record: Any) -> None:
        """What a step of the data leaves in the run."""
        entries.enter(self.run, name, record)
        if name == "split":
            source = getattr(self.config.source, "path", self.config.source.kind)
            tracking.log_data(self.run, self.config.name, source, self.records["validate"], record)

    def write_report(self, *reasons: str) -> Path:  # noqa: ARG002
        """A sweep has a table and no report; how it failed stands in its tags."""
        return self.work

    def close(self) -> dict[str, Any]:
        """Ranks the trials, enters the table and the winner, and returns the sweep's document."""
        found = ranking.ranked(self.study.trials(), higher_is_better=self.higher_is_better)
        rows = ranking.table(found, self.metric)
        best = found[0] if found and found[0].state == "complete" else None
        present = next((trial for trial in found if trial.number == 0), None)
        document: dict[str, Any] = {
            "project": self.config.name,
            "preset": self.config.preset,
            "sweep": self.name,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "rows": {"train": self.records["split"].train, "validation": self.records["split"].validation},
            "judged_on": self.judged_on,
            "space": {key: values.model_dump(exclude_defaults=True) for key, values in self.space.items()},
            "pruner": self.config.sweep.pruner,
            "counts": ranking.counts(found),
            "trials": rows,
            "best": None if best is None else best.number,
            "gain": self._gain(best, present),
            "sentences": self._sentences(found),
            **self._edit(best),
            "accepted": False,
            "experiment_id": self.run.experiment_id,
            "run_id": self.run.run_id,
            "best_run_id": None if best is None else best.run_id,
            "flow_run_id": str(flow_run.id or ""),
            "links": self._links(best),
            "seconds": round(time.monotonic() - self.began, 3),
        }
        document = outcome.finite(document)
        page = self.page(document, found)
        self._enter_table(document, page)
        return document | {"page": page}

    def _gain(self, best: Trial | None, present: Trial | None) -> float | None:
        if best is None or present is None:
            return None
        return ranking.gain(best, present, higher_is_better=self.higher_is_better)

    def _sentences(self, found: Sequence[Trial]) -> list[str]:
        rows, direction = self.judged_on, self.higher_is_better
        return ranking.sentences(found, self.config.name, self.metric, rows, higher_is_better=direction)

    def _edit(self, best: Trial | None) -> dict[str, Any]:
        """The winner as an edit of project.yaml, and where its diff is kept."""
        path = self.folder / "project.yaml"
        changes = {} if best is None else self.study.changes(best.settings)
        edit = winner.edit(path, changes, path.relative_to(self.root).as_posix(), self.config.preset)
        return {**edit, "diff_path": str(store.write_text(self.place / "winner.diff", edit["diff"]))}

    def _links(self, first: Trial | None) -> dict[str, str]:
        best = {} if first is None else {"Best trial": self._page(first.run_id)}
        flow = provenance.flow_page(flow_run.api_url, str(flow_run.id))
        return {"MLflow run": provenance.run_page(self.run, self.root), **best, "Prefect flow run": flow}

    def _page(self, run_id: str) -> str:
        return provenance.run_page(self._child(run_id), self.root)

    def _child(self, run_id: str) -> RunRef:
        return RunRef(uri=self.run.uri, experiment_id=self.run.experiment_id, run_id=run_id)

    def _enter_table(self, document: dict[str, Any], page: str) -> None:
        """The table as an artifact, as MLflow's kind of table and in the description; the winner's values."""
        rows = document["trials"]
        counted = {f"trials.{state}": float(count) for state, count in document["counts"].items()}
        tracking.log_metrics(self.run, counted)
        if document["best"] is not None:
            tracking.log_metrics(self.run, {f"best.{self.metric}": rows[0][self.metric]})
        if rows:
            tracking.log_table(self.run, "trials", rows)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            text = yaml.safe_dump({"space": document["space"], "pruner": document["pruner"]}, sort_keys=False)
            tracking.log_artifact(self.run, store.write_text(place / "space.yaml", text))
            tracking.log_artifact(self.run, store.write_text(place / "winner.diff", document["diff"]))
        entries.log_json(self.run, "sweep.json", document)
        tags = {"modelyard.sweep": self.name, "modelyard.best_run": document["best_run_id"] or ""}
        tracking.set_tags(self.run, {**tags, "mlflow.note.content": _fitting(page)})

    def page(self, document: dict[str, Any], found: Sequence[Trial]) -> str:
        """The sweep as Markdown: what came of it, the best rows of the table, the diff."""
        pages = {trial.run_id: self._page(trial.run_id) for trial in found[:SHOWN]}
        counted = ", ".join(f"{count} {state}" for state, count in document["counts"].items())
        table = ranking.markdown(document["trials"][:SHOWN], pages)
        best = document["links"].get("Best trial")
        head = f"[Best trial: {document['best']}]({best}). " if best else ""
        diff = f"```diff\n{document['diff']}```" if document["diff"] else ""
        return "\n\n".join([*document["sentences"], f"{head}{counted}.", diff, table])

    def _identity(self) -> dict[str, Any]:
        """What makes the trials of a study comparable."""
        settings = self.config.model_dump(mode="json", by_alias=True)
        used = ("task", "target", "seed", "columns", "clean", "encode", "network", "fit", "sweep")
        return {
            "data": self.records["validate"].fingerprint,
            "rows": self.records["clean"].digest,
            "split": self.records["split"].hash,
            "metric": self.metric,
            **{key: store.digest(settings[key]) for key in used},
            "code": provenance.code_digest(self.config),
            "device": device_of(self.config),
        }

    def _adopt(self) -> None:
        """Trials of former processes become children of this run: one page has them all."""
        for trial in self.study.trials():
            with suppress(RegistryConflict):  # somebody deleted it
                tracking.set_tags(self._child(trial.run_id), {"mlflow.parentRunId": self.run.run_id})


def _fitting(page: str) -> str:
    """As many whole lines of a page as a tag may hold."""
    return page if len(page) <= TAG_LIMIT else page[:TAG_LIMIT].rpartition("\n")[0]
