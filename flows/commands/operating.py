"""`modelyard up`, `down` and `status`."""

from __future__ import annotations

import time
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from flows import terminal
from flows.commands.options import DEFAULT, Common
from tasks.wording import duration


def up(
    *,
    host: str | None = None,
    expose: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Start the servers, the schedules and the watch, and keep them up.

    Parameters
    ----------
    host
        Address to listen on; 127.0.0.1 unless .modelyard.yaml says otherwise.
    expose
        Let other machines in, where the host is not loopback.
    """
    from flows.servers import address, credentials, raising  # noqa: PLC0415

    root, out = common.place, common.console()
    began = time.monotonic()
    with out.status("starting") as spinner:
        told, fresh = raising.up(
            root, host=host, expose=expose, watch=lambda now: spinner.update(_progress(now))
        )
    seconds, place = time.monotonic() - began, credentials.place(root)
    out.print(f"up in {seconds:.1f} s" if fresh else "already up; nothing was started", style="bold")
    _tell(out, told)
    out.print(f"credentials  {escape(str(place))}   user and password, with a colon between", soft_wrap=True)
    out.print(f"logs         {escape(str(root / '.state' / 'logs'))}", soft_wrap=True)
    hosts = [each["host"] for each in told["services"].values() if each["host"]]
    if not all(map(address.is_loopback, hosts)):
        out.print("[yellow]![/] other machines can reach this, in plain text: put a proxy with TLS before it")
    out.print(
        "next         modelyard status, modelyard schedule PROJECT; modelyard down ends it", style="dim"
    )
    common.answer({"started": fresh, "seconds": round(seconds, 3), "credentials": str(place), **told})


def down(*, common: Common = DEFAULT) -> None:
    """Stop what `up` started."""
    from flows.servers import raising  # noqa: PLC0415

    root, out = common.place, common.console()
    began = time.monotonic()
    with out.status("ending; an active run is asked to stop first, its checkpoint is kept"):
        told = raising.down(root)
    names = list(told["services"]) if told else []
    seconds = time.monotonic() - began
    out.print(f"down: {', '.join(names)} ended in {seconds:.1f} s" if told else "nothing was up")
    common.answer({"stopped": names, "seconds": round(seconds, 3)})


def status(*, common: Common = DEFAULT) -> None:
    """Show servers, schedules, runs and champions."""
    from flows import glance  # noqa: PLC0415

    root, out = common.place, common.console()
    found = glance.look(root)
    if found["servers"]:
        _tell(out, {"services": {each["name"]: each for each in found["servers"]}})
    else:
        out.print("nothing is up; `modelyard up` starts the servers")
    for title in ("champions", "schedules", "runs"):
        if rows := found[title]:
            out.print()
            out.print(terminal.table(title, glance.lines(title, rows)))
    if found["problem"]:
        out.print(f"[yellow]![/] {escape(found['problem'])}", soft_wrap=True)
    common.answer(found)


def _progress(told: dict[str, Any]) -> str:
    return "  ".join(f"{name} {each['state']}" for name, each in told["services"].items()) or "starting"


def _tell(out: Console, told: dict[str, Any]) -> None:
    """A line for each process that is kept up."""
    for name, each in told["services"].items():
        since = duration(max(time.time() - each["since"], 0)) if each["since"] else "-"
        again = f", restarted {each['restarts']} times" if each["restarts"] else ""
        where = each["url"] or ""
        colour = "green" if each["state"] == "up" else "yellow"
        how = f"[{colour}]{each['state']}[/] for {since}, pid {each['pid']}{again}"
        out.print(f"{name:<11}  {escape(where):<22}  {how}", soft_wrap=True)
