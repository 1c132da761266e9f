"""What a training run leaves behind besides its model: an MLflow run, Prefect artifacts, a report.

`training` opens the books and closes them whatever happens; `Books.do` runs one step and enters its
record. The flow itself holds nothing but the order of the steps.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from prefect import Task
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows import audience, outcome, provenance, rehearsal
from flows.roots import find_root
from tasks import config as configuration
from tasks import store
from tasks.config import Config, Project
from tasks.errors import ModelyardError
from tasks.learning import devices
from tasks.learning import training as loop
from tasks.records import ModelVersion, RunRef, SplitRecord, to_json
from tasks.registry import tracking
from tasks.reports import report

R = TypeVar("R")

REPORTS_KEPT = 20
TAG_LIMIT = 4000
"""Characters of a tag; MLflow refuses more than 5000."""


class Books:
    """One training run's state while it goes on."""

    def __init__(self, project: Project, root: Path, run: RunRef, device: str) -> None:
        self.project = project
        self.root = root
        self.run = run
        self.device = device
        self.began = time.monotonic()
        self.records: dict[str, Any] = {}

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
        """Runs one step, tells the audience and enters the record."""
        name = step.name
        audience.present().begin(name)
        try:
            record: R = step(*args, **kwargs)
        except BaseException:
            audience.present().failed(name)
            raise
        self.records[name] = record
        audience.present().end(record)
        _enter(self.run, name, record)
        self._log_json("record.json", record, name)
        if isinstance(record, SplitRecord):
            source = getattr(self.config.source, "path", self.config.source.kind)
            tracking.log_data(self.run, self.config.name, source, self.records["validate"], record)
        return record

    @cached_property
    def champion(self) -> ModelVersion | None:
        """The model to beat, its bundle fetched; None before the first. Asked for once."""
        cache = self.root / ".state" / "models"
        return tracking.champion(self.run.uri, self.config.register_as.name, cache)

    def fitting(self) -> dict[str, Any]:
        """What `fit` is told besides the records; a bar that can't be judged is refused before it."""
        c = self.config
        rehearsal.check_slices(c, self.records["clean"])
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

    def judging(self) -> dict[str, Any]:
        """What `evaluate` is told besides the records."""
        c = self.config
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
        }

    def registering(self) -> dict[str, Any]:
        """What `register` is told besides the records."""
        return {
            "rules": self.config.register_as,
            "inputs": provenance.inputs_digest(self.config, self.records["validate"].fingerprint),
            "tags": self.tags(),
            "champion": self.champion,
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

    def links(self) -> dict[str, str]:
        """Pages of this run, by what they show."""
        return {
            "MLflow run": provenance.run_page(self.run),
            "Report": provenance.run_page(self.run, "report.html"),
            "Prefect flow run": provenance.flow_page(flow_run.api_url, str(flow_run.id)),
        }

    def write_report(self, *reasons: str) -> Path:
        """The report as far as the run came, beside the project's data and in MLflow."""
        names = {"validated": "validate", "cleaned": "clean", "parts": "split", "fitted": "fit"}
        names |= {"evaluated": "evaluate", "registered": "register"}
        home = self.work / "reports" / f"{self.run.run_id[:12]}.html"
        path = report.write(
            home,
            config=self.config,
            links=self.links(),
            environment=provenance.environment(self.device),
            reasons=reasons,
            **{key: self.records.get(step) for key, step in names.items()},
        )
        with tempfile.TemporaryDirectory() as place:
            tracking.log_artifact(self.run, Path(shutil.copy(path, Path(place) / "report.html")))
        _forget_oldest(home.parent)
        return path

    def close(self) -> dict[str, Any]:
        """Writes the report and the summary of a run that came to its end; returns the summary."""
        path = self.write_report()
        document = outcome.document(self.config, *self.records.values()) | {
            "run_id": self.run.run_id,
            "flow_run_id": str(flow_run.id or ""),
            "report": str(path),
            "links": self.links(),
            "seconds": round(time.monotonic() - self.began, 3),
        }
        self._log_json("summary.json", document)
        tags = {"modelyard.outcome": document["outcome"]}
        tags["modelyard.reasons"] = "; ".join(document["reasons"])[:TAG_LIMIT]
        tracking.set_tags(self.run, tags)
        return document

    def fail(self, error: BaseException) -> None:
        """Leaves what is known about a failure in the run, and the report as far as it came."""
        code = error.code if isinstance(error, ModelyardError) else type(error).__name__
        tags = {"error.code": code, "error.message": str(error)[:TAG_LIMIT], "modelyard.outcome": "failed"}
        tracking.set_tags(self.run, tags)
        refused = self.work / "refused"
        if "validate" not in self.records and refused.is_dir():
            for path in sorted(refused.glob("*.*")):
                tracking.log_artifact(self.run, path, "refused")
        self.write_report(f"failed: {error}")

    def _log_json(self, name: str, value: Any, folder: str = "") -> None:
        with tempfile.TemporaryDirectory() as place:
            path = store.write_json(Path(place) / name, outcome.finite(to_json(value)))
            tracking.log_artifact(self.run, path, folder)


@contextmanager
def training(
    project: str, root: str | None, source: str | None, settings: list[str] | None
) -> Iterator[Books]:
    """Opens the books of one run; whatever ends the block is what they say in the end.

    Raises:
        ConfigError: The configuration is wrong or its device is not there; no run was begun.
        Unavailable: The MLflow store can't be reached.
    """
    place = find_root(root)
    path = Path(source).resolve() if source else None
    loaded = configuration.load(place, project, source=path, settings=tuple(settings or ()))
    device = devices.resolve_device(loaded.config.fit.device)
    books = Books(loaded, place, _begin(loaded, place), device)
    audience.present().started(books.run, str(flow_run.id or ""))
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    try:
        with loop.watching(audience.present().epoch):
            yield books
        status = "FINISHED"
    except Exception as error:
        with _reporting():
            books.fail(error)
        raise
    except BaseException as error:  # Ctrl-C, or a cancelled flow run
        status = "KILLED"
        with _reporting():
            tracking.set_tags(books.run, {"error.code": type(error).__name__})
        raise
    finally:
        tracking.finish_run(books.run, status)


def _forget_oldest(folder: Path) -> None:
    """MLflow keeps every report; beside the data the latest are enough."""
    reports = sorted(folder.glob("*.html"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in reports[REPORTS_KEPT:]:
        path.unlink(missing_ok=True)


def _begin(project: Project, root: Path) -> RunRef:
    page = provenance.flow_page(flow_run.api_url, str(flow_run.id))
    tags = {
        "mlflow.note.content": f"[Prefect flow run]({page})",
        "mlflow.runName": f"{project.config.name} {str(flow_run.id)[:8]}",
        "prefect.flow_run_id": str(flow_run.id or ""),
        "prefect.flow_run": page,
        **provenance.git_state(root),
    }
    run = tracking.start_run(tracking.connect(root), project.config.name, root, tags=tags)
    tracking.log_params(run, project.config.model_dump(mode="json", by_alias=True))
    with tempfile.TemporaryDirectory() as place:
        text = configuration.as_yaml(project.config)
        tracking.log_artifact(run, store.write_text(Path(place) / "config.yaml", text))
    return run


def _enter(run: RunRef, name: str, record: Any) -> None:
    """A step's numbers as metrics and its files as artifacts."""
    metrics = {f"{name}.seconds": float(record.step.seconds)}
    if name == "evaluate":
        for score in record.scores:
            pairs = {**score.metrics, f"{record.metric}.low": score.low, f"{record.metric}.high": score.high}
            metrics |= {f"{score.name}.{metric}": float(value) for metric, value in pairs.items()}
    for field in ("read", "kept", "dropped", "quarantined", "train", "validation", "test", "parameters"):
        if isinstance(value := getattr(record, field, None), int):
            metrics[f"{name}.{field}"] = float(value)
    tracking.log_metrics(run, metrics)
    if name == "fit" and record.step.status == "reused":  # a loop that runs logs its epochs itself
        tracking.log_epochs(run, record.history)
    for path in _files(name, getattr(record, "folder", None)):
        tracking.log_artifact(run, path, f"{name}/docs" if path.name == "docs" else name)


def _files(name: str, folder: Path | None) -> list[Path]:
    """What a person may want to open: no row of the data but the quarantined ones."""
    wanted = {
        "validate": ("result.json", "report.html", "quarantine.csv", "docs"),
        "clean": ("quarantine.csv",),
        "split": ("parts.parquet",),
        "fit": ("manifest.json",),
        "evaluate": ("predictions.parquet",),
    }
    if folder is None:
        return []
    return [path for file in wanted.get(name, ()) if (path := folder / file).exists()]


@contextmanager
def _reporting() -> Iterator[None]:
    """What fails while a failure is written down must not hide that failure."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("could not write about the failure: %s", error)
