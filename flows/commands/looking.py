"""`modelyard projects`, `show` and `compare`: commands that only read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common
from tasks import config
from tasks.errors import ConfigError, ModelyardError, did_you_mean, quoted
from tasks.own.extension import short
from tasks.records import ModelVersion
from tasks.wording import duration, number


def projects(*, common: Common = DEFAULT) -> None:
    """List the projects and their champions."""
    root = common.place
    found = [_project(root, name) for name in config.names(root)]
    if not found and not common.json:
        raise ConfigError(
            f"no project below {root / 'data'}", fix="a project is a folder with a project.yaml"
        )
    heads = ("project", "task", "source", "network", "champion", "problem")
    rows = [{head: _text(entry[head]) for head in heads} for entry in found]
    common.console().print(terminal.table("", _without_empty(rows, "problem")))
    common.answer({"root": str(root), "projects": found})


def show(run: str, step: str | None = None, *, common: Common = DEFAULT) -> None:
    """Show a run, or one step of it.

    Parameters
    ----------
    run
        The beginning of a run id, a project's name for its latest run, or `latest`.
    step
        validate, clean, split, fit, evaluate or register.
    """
    from flows import past  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    if step is not None and step not in terminal.STEPS:
        raise ConfigError(f"no step {quoted(step)}", fix=did_you_mean(step, terminal.STEPS))
    root = common.place
    uri = tracking.connect(root)
    found = past.find(uri, root, run)
    name = f"{step}/record.json" if step else "summary.json"
    stored = past.read(uri, found["run_id"], name)
    if stored is None:
        stored = _unfinished(found, step)
        terminal.show_plain(common.console(), stored)
    elif step:
        terminal.show_plain(common.console(), stored)
    else:
        terminal.show_summary(common.console(), stored)
        terminal.show_steps(common.console(), stored)
    common.answer(stored)


def compare(
    project: str,
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 10,
    common: Common = DEFAULT,
) -> None:
    """Compare a project's recent runs and versions.

    Parameters
    ----------
    project
        Folder name below data/.
    limit
        How many of the latest runs.
    """
    from flows import past  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    common.reads()
    root = common.place
    loaded = config.load(root, project).config
    uri, metric = tracking.connect(root), short(loaded.evaluate.metric)
    versions = tracking.versions(uri, loaded.register_as.name)
    by_run = {version.run_id: version for version in versions if version.run_id}
    runs = past.ladder(tracking.recent_runs(uri, project, limit), by_run, metric)
    rows = [_line(run) for run in runs]
    out = common.console()
    out.print(
        terminal.table(f"{project}: {metric} on the test rows", rows) if rows else f"{project} has no run yet"
    )
    made = [{"version": v.version, "aliases": sorted(v.aliases), "run_id": v.run_id} for v in versions]
    common.answer(
        outcome.finite(
            {
                "project": project,
                "metric": metric,
                "higher_is_better": loaded.higher_is_better,
                "model": loaded.register_as.name,
                "runs": runs,
                "versions": made,
            }
        )
    )


def _project(root: Path, name: str) -> dict[str, Any]:
    """One line of `projects`; a project that does not load is listed with its problem."""
    blank = dict.fromkeys(("task", "source", "network", "champion", "problem"))
    try:
        loaded = config.load(root, name).config
    except ModelyardError as error:
        return {"project": name, **blank, "problem": str(error)}
    model = loaded.register_as.name
    champion = next((v for v in _versions(root, model) if "champion" in v.aliases), None)
    return {
        "project": name,
        **blank,
        "task": loaded.task,
        "source": getattr(loaded.source, "path", None) or loaded.source.kind,
        "network": loaded.network.kind,
        "champion": None if champion is None else {"name": champion.name, "version": champion.version},
    }


def _versions(root: Path, model: str) -> list[ModelVersion]:
    """A model's versions, read in the store's file where that is possible: MLflow takes long to load."""
    from tasks.registry import tracking, versions  # noqa: PLC0415

    seen = versions.glimpse(root, model)
    if seen is None:
        return tracking.versions(tracking.connect(root), model)
    return [version for version, _ in seen]


def _line(run: dict[str, Any]) -> dict[str, str]:
    scores = dict(run["scores"])
    value = scores.pop("candidate", None)
    version = "" if run["version"] is None else f"{run['version']} {' '.join(run['aliases'])}".strip()
    rungs = "  ".join(f"{name} {number(score)}" for name, score in scores.items())
    return {
        "run": run["run_id"][:8],
        "started": run["started"][:16].replace("T", " "),
        "outcome": run["outcome"] or run["status"].lower(),
        "version": version,
        "candidate": number(value),
        "interval": f"{number(run['low'])} … {number(run['high'])}" if value is not None else "",
        "others": rungs,
    }


def _unfinished(run: dict[str, Any], step: str | None) -> dict[str, Any]:
    """What is known about a run, or a step of it, that left no record."""
    if step is not None:
        raise ConfigError(f"run {run['run_id'][:8]} has no record of {step}: it did not come so far")
    tags = run["tags"]
    return {
        "run_id": run["run_id"],
        "status": run["status"],
        "started": run["started"],
        "took": None if run["seconds"] is None else duration(run["seconds"]),
        "error": tags.get("error.code"),
        "message": tags.get("error.message"),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"version {value['version']}"
    return "" if value is None else str(value)


def _without_empty(rows: list[dict[str, str]], head: str) -> list[dict[str, str]]:
    if any(row[head] for row in rows):
        return rows
    return [{key: cell for key, cell in row.items() if key != head} for row in rows]
