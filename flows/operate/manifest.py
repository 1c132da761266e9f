"""What runs by schedule or on request: `ROOT/prefect.yaml`, read as the Prefect CLI reads it.

The file is Prefect's own; nothing in it is modelyard's invention. What says where a run executes (work
pool, build, push, pull) is for workers and means nothing here, since `modelyard up` runs the flows
itself. Two things are stricter than in Prefect: a schedule is a cron line with a time zone and a slug,
by which it is known again, and a key that Prefect would silently ignore is an error.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import validate
from pydantic import Field, ValidationError

from flows.operate import timetable
from tasks import config
from tasks.config.base import Strict
from tasks.errors import ConfigError, did_you_mean, quoted

FLOWS = {
    "flows.train:train": "train",
    "flows.retrain:retrain": "retrain",
    "flows.predict:predict": "predict",
}
"""Every flow that a deployment may run, by entrypoint."""
OURS = "modelyard"
"""Tag of every deployment that is modelyard's."""
CLI = "cli-"
"""How the slugs of schedules begin that `modelyard schedule` made."""
FOR_WORKERS = {
    "work_pool", "version", "version_type", "flow_name", "enforce_parameter_schema",
    "build", "push", "pull", "triggers", "sla",
}  # fmt: skip
"""Keys of a deployment that only the Prefect CLI and its workers read."""


