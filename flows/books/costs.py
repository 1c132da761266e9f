"""What a run took, by step and by cause: the table and the document of `modelyard train --profile`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.records import to_json
from tasks.spans import OTHER, Ledger, Spent, measuring

AROUND = "around"
"""Head of what belongs to no step."""
SHOWN = 0.005
"""Seconds below which a cell stays empty."""


@contextmanager
def asked(wanted: bool) -> Iterator[Ledger | None]:
    """Measures the block if that is wanted."""
    with measuring() if wanted else nullcontext() as ledger:
        yield ledger


def document(spent: list[Spent]) -> dict[str, Any]:
    """All of it as plain data: `seconds` is the wall time, and what the rows add up to."""
    return {
        "seconds": round(sum(row.seconds for row in spent), 3),
        "cpu_seconds": round(sum(row.cpu_seconds for row in spent), 3),
        "rows": to_json(
            [
                {
                    "step": row.step or None,
                    "cause": row.cause,
                    "seconds": round(row.seconds, 4),
                    "cpu_seconds": round(row.cpu_seconds, 4),
                }
                for row in spent
            ]
        ),
    }


def show(out: Console, spent: list[Spent]) -> None:
    """Prints a line a cause and a column a step; the dearest first, what has no name last."""
    steps = list(dict.fromkeys(row.step for row in spent if row.step))
    table = Table(title="where the seconds went", title_justify="left", title_style="bold", show_footer=True)
    table.add_column("", footer="all")
    for step in ("", *steps):
        there = [row.seconds for row in spent if row.step == step]
        table.add_column(step or AROUND, justify="right", footer=_cell(sum(there)))
    for head, taken in (("seconds", _wall(spent)), ("CPU s", _cpu(spent))):
        table.add_column(head, justify="right", footer=f"{taken:.2f}")
    for cause in _dearest_first(spent):
        rows = [row for row in spent if row.cause == cause]
        cells = (_cell(sum(r.seconds for r in rows if r.step == step)) for step in ("", *steps))
        table.add_row(cause, *cells, f"{_wall(rows):.2f}", f"{_cpu(rows):.2f}")
    out.print(table)


def _dearest_first(spent: list[Spent]) -> list[str]:
    totals: dict[str, float] = {}
    for row in spent:
        totals[row.cause] = totals.get(row.cause, 0.0) + row.seconds
    return sorted(
        (cause for cause, seconds in totals.items() if seconds >= SHOWN or cause == OTHER),
        key=lambda cause: (cause == OTHER, -totals[cause]),
    )


def _wall(rows: list[Spent]) -> float:
    return sum(row.seconds for row in rows)


def _cpu(rows: list[Spent]) -> float:
    return sum(row.cpu_seconds for row in rows)


def _cell(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds >= SHOWN else ""
