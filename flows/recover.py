"""Registering a run that passed its gate and whose registration failed: nothing is trained again.

What the run left in MLflow says which outputs it was judged with; the project's `work` folder still
holds them, each file with its digest. The step itself then finds what the failed registration left,
and goes on from there.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any

from flows import occupation, outcome, past
from flows.books import entries, provenance, reporting
from tasks import store
from tasks.config import Config, Project
from tasks.config.explain import validated
from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError, quoted
from tasks.records import (
    CleanRecord,
    DecideRecord,
    EvaluateRecord,
    FitRecord,
    ModelVersion,
    RegisterRecord,
    RunRef,
    SplitRecord,
    ValidateRecord,
    from_json,
)
from tasks.registry import backend, tracking, versions

KINDS = {
    "validate": ValidateRecord,
    "clean": CleanRecord,
    "split": SplitRecord,
    "fit": FitRecord,
    "evaluate": EvaluateRecord,
}
PROVENANCE = ("git.commit", "git.dirty", "prefect.flow_run_id")
AGAIN = "train again: finished steps are reused"


def recover(uri: str, root: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Registers the model of a run, and ends the run as one that came to its end.

    Args:
        uri: Tracking URI.
        root: The checkout.
        run: As `past.find` describes it.

    Returns:
        What `modelyard train --json` prints; of a run that is registered already only its head.

    Raises:
        ConfigError: The run still goes on, was refused by its gate, never came to it, or its outputs
            are gone.
        RegistryConflict: The champion moved since and can't be compared, or another run of the
            project goes on.
        ArtifactTampered: A fresh process answers otherwise than the model that was judged.
        Unavailable: The registry can't be reached.
    """
    config = _config(uri, run)
    _check_state(run)
    inputs = run["tags"].get(past.INPUTS)
    if inputs is None:
        raise ConfigError(f"run {run['run_id'][:8]} trained nothing that could be registered", fix=AGAIN)
    known = versions.find(uri, config.register_as.name, inputs)
    if known is not None and versions.decision(uri, known) not in (None, versions.FAILED):
        return _known(config, run, known)
    project = Project(config=config, folder=root / "data" / config.name)
    with occupation.project(root, config.name, "refuse", lambda _: None, action="register"):
        records = {step: _record(uri, run, project.work, step) for step in KINDS}
        if not records["evaluate"].passed:
            raise _refused(run, "; ".join(records["evaluate"].reasons))
        records["register"] = _register(uri, root, run, config, records, inputs)
        return _close(_reference(uri, run), project, run, records)


def _config(uri: str, run: dict[str, Any]) -> Config:
    """The configuration that the run was made with, as strictly read as any."""
    client = backend.client(uri)
    what = f"config.yaml of run {run['run_id'][:8]}"
    with backend.reaching(uri), tempfile.TemporaryDirectory() as folder:
        if "config.yaml" not in [entry.path for entry in client.list_artifacts(run["run_id"])]:
            raise ConfigError(f"there is no {what}", fix=AGAIN)
        content = Path(client.download_artifacts(run["run_id"], "config.yaml", folder)).read_bytes()
    return validated(parse(content, what), Path(what))


def _check_state(run: dict[str, Any]) -> None:
    if run["status"] in ("RUNNING", "SCHEDULED"):
        raise ConfigError(f"run {run['run_id'][:8]} still goes on", fix="wait for its end")
    if run["tags"].get(past.OUTCOME) == "rejected":
        raise _refused(run, run["tags"].get("modelyard.reasons", ""))


def _refused(run: dict[str, Any], reasons: str) -> ConfigError:
    return ConfigError(
        f"run {run['run_id'][:8]} was refused by its gate: {reasons}",
        fix="the gate decides what is registered; change it in project.yaml and train again",
    )


def _known(config: Config, run: dict[str, Any], known: ModelVersion) -> dict[str, Any]:
    reason = f"version {known.version} was registered from the same data, configuration and code"
    model = {"name": known.name, "version": known.version, "aliases": sorted(known.aliases)}
    head = {"project": config.name, "outcome": "skipped", "reasons": [reason], "model": model}
    return head | {"run_id": run["run_id"]}


