"""What a training run leaves behind besides its model: an MLflow run, Prefect artifacts, a report.

`Books.do` runs one step and enters its record; the flow itself holds nothing but the order of the
steps. What only a training needs (torch, the report) is imported when it begins: a run that decides
against one is over within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect import Task
from prefect.runtime import flow_run

from flows import audience, outcome, past
from flows.books import beside, decision, entries, extras, provenance, unchanged
from tasks import spans, store
from tasks.config import Config, Project
from tasks.errors import ModelyardError
from tasks.records import DecideRecord, ExtraRecord, ModelVersion, RunRef
from tasks.registry import tracking

R = TypeVar("R")

BOOKS = "bookkeeping"
"""What time goes into between the steps, besides MLflow itself."""
TAG_LIMIT = 4000
"""Characters of a tag; MLflow refuses more than 5000."""


class Books:
    """One training run's state while it goes on."""

    def __init__(self, project: Project, root: Path, run: RunRef) -> None:
        self.project = project
        self.root = root
        self.run = run
        self.began = time.monotonic()
        self.records: dict[str, Any] = {}
        self.extras: list[ExtraRecord] = []
        self.step = ""

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return self.project.config

    @property
    def folder(self) -> Path:
        """The project's folder; paths of its source are relative to it."""
        return self.project.folder

    @property
    def work(self) -> Path:
        """Where steps keep their outputs."""
        return self.project.work

    @property
    def exclude(self) -> tuple[str, ...]:
        """Columns that steer the split and are no features: parts, groups, times and keys."""
        column = self.config.split.column
        return (column,) if column else ()

    def do(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """Runs one step, tells the audience and enters the record; the project's own steps around it."""
        self.look("before", step.name)
        with spans.step(step.name, BOOKS):
            record = self._watched(step.name, partial(self.call, step, *args, **kwargs))
            self.records[step.name] = record
            self.enter(step.name, record)
        self.look("after", step.name)
        return record

    def call(self, step: Task[..., R], *args: Any, **kwargs: Any) -> R:
        """Runs a step as a task of the flow."""
        with beside.training_here(self, judged=True) if step.name == "fit" else nullcontext():
            record: R = step(*args, **kwargs)
            return record

    def look(self, when: Literal["before", "after"], stage: str) -> None:
        """Runs the project's own steps that belong here."""
        for asked in extras.asked(self.config, when, stage):
            from tasks.extra import extra  # noqa: PLC0415

            told = partial(extra, asked, self.records, self.config, self.folder, self.work)
            with spans.step(asked.name, BOOKS):
                self.extras.append(self._watched(asked.name, told))
                extras.enter(self.run, self.extras[-1])

    def _watched(self, name: str, run: Callable[[], R]) -> R:
        """Runs something while the audience looks on."""
        self.step = name
        audience.present().begin(name)
        try:
            with spans.span("Prefect"):
                record = run()
        except BaseException:
            audience.present().failed(name)
            raise
        audience.present().end(record)
        return record

    def enter(self, name: str, record: Any) -> None:
        """What a step leaves in the run, and what the run needs to be known by once it is done."""
        entries.enter(self.run, name, record)
        if name == "decide":
            tracking.set_tags(self.run, decision.answer(record))
        if name == "validate":
            tracking.set_tags(self.run, decision.marks(self.project, record.fingerprint, self.decided))
        if name == "split":
            entries.log_rows(self.run, self.config, self.records["validate"], record)
        if name == "evaluate":
            tracking.set_tags(self.run, {past.SEEN: self.champion.version if self.champion else "none"})

    @property
    def decided(self) -> DecideRecord | None:
        """What was decided before; None where nothing was to be decided."""
        return self.records.get("decide")

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The model to beat, its bundle fetched; None before the first. Asked for once."""
        cache = self.root / ".state" / "models"
        return tracking.champion(self.run.uri, self.config.register_as.name, cache)

    def deciding(self, *, force: bool) -> dict[str, Any]:
        """What `decide` is told."""
        return decision.question(self.project, self.root, self.run, force=force)

    def splitting(self) -> dict[str, Any]:
        """Keyword arguments of `split`; the champion only if its rows are to be kept out of the test rows."""
        c = self.config
        return {
            "rules": c.split,
            "target": c.target,
            "kind": c.task,
            "seed": c.seed,
            "drop": c.columns.drop,
            "text": c.columns.text,
            "raw": self.records["validate"],
            "champion": self.champion if c.split.exclude_seen else None,
        }

    def fitting(self) -> dict[str, Any]:
        """What `fit` is told besides the records; a bar that can't be judged is refused before it."""
        c = self.config
        self.rehearse()
        return {
            "kind": c.task,
            "target": c.target,
            "columns": c.columns,
            "exclude": self.exclude,
            "clean": c.clean,
            "encode": c.encode,
            "network": c.network,
            "settings": c.fit,
            "metric": c.fit.metric or c.evaluate.metric,
            "seed": c.seed,
        }

    def rehearse(self) -> None:
        """Refuses what would be refused only after the training."""
        from flows.books import rehearsal  # noqa: PLC0415

        rehearsal.check_slices(self.config, self.records["clean"])

    def judging(self) -> dict[str, Any]:
        """What `evaluate` is told besides the records; whoever is to try the model gets ready meanwhile."""
        from tasks.registry import reproduce  # noqa: PLC0415 - imports pandas

        c = self.config
        if self.records["fit"].step.status == "ran":
            reproduce.call_ahead()
        return {
            "rules": c.evaluate,
            "gate": c.gate,
            "columns": c.columns,
            "encode": c.encode,
            "target": c.target,
            "kind": c.task,
            "seed": c.seed,
            "champion": self.champion,
            "exclude": self.exclude,
            "project": self.config.name,
        }

    def registering(self) -> dict[str, Any]:
        """What `register` is told besides the records."""
        from tasks.ladder.advice import advise  # noqa: PLC0415

        return {
            "rules": self.config.register_as,
            "inputs": provenance.inputs_digest(self.config, self.records["validate"].fingerprint),
            "tags": self.tags(),
            "champion": self.champion,
            "advice": advise(self.project, self.records["evaluate"]),
        }

    def tags(self) -> dict[str, str]:
        """Where this run's model comes from, for the version's page."""
        settings = self.config.model_dump(mode="json", by_alias=True)
        return {
            "modelyard.project": self.config.name,
            "modelyard.fingerprint": self.records["validate"].fingerprint,
            "modelyard.split": self.records["split"].hash,
            "modelyard.config": store.digest(settings),
            "prefect.flow_run_id": str(flow_run.id or ""),
            **provenance.git_state(self.root),
        }

    def links(self, *, report: bool = True) -> dict[str, str]:
        """Pages of this run, by what they show."""
        pages = {"Report": provenance.run_page(self.run, self.root, "report.html")} if report else {}
        return {
            "MLflow run": provenance.run_page(self.run, self.root),
            **pages,
            "Prefect flow run": provenance.flow_page(flow_run.api_url, str(flow_run.id)),
        }

    def write_report(self, *reasons: str) -> Path:
        """The report as far as the run came, beside the project's data and in MLflow."""
        from flows.books import reporting  # noqa: PLC0415

        environment = provenance.environment(device_of(self.config))
        with spans.span("report"):
            return reporting.write(
                self.project, self.run, self.records, self.links(), environment, reasons, self.extras
            )

    def close(self) -> dict[str, Any]:
        """Writes the report and the summary of a run that came to its end; returns the summary."""
        path = self.write_report()
        steps = [record for name, record in self.records.items() if name != "decide"]
        document = outcome.document(self.config, self.decided, *steps) | {"report": str(path)}
        document = self._sum_up(document | ({"extras": extras.told(self.extras)} if self.extras else {}))
        unchanged.note(self.project, self.records, self.champion, document)
        return document

    def skip(self) -> dict[str, Any]:
        """Writes the summary of a run that decided against training; returns it."""
        assert self.decided is not None
        return self._sum_up(outcome.skipped(self.config, self.decided) | {"report": None})

    def _sum_up(self, document: dict[str, Any]) -> dict[str, Any]:
        document |= {
            "run_id": self.run.run_id,
            "flow_run_id": str(flow_run.id or ""),
            "links": self.links(report=document["report"] is not None),
            "seconds": round(time.monotonic() - self.began, 3),
        }
        entries.log_json(self.run, "summary.json", document)
        reasons = "; ".join(document["reasons"])
        told = f"**{document['outcome']}** {reasons}".strip()
        page = f"[Prefect flow run]({document['links']['Prefect flow run']})"
        tags = {past.OUTCOME: document["outcome"], "modelyard.reasons": reasons[:TAG_LIMIT]}
        tags["mlflow.note.content"] = f"{told[:TAG_LIMIT]}\n\n{page}"
        tracking.set_tags(self.run, tags)
        return document

    def fail(self, error: BaseException) -> None:
        """Leaves what is known about a failure in the run, and the report as far as it came."""
        code = error.code if isinstance(error, ModelyardError) else type(error).__name__
        tags = {"error.code": code, "error.message": str(error)[:TAG_LIMIT], "modelyard.outcome": "failed"}
        tracking.set_tags(self.run, tags)
        refused = self.work / "refused"
        files = {"validate": "*.*", "split": "leaks.json"}.get(self.step)
        if files and refused.is_dir():
            for path in sorted(refused.glob(files)):
                tracking.log_artifact(self.run, path, "refused")
        self.write_report(f"failed: {error}")


def device_of(config: Config) -> str:
    """The device that a project trains on, here and now.

    Raises:
        ConfigError: It asks for one that is not there, or its network for packages that are not.
    """
    from tasks.learning import devices, subwords  # noqa: PLC0415

    if config.network.kind == "encoder":
        subwords.require()
    return devices.resolve_device(config.fit.device)
