"""`modelyard retrain`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape

from flows.commands import training
from flows.commands.options import DEFAULT, Common, Settings, Sourced
from tasks.errors import ConfigError


def retrain(
    project: str,
    *,
    source: Sourced = None,
    set_: Settings = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    fail_on_reject: Annotated[bool, Parameter(negative="")] = False,
    no_wait: Annotated[bool, Parameter(negative="")] = False,
    if_running: Literal["wait", "cancel", "refuse"] = "refuse",
    common: Common = DEFAULT,
) -> int:
    """Train again if there is a reason to; say why not otherwise.

    Parameters
    ----------
    project
        Folder name below data/.
    force
        Train without a reason, and in spite of a cool-down.
    fail_on_reject
        Exit with 4 when the gate rejects the candidate.
    no_wait
        Hand the run to the servers that are up, print its page and go.
    if_running
        While another run of the project goes on: wait for it, cancel it, or refuse this one.
    """
    from tasks import config  # noqa: PLC0415
    from tasks.config import own  # noqa: PLC0415

    root, settings = common.place, list(set_ or ())
    # Fails before anything starts.
    own.require(config.load(root, project, source=source, settings=tuple(settings), retraining=True).config)
    words = {
        "project": project,
        "root": str(root),
        "source": str(source.resolve()) if source else None,
        "settings": settings,
        "force": force,
        "if_running": if_running,
    }
    if not _is_served(root):
        if no_wait:
            raise ConfigError(
                "--no-wait: no servers are up that could take the run",
                fix="see `modelyard up`, or wait for it",
            )
        return training.tell(
            common, training.run_here(common, "retrain", words), fail_on_reject=fail_on_reject
        )
    summary = _submit(common, words, wait=not no_wait)
    return training.tell(common, summary, fail_on_reject=fail_on_reject) if summary else 0


def _is_served(root: Path) -> bool:
    """Whether somebody else executes runs: what `up` keeps, or whoever serves a remote API."""
    from flows import occupation  # noqa: PLC0415
    from flows.servers import standing  # noqa: PLC0415
    from flows.servers.prefect_server import configured_url  # noqa: PLC0415
    from tasks import lease  # noqa: PLC0415

    dispatched = lease.is_held(occupation.slot(root, "dispatcher"))
    return dispatched or standing.stands(root) or configured_url() is not None


def _submit(common: Common, words: dict[str, Any], *, wait: bool) -> dict[str, Any] | None:
    """Has the servers carry out the run, and follows it; None where it is not waited for."""
    from flows.books import provenance  # noqa: PLC0415
    from flows.operate import following  # noqa: PLC0415
    from flows.servers.prefect_server import connected, prefect_server  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root, out, began, project = common.place, common.console(), time.monotonic(), words["project"]
    with prefect_server(root) as server, connected(server) as url:
        deployment = following.deployed(project)
        given = {key: value for key, value in words.items() if key != "root" and value}
        run = following.submit(deployment, given)
        page = provenance.flow_page(url, str(run.id))
        out.print(f"run     {escape(page)}", soft_wrap=True)
        if not wait:
            common.answer({"project": project, "flow_run_id": str(run.id), "url": page, "outcome": None})
            return None
        uri = tracking.connect(root)  # a second of imports, while the run's process starts
        state = following.follow(run.id, lambda line: out.print(escape(line), soft_wrap=True))
        summary = following.document(uri, project, run.id, state)
    return summary | {"seconds": round(time.monotonic() - began, 3)}
