"""`modelyard ui` and `doctor`."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter, validators
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
    from flows.servers.mlflow_server import mlflow_server  # noqa: PLC0415
    from flows.servers.prefect_server import prefect_server  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root, out = common.place, common.console()
    uri = tracking.connect(root)
    with prefect_server(root) as server, mlflow_server(root, uri, port) as mlflow:
        prefect = server.wait().removesuffix("/api")
        out.print(f"MLflow   {escape(mlflow)}", soft_wrap=True)
        out.print(f"Prefect  {escape(prefect)}", soft_wrap=True)
        out.print("Ctrl-C ends both", style="dim")
        common.answer({"mlflow": mlflow, "prefect": prefect})
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            out.print("stopped")


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
