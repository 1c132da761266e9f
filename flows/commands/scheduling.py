"""`modelyard schedule`, `unschedule` and `schedules`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape

from flows import terminal
from flows.commands.options import DEFAULT, Common

if TYPE_CHECKING:
    from flows.operate.schedules import Row
    from flows.servers.prefect_server import Server

AHEAD = 3
"""Coming times that are shown."""


def schedule(
    project: str,
    *,
    cron: str,
    timezone: str = "UTC",
    name: str = "default",
    flow: Literal["retrain", "train"] = "retrain",
    common: Common = DEFAULT,
) -> None:
    """Retrain a project by a cron schedule; a schedule of that name is replaced.

    Parameters
    ----------
    project
        Folder name below data/.
    cron
        Minute, hour, day, month and weekday, in quotes: "0 3 * * *" is every day at 03:00.
    timezone
        Zone that these are meant in, such as Europe/Berlin.
    name
        What to call it; a project may have several.
    flow
        retrain decides first whether there is a reason to; train always trains.
    """
    root, out = common.place, common.console()
    with _server(root) as server:
        from flows.operate import schedules as room  # noqa: PLC0415

        change = room.add(root, project, cron, timezone, name=name, flow=flow)
    out.print(f"{change.word}  {escape(_words(change.row))}", soft_wrap=True)
    if change.word == "replaced" and change.before:
        out.print(f"before  {escape(_words(change.before))}", soft_wrap=True)
    for time in change.upcoming[:AHEAD]:
        out.print(f"next    {_moment(time)}")
    _remind(common, server, [change.row])
    before = change.before.document if change.before else None
    times = [time.isoformat() for time in change.upcoming]
    common.answer(
        {"change": change.word, "schedule": change.row.document, "before": before, "upcoming": times}
    )


def unschedule(
    project: str,
    *,
    name: str = "default",
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Take away a schedule that `modelyard schedule` made.

    Parameters
    ----------
    project
        Folder name below data/.
    name
        Which one.
    all_
        All of the project's; those that prefect.yaml declares stay.
    """
    root, out = common.place, common.console()
    with _server(root):
        from flows.operate import schedules as room  # noqa: PLC0415

        gone = room.remove(root, project, None if all_ else name)
        left = [row for row in room.listing(root) if row.project == project]
    for row in gone:
        out.print(f"removed  {escape(_words(row))}", soft_wrap=True)
    if not gone:
        which = "" if all_ else f" {name!r}"
        out.print(f"unchanged: {escape(project)} has no such schedule{escape(which)}", soft_wrap=True)
    for row in left:
        out.print(f"stays    {escape(_words(row))}", soft_wrap=True)
    removed, remaining = [row.document for row in gone], [row.document for row in left]
    common.answer({"project": project, "removed": removed, "left": remaining})


def schedules(project: str | None = None, *, common: Common = DEFAULT) -> None:
    """List the schedules and their next runs.

    Parameters
    ----------
    project
        Only those of this one.
    """
    root, out = common.place, common.console()
    with _server(root) as server:
        from flows.operate import schedules as room  # noqa: PLC0415

        rows = [row for row in room.listing(root) if project in (None, row.project)]
    lines = [
        {
            "project": row.project,
            "flow": row.flow,
            "name": row.name,
            "cron": row.cron,
            "zone": row.timezone,
            "next": _next(row),
            "from": {"file": "prefect.yaml", "cli": "modelyard schedule", "ui": "Prefect UI"}[row.origin],
        }
        for row in rows
    ]
    out.print(terminal.table("", lines) if lines else "no schedule")
    _remind(common, server, rows)
    common.answer({"schedules": [row.document for row in rows]})


@contextmanager
def _server(root: Path) -> Iterator[Server]:
    """The Prefect server in whose database the schedules are, found or started."""
    from flows.operate import history  # noqa: PLC0415
    from flows.servers.prefect_server import connected, prefect_server  # noqa: PLC0415

    with prefect_server(root) as server, connected(server):
        history.hush()
        yield server


def _words(row: Row) -> str:
    return f"{row.project} {row.name!r}: {row.flow} at {row.cron!r} {row.timezone}"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M %Z}"


def _next(row: Row) -> str:
    if row.id is None:
        return "not on the server yet"
    if row.next is not None:
        return _moment(row.next)
    return "see the Prefect UI" if row.active else "paused"


def _remind(common: Common, server: Server, rows: list[Row]) -> None:
    """Says what it takes for a schedule to fire, where that is not there; else nothing ever tells."""
    if rows and server.temporary:
        common.console().print("nothing starts until `modelyard up`", style="yellow")
    elif rows and not server.managed:
        common.console().print("runs start where a worker or `modelyard up` uses this server", style="dim")
