"""Going on with a run that failed or was stopped, if everything is as it was then.

The run that goes on is a new one, which names the one before it: that one keeps saying how it ended.
It has the same settings and the same source of data; finished steps are reused, and a training goes on
from its last whole checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flows import past
from flows.books import provenance
from tasks import config as configuration
from tasks import sources, store
from tasks.config import Config, Project
from tasks.errors import ConfigError, ModelyardError
from tasks.registry import tracking

_UNCHANGED: ContextVar[str | None] = ContextVar("unchanged", default=None)

SHOWN = 5
"""Settings that changed which a message names."""


def project(root: Path, run_id: str, *, allow_changed: bool = False) -> Project:
    """The project of a run as the run had it.

    Args:
        root: The checkout.
        run_id: The run.
        allow_changed: Go on with the run's settings although code, settings or data have changed since.

    Raises:
        ConfigError: The run goes on, came to its end, or had not decided to train; or something changed.
        ModelyardError: The data can't be read.
    """
    uri = tracking.connect(root)
    allow_changed = allow_changed or run_id == _UNCHANGED.get()
    run, name = past.find(uri, root, run_id), f"run {run_id[:8]}"
    _check_state(run, name)
    made = configuration.restored(root, past.text(uri, run_id, "config.yaml"), f"the settings of {name}")
    if not allow_changed and (changed := changes(root, run["tags"], made)):
        raise ConfigError(
            f"{name} can't go on as it was: {'; '.join(changed)}",
            fix="train anew, or go on by the settings of that run, all else as it is now: --allow-changed",
        )
    return made


@contextmanager
def unchanged(run_id: str) -> Iterator[None]:
    """Within the block it is known that nothing has changed since a run: the data need not be read for it."""
    token = _UNCHANGED.set(run_id)
    try:
        yield
    finally:
        _UNCHANGED.reset(token)


def _check_state(run: dict[str, Any], name: str) -> None:
    if run["status"] in ("RUNNING", "SCHEDULED"):
        raise ConfigError(f"{name} still goes on", fix="wait for its end")
    if run["status"] == "FINISHED":
        outcome = run["tags"].get(past.OUTCOME, "finished")
        raise ConfigError(f"{name} came to its end: {outcome}", fix="train again: finished steps are reused")
    if later := run["tags"].get(past.RESUMED_BY):
        raise ConfigError(f"{name} was gone on with by run {later[:8]}", fix="resume that one")
    undecided = "modelyard.decision" not in run["tags"] and past.RESUMES not in run["tags"]
    if _asked(run["tags"]).get("action") == "retrain" and undecided:
        raise ConfigError(f"{name} ended before it had decided whether to train", fix="retrain")


def asked(root: Path, run_id: str) -> dict[str, Any]:
    """What a run was asked for; whoever goes on with it is asked for the same."""
    return _asked(past.find(tracking.connect(root), root, run_id)["tags"])


def changes(root: Path, tags: dict[str, str], made: Project) -> list[str]:
    """What is no longer as it was when a run began, in words.

    Args:
        root: The checkout.
        tags: Of the run.
        made: The project with the run's settings.
    """
    code = (
        "" if tags.get(past.CODE) == provenance.code_digest(made.config) else "the code or a library changed"
    )
    settings = _settings(root, tags, made.config)
    suite = ""
    if (
        not code
        and not settings
        and tags.get(past.SETTINGS, "") not in ("", provenance.settings_digest(made))
    ):
        suite = "the suite of expectations or a part of the project's own changed"
    data = ""
    if known := tags.get(past.FINGERPRINT):
        now = sources.fingerprint(made.config.source, made.folder)
        data = "" if now == known else f"the data changed: {known[:12]} → {now[:12]}"
    return [sentence for sentence in (code, settings, suite, data) if sentence]


def _settings(root: Path, tags: dict[str, str], then: Config) -> str:
    given = _asked(tags)
    source = Path(given["source"]) if given.get("source") else None
    try:
        now = configuration.load(
            root, then.name, source=source, settings=tuple(given.get("settings") or ()),
            retraining=given.get("action") == "retrain",
        ).config  # fmt: skip
    except ModelyardError as error:
        return f"the settings can't be read any more: {error.message}"
    before, after = (each.model_dump(mode="json", by_alias=True) for each in (then, now))
    found = [str(change) for change in store.changes(before, after)]
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"the settings changed: {', '.join(found[:SHOWN])}{more}" if found else ""


def _asked(tags: dict[str, str]) -> dict[str, Any]:
    """What the run was asked for, besides its project; empty for a run of an older version."""
    try:
        given = json.loads(tags.get(past.ASKED, "{}"))
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
