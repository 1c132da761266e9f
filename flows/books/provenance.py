"""Where a run comes from: commit, machine, library versions, and addresses of its pages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from flows.servers import standing
from tasks import store
from tasks.checks import suite
from tasks.config import Config, Project, own
from tasks.records import RunRef
from tasks.spans import span

MLFLOW_PAGES = "http://127.0.0.1:5000"
"""Where `modelyard ui` shows a store that has no server of its own."""


def git_state(root: Path) -> dict[str, str]:
    """Tags `git.commit` and `git.dirty` of the checkout; empty outside of one."""
    git = shutil.which("git")
    if git is None:
        return {}

    def ask(*words: str) -> str | None:
        with span("git"):
            done = subprocess.run(  # noqa: S603
                [git, "-C", str(root), *words], capture_output=True, text=True, check=False, timeout=20
            )
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"git.commit": commit, "git.dirty": str(bool(ask("status", "--porcelain", "-uno"))).lower()}


def environment(device: str) -> dict[str, str]:
    """What a report says about the machine; no names of hosts or people."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "device": device,
        **store.library_versions(),
    }


def inputs_digest(config: Config, fingerprint: str) -> str:
    """Digest of everything that makes a model; the same inputs never make a second version.

    Where a model is registered, on which device it is trained, when it is trained again and how better
    settings are searched for, is no part of what it is.
    """
    return store.digest(
        {
            "fingerprint": fingerprint,
            "config": _making(config),
            "code": store.code_digest(*own.ours(config)),
            "libraries": store.library_versions(),
        }
    )


def settings_digest(project: Project) -> str:
    """Digest of what a person can set and that makes a model or judges it, the suite's file included.

    Raises:
        ConfigError: The suite is missing or wrong.
    """
    asked = suite.load(project.folder / project.config.validation.suite)
    return store.digest({"config": _making(project.config), "suite": asked.digest})


def code_digest(config: Config) -> str:
    """Digest of the source that makes a project's model, and of the versions of what computes."""
    return store.digest({"code": store.code_digest(*own.ours(config)), "libraries": store.library_versions()})


def _making(config: Config) -> dict[str, Any]:
    settings: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    settings.pop("register")
    settings.pop("retrain")
    settings.pop("sweep")
    settings.pop("preset")  # what it sets counts, whatever it is called
    settings["source"].pop("path", None)  # the fingerprint knows the content, wherever it lies
    settings["fit"].pop("device")
    settings["code"] = own.digests(config)  # another version of a part is another setting
    return settings


def run_page(run: RunRef, root: Path, artifact: str = "") -> str:
    """Address of an MLflow run's page, or of one of its artifacts; on the server of `up` if that stands."""
    if run.uri.startswith("http"):
        base = run.uri.rstrip("/")
    else:
        server = (standing.read(root) or {}).get("services", {}).get("mlflow", {})
        base = server.get("url") or MLFLOW_PAGES
    tail = f"/artifacts/{artifact}" if artifact else ""
    return f"{base}/#/experiments/{run.experiment_id}/runs/{run.run_id}{tail}"


def flow_page(api_url: str | None, flow_run_id: str) -> str:
    """Address of a Prefect flow run's page, from that of the API or of the run in the API."""
    base = (api_url or "http://127.0.0.1:4200/api").partition("/flow-runs/")[0].removesuffix("/api")
    return f"{base}/runs/flow-run/{flow_run_id}"