class Schedule(Strict):
    """One cron line. `parameters` are laid over the deployment's."""

    slug: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)
    cron: str
    timezone: str
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class Concurrency(Strict):
    """How many runs of a deployment may be active, and what becomes of one more."""

    limit: int = Field(default=1, ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"


ONE = Concurrency()
"""A run at a time; others wait."""


class Entry(Strict):
    """One item of the file's `deployments`."""

    name: str = Field(pattern=r"^[^/%&<>]+$")
    entrypoint: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    description: str | None = None
    schedules: tuple[Schedule, ...] = ()
    concurrency_limit: Concurrency = ONE


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A deployment as it should be: which flow, with what, when."""

    name: str
    flow: str
    project: str
    parameters: dict[str, Any]
    tags: tuple[str, ...]
    description: str
    schedules: tuple[Schedule, ...] = ()
    concurrency: Concurrency = ONE

    @property
    def entrypoint(self) -> str:
        """The flow as Prefect writes a flow of an installed module."""
        return f"flows.{self.flow}.{self.flow}"


def declared(root: Path) -> list[Declared]:
    """The deployments of a root: those of its prefect.yaml, and train and retrain of every project.

    Raises:
        ConfigError: The file can't be read, or says something that can't be done; names file and key.
    """
    path, projects = root / "prefect.yaml", config.names(root)
    found = [_declared(entry, path, i, projects) for i, entry in enumerate(_entries(path))]
    named = {(one.flow, one.project) for one in found}
    found += [
        _default(flow, project)
        for project in projects
        for flow in ("train", "retrain")
        if (flow, project) not in named
    ]
    keys = [f"{one.flow}/{one.name}" for one in found]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"{path}: two deployments are called {quoted(twice)}", fix="rename one of them")
    return found


@cache
def schema(flow: str) -> dict[str, Any]:
    """The parameters of a flow as Prefect's JSON schema, from its source alone.

    Prefect's own reading of a source file runs the imports in it, which would load torch: three seconds
    and 300 MB for a dispatcher that never needs it.
    """
    tree = ast.parse((Path(__file__).parents[1] / f"{flow}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == flow)

    def stub() -> None: ...

    hints = {each.arg: ast.unparse(each.annotation or ast.Constant(None)) for each in found.args.args}
    stub.__annotations__ = hints
    kinds = get_type_hints(stub, {"Any": Any, "Literal": Literal})
    defaults = [ast.literal_eval(default) for default in found.args.defaults]
    values = [Parameter.empty] * (len(hints) - len(defaults)) + defaults
    stub.__doc__ = ast.get_docstring(found)
    stub.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=value, annotation=kinds[name])
            for name, value in zip(hints, values, strict=True)
        ]
    )
    return dict(parameter_schema(stub).model_dump(exclude_unset=True))


def _entries(path: Path) -> list[Any]:
    if not path.is_file():
        return []
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    items = tree.get("deployments") if isinstance(tree, dict) else tree
    if not isinstance(items or [], list):
        raise ConfigError(f"{path}: deployments: got {quoted(items)}; expected a list")
    return items or []


def _declared(item: Any, path: Path, index: int, projects: list[str]) -> Declared:
    entry, place = _entry(item, path, index)
    if (flow := FLOWS.get(entry.entrypoint)) is None:
        unknown = f"{place}.entrypoint: {quoted(entry.entrypoint)} is no flow of modelyard's"
        raise ConfigError(unknown, fix=did_you_mean(entry.entrypoint, FLOWS))
    project = entry.parameters.get("project")
    if project not in projects:
        unknown = f"{place}.parameters.project: no project {quoted(project)} below data/"
        raise ConfigError(unknown, fix=did_you_mean(str(project), projects))
    _check_parameters(entry.parameters, flow, f"{place}.parameters")
    for number, schedule in enumerate(entry.schedules):
        _check_schedule(schedule, entry, flow, f"{place}.schedules[{number}]")
    return Declared(
        name=entry.name,
        flow=flow,
        project=project,
        parameters=entry.parameters,
        tags=tuple(dict.fromkeys([OURS, *entry.tags])),
        description=entry.description or f"{flow} {project}",
        schedules=entry.schedules,
        concurrency=entry.concurrency_limit,
    )


def _entry(item: Any, path: Path, index: int) -> tuple[Entry, str]:
    """The item with its place; raises about its first mistake."""
    if not isinstance(item, dict):
        raise ConfigError(f"{path}: deployments[{index}]: got {quoted(item)}; expected keys and values")
    place = f"{path}: deployments[{index}] ({item.get('name')})"
    try:
        return Entry.model_validate({k: v for k, v in item.items() if k not in FOR_WORKERS}), place
    except ValidationError as error:
        problem = error.errors()[0]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]]
    key = f"{place}{''.join(parts)}"
    if problem["type"] == "extra_forbidden":
        sections: dict[Any, type[Strict]] = {"schedules": Schedule, "concurrency_limit": Concurrency}
        known = sections.get(problem["loc"][0], Entry).model_fields
        fix = did_you_mean(str(problem["loc"][-1]), known)
        raise ConfigError(f"{key}: unknown key", fix=fix)
    if problem["type"] == "missing":
        raise ConfigError(f"{key}: required, but absent")
    raise ConfigError(f"{key}: got {quoted(problem['input'])}; {problem['msg'].lower()}")


def _check_schedule(schedule: Schedule, entry: Entry, flow: str, place: str) -> None:
    timetable.check(schedule.cron, schedule.timezone, f"{place}.")
    _check_parameters(entry.parameters | schedule.parameters, flow, f"{place}.parameters")
    if schedule.slug.startswith(CLI):
        taken = f"{place}.slug: {quoted(schedule.slug)} begins like those that `modelyard schedule` makes"
        raise ConfigError(taken, fix=f"choose one without {CLI!r}")
    if [other.slug for other in entry.schedules].count(schedule.slug) > 1:
        raise ConfigError(f"{place}.slug: {quoted(schedule.slug)} stands here twice")


def _check_parameters(parameters: dict[str, Any], flow: str, place: str) -> None:
    shape = schema(flow)
    for name in parameters:
        if name not in shape["properties"]:
            fix = did_you_mean(name, shape["properties"])
            raise ConfigError(f"{place}.{name}: the flow {flow} takes no such parameter", fix=fix)
    if problems := validate(parameters, cast(Any, shape)):
        where = "".join(f".{key}" if isinstance(key, str) else f"[{key}]" for key in problems[0].path)
        raise ConfigError(f"{place}{where}: {problems[0].message}")


def _default(flow: str, project: str) -> Declared:
    words = {"train": f"Trains {project}.", "retrain": f"Trains {project} again if there is a reason to."}
    return Declared(
        name=project,
        flow=flow,
        project=project,
        parameters={"project": project},
        tags=(OURS, project, flow),
        description=words[flow],
    )
