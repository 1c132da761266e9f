"""What a run took, as a table and as a document."""

from __future__ import annotations

import io

from rich.console import Console

from flows.books import costs
from tasks.spans import Spent

SPENT = [
    Spent("", "other", 1.0, 0.5),
    Spent("", "import torch", 2.0, 2.0),
    Spent("fit", "training", 8.0, 7.5),
    Spent("fit", "import torch", 0.5, 0.25),
    Spent("fit", "git", 0.001, 0.0),
]


def test_the_document_adds_up() -> None:
    made = costs.document(SPENT)
    assert made["seconds"] == 11.501
    assert made["cpu_seconds"] == 10.25
    assert made["rows"][0] == {"step": None, "cause": "other", "seconds": 1.0, "cpu_seconds": 0.5}
    assert sum(row["seconds"] for row in made["rows"]) == made["seconds"]


def test_the_table_has_the_dearest_first_and_the_rest_last() -> None:
    out = io.StringIO()
    costs.show(Console(file=out, width=100), SPENT)
    lines = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert [line[0] for line in cells] == ["training", "import torch", "other", "all"]
    assert cells[1] == ["import torch", "2.00", "0.50", "2.50", "2.25"]
    assert cells[-1] == ["all", "3.00", "8.50", "11.50", "10.25"]


def test_nobody_measures_unless_asked() -> None:
    with costs.asked(False) as ledger:
        assert ledger is None
