"""`modelyard ui`, `gc` and `doctor`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.markup import escape

from flows import terminal
from flows.commands.options import DEFAULT, Common


def ui(
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))] = 5000,
    common: Common = DEFAULT,
) -> None:
    """Open the pages of MLflow and Prefect on what was trained here, until Ctrl-C.

    Parameters
    ----------
    port
        Port of MLflow's pages; links in reports expect 5000.
    """
    from flows.servers import credentials, standing  # noqa: PLC0415
    from flows.servers.mlflow_server import mlflow_server  # noqa: PLC0415
    from flows.servers.prefect_server import prefect_server  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root, out = common.place, common.console()
    place = credentials.place(root)
    if (up := standing.read(root)) is not None:
        urls = {name: each["url"] for name, each in up["services"].items() if each["url"]}
        out.print("up already, and stays: `modelyard down` ends it", style="bold")
        _tell(out, urls, place)
        common.answer({**urls, "credentials": str(place)})
        return
    uri = tracking.connect(root)
    with prefect_server(root) as server, mlflow_server(root, uri, port) as mlflow:
        prefect = server.wait().removesuffix("/api")
        _tell(out, {"mlflow": mlflow, "prefect": prefect}, place)
        out.print("Ctrl-C ends both", style="dim")
        common.answer({"mlflow": mlflow, "prefect": prefect, "credentials": str(place)})
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            out.print("stopped")


def _tell(out: Console, urls: dict[str, str], place: Path) -> None:
    for name, title in (("mlflow", "MLflow"), ("prefect", "Prefect")):
        if name in urls:
            out.print(f"{title:<9}{escape(urls[name])}", soft_wrap=True)
    out.print(f"sign in  with what stands in {escape(str(place))}: user and password", soft_wrap=True)


def gc(
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    keep: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1,
    common: Common = DEFAULT,
) -> None:
    """Free the space of outputs that nothing asks for any more, in the work folders of all projects.

    What a version with an alias was made from stays, what the latest run of a project left, and all of a
    project of which a run goes on. What goes can be made again.

    Parameters
    ----------
    dry_run
        Only say what would go.
    keep
        How many of each step's outputs, checkpoints and reports stay besides, the last used ones.
    """
    from flows.reuse.collecting import collect  # noqa: PLC0415

    out, found = common.console(), collect(common.place, keep=keep, dry_run=dry_run)
    sizes: dict[tuple[str, str], list[int]] = {}
    for each in found["removed"]:
        sizes.setdefault((each["path"].split("/")[1], each["why"]), []).append(each["bytes"])
    rows = [
        {"project": name, "what": why, "count": str(len(each)), "MB": f"{sum(each) / 1e6:,.1f}"}
        for (name, why), each in sizes.items()
    ]
    out.print(terminal.table("", rows))
    for each in found["skipped"]:
        out.print(f"{escape(each['project'])} was left alone: {escape(each['why'])}", soft_wrap=True)
    out.print(f"{found['bytes'] / 1e6:,.1f} MB {'would be freed' if dry_run else 'freed'}")
    common.answer(found)


def doctor(*, common: Common = DEFAULT) -> int:
    """Check the installation, the stores and the champions."""
    from flows.health import examine  # noqa: PLC0415

    checks = list(examine(common.place))
    marks = {"ok": "✓", "warn": "!", "broken": "✗"}
    rows = [{"": marks[c.state], "check": c.name, "finding": c.detail} for c in checks]
    common.console().print(terminal.table("", rows))
    healthy = all(check.state != "broken" for check in checks)
    found = [{"name": c.name, "state": c.state, "detail": c.detail} for c in checks]
    common.answer({"healthy": healthy, "checks": found})
    return 0 if healthy else 1