def _record(uri: str, run: dict[str, Any], work: Path, step: str) -> Any:
    """What a step of the run returned, from its output on disk, if every file of that is whole."""
    stored = past.read(uri, run["run_id"], f"{step}/record.json")
    if stored is None:
        raise ConfigError(f"run {run['run_id'][:8]} never came to the end of {step}", fix=AGAIN)
    key = Path(str(stored["folder"])).name
    if not re.fullmatch(r"[0-9a-f]{20}", key):
        raise ConfigError(f"run {run['run_id'][:8]}: {step} names no output: {quoted(key)}", fix=AGAIN)
    home = work / step / key
    known: Any = store.recall(home, KINDS[step])
    if known is None:
        raise ConfigError(f"the output {home} of the run is gone, or was changed since", fix=AGAIN)
    return known


def _register(
    uri: str, root: Path, run: dict[str, Any], config: Config, records: dict[str, Any], inputs: str
) -> RegisterRecord:
    from tasks.register import register  # noqa: PLC0415

    seen = run["tags"].get(past.SEEN, "")
    settings = config.model_dump(mode="json", by_alias=True)
    tags = {
        "modelyard.project": config.name,
        "modelyard.fingerprint": records["validate"].fingerprint,
        "modelyard.split": records["split"].hash,
        "modelyard.config": store.digest(settings),
        **{
            key: value
            for key, value in run["tags"].items()
            if key.startswith(("git.", "prefect.flow_run_id"))
        },
    }
    made = register.fn(
        run=_reference(uri, run),
        raw=records["validate"],
        cleaned=records["clean"],
        parts=records["split"],
        fitted=records["fit"],
        evaluated=records["evaluate"],
        rules=config.register_as,
        inputs=inputs,
        tags=tags,
        root=root,
        champion=ModelVersion(name=config.register_as.name, version=int(seen)) if seen.isdecimal() else None,
    )
    if made.outcome == "skipped" and made.model is not None and made.model.run_id == run["run_id"]:
        # It finished what this very run had begun.
        return dataclasses.replace(made, outcome="registered", reasons=made.reasons[1:])
    return made


def _reference(uri: str, run: dict[str, Any]) -> RunRef:
    with backend.reaching(uri):
        experiment = backend.client(uri).get_run(run["run_id"]).info.experiment_id
    return RunRef(uri=uri, experiment_id=experiment, run_id=run["run_id"])


def _close(
    reference: RunRef, project: Project, run: dict[str, Any], records: dict[str, Any]
) -> dict[str, Any]:
    """Says in the run what a training that came to its end says there, and takes the failure away."""
    links = {
        "MLflow run": provenance.run_page(reference, project.folder.parents[1]),
        "Report": provenance.run_page(reference, project.folder.parents[1], "report.html"),
        "Prefect flow run": run["tags"].get("prefect.flow_run", ""),
    }
    environment = provenance.environment(records["fit"].device)
    report = reporting.write(project, reference, records, links, environment, ())
    document = outcome.document(project.config, _decided(reference), *records.values()) | {
        "report": str(report),
        "run_id": reference.run_id,
        "flow_run_id": run["tags"].get("prefect.flow_run_id", ""),
        "links": links,
        "seconds": run["seconds"],
    }
    entries.enter(reference, "register", records["register"])
    entries.log_json(reference, "summary.json", document)
    tags = {past.OUTCOME: document["outcome"], "modelyard.reasons": "; ".join(document["reasons"])}
    tracking.set_tags(reference, {**tags, "modelyard.recovered": "true"})
    with backend.reaching(reference.uri):
        client = backend.client(reference.uri)
        for key in ("error.code", "error.message"):
            if key in run["tags"]:
                client.delete_tag(reference.run_id, key)
        client.update_run(reference.run_id, status="FINISHED")  # it ended when it ended
    return document


def _decided(reference: RunRef) -> DecideRecord | None:
    stored = past.read(reference.uri, reference.run_id, "decide/record.json")
    return None if stored is None else from_json(DecideRecord, stored)
