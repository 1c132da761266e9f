"""Everything that validation found about one source, what follows from it, and how it is written down.

`result.json` is for machines, `report.html` for people, `quarantine.csv` for whoever mends the data.
None of them holds a cell value unless the outcomes were made to carry some.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.checks.suite import UNJUDGED, Outcome, Suite
from tasks.dataset import place, position
from tasks.errors import DataRejected
from tasks.records import FileRecord, Finding
from tasks.store import replacing, write_json, write_text
from tasks.tables.bits import Bits

SHOWN = 10
"""Places and warnings that a message lists, at most."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """One source, judged.

    Attributes:
        fingerprint: Of the source's content.
        files: Its files, in the order of the row ids.
        read: Rows read.
        share: Largest share of rows that may be set aside, 0 to 1.
        suite: What was asked.
        outcomes: What came of it, one an expectation.
        findings: Broken rules of our own checks.
        broken: Each rule by which rows are set aside, in order, with those rows.
    """

    fingerprint: str
    files: tuple[FileRecord, ...]
    read: int
    share: float
    suite: Suite
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    broken: dict[str, Bits]

    @cached_property
    def out(self) -> Bits:
        """All rows that were set aside."""
        out = Bits(self.read)
        for rows in self.broken.values():
            out |= rows
        return out

    @property
    def quarantined(self) -> int:
        """Rows that were set aside."""
        return self.out.total()

    @property
    def budget(self) -> int:
        """Rows that may be set aside; the small addend keeps 29 % of 100 rows at 29."""
        return math.floor(self.share * self.read + 1e-9)

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined rows by reason, most frequent first; each row counts once, under its first reason."""
        counts, known = Counter[str](), Bits(self.read)
        for reason, rows in self.broken.items():
            counts[reason] = rows.without(known).total()
            known |= rows
        return {reason: count for reason, count in counts.most_common() if count}

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is carried on: our own warnings, then failed expectations of severity `warn`."""
        own = [finding for finding in self.findings if finding.severity == "warn"]
        return (*own, *(_finding(o) for o in self.outcomes if o.word == "warn"))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Why the data is refused; empty when it is accepted."""
        own = [finding for finding in self.findings if finding.severity == "error"]
        # A suite that was never put to the data only repeats, line by line, what our own checks say.
        judged = [outcome for outcome in self.outcomes if outcome.could_not_run != UNJUDGED]
        asked = [_finding(outcome) for outcome in judged if outcome.word in ("fail", "could not run")]
        return (*own, *asked, *self._over_budget())

    def _over_budget(self) -> list[Finding]:
        if self.quarantined <= self.budget:
            return []
        rows = tuple(row for row, _ in islice(self.listed(), SHOWN))
        message = (
            f"{self.quarantined} of {self.read} rows are bad ({_counted(self.reasons)}), "
            f"but at most {self.budget} may be set aside (validate.quarantine {self.share:g})"
        )
        return [
            Finding(rule="quarantine", severity="error", message=message, count=self.quarantined, rows=rows)
        ]

    def refuse(self, folder: Path) -> None:
        """Raises DataRejected when there is an error; its text names `folder`, where the report lies."""
        if not self.errors:
            return
        told = [error.message + self._places(error) for error in self.errors[:3]]
        if len(self.errors) > len(told):
            told.append(f"and {len(self.errors) - len(told)} more")
        raise DataRejected("; ".join(told), fix=f"see report.html and quarantine.csv in {folder}")

    def _places(self, finding: Finding) -> str:
        """` [one.csv row 3, row 8, two.csv row 1, …]`: a file is named once for the rows that follow."""
        told: list[str] = []
        last = ""
        for row in finding.rows:
            name, number = position(row, self.files)
            told.append(f"row {number}" if name == last and number else place(row, self.files))
            last = name
        more = ", …" if told and (finding.count or 0) > len(told) else ""
        return f" [{', '.join(told)}{more}]" if told else ""

    def write(self, folder: Path) -> None:
        """Writes result.json, report.html and quarantine.csv into an existing folder."""
        write_json(folder / "result.json", self.as_json())
        self._list(folder / "quarantine.csv")
        write_text(folder / "report.html", self._html())

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "outcome": "refused" if self.errors else "accepted",
            "fingerprint": self.fingerprint,
            "files": self.files,
            "suite": {"name": self.suite.name, "file": self.suite.path.name, "sha256": self.suite.digest},
            "rows": {
                "read": self.read,
                "kept": 0 if self.errors else self.read - self.quarantined,
                "quarantined": self.quarantined,
                "budget": self.budget,
            },
            "reasons": self.reasons,
            "errors": self.errors,
            "warnings": self.warnings,
            "evaluated": sum(not outcome.could_not_run for outcome in self.outcomes),
            "expectations": [_plain(outcome) for outcome in self.outcomes],
        }

    def listed(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each row that was set aside, in order, with every rule that it broke."""
        for row in self.out.positions():
            yield row, tuple(reason for reason, rows in self.broken.items() if rows.mask(row, 1)[0])

    def _list(self, path: Path) -> None:
        """Writes `file,row,reason`, a line for each row that was set aside; rows count from 1."""
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "row", "reason"))
            for row, reasons in self.listed():
                writer.writerow((*position(row, self.files), "; ".join(reasons)))

    def _html(self) -> str:
        loader = FileSystemLoader(Path(__file__).parent / "templates")
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        words = [outcome.word for outcome in self.outcomes]
        return environment.get_template("validation.html").render(
            inspection=self,
            lines=list(zip(self.outcomes, words, strict=True)),
            counts=Counter(words),
            places=self._places,
        )


def _finding(outcome: Outcome) -> Finding:
    if outcome.could_not_run:
        told = f"{outcome.title} could not run: {outcome.could_not_run}"
    else:
        told = f"{outcome.title} ({outcome.rule})" if outcome.rule else outcome.title
        told += f" failed{_extent(outcome)}"
    return Finding(
        rule=outcome.type,
        severity="error" if outcome.could_not_run else outcome.severity,
        message=told,
        column=outcome.column,
        count=outcome.unexpected,
        rows=(outcome.rows or ())[:SHOWN],
    )


def _extent(outcome: Outcome) -> str:
    """How far an expectation failed: ` in 5 rows (0.2 %)`, `: observed 4.18`."""
    told = ""
    if outcome.unexpected:
        unit = "value" if outcome.rows is None else "row"
        told = f" in {outcome.unexpected} {unit}{'' if outcome.unexpected == 1 else 's'}"
        told += f" ({outcome.percent:.3g} %)" if outcome.percent else ""
    return f"{told}: observed {outcome.observed}" if outcome.observed else told


def _counted(reasons: dict[str, int]) -> str:
    shown = [f"{reason}: {count}" for reason, count in list(reasons.items())[:3]]
    return ", ".join(shown) + (", …" if len(reasons) > 3 else "")


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "type": outcome.type,
        "column": outcome.column,
        "severity": outcome.severity,
        "success": outcome.success,
        "result": outcome.word,
        "rule": outcome.rule,
        "unexpected_count": outcome.unexpected,
        "unexpected_percent": outcome.percent,
        "observed": outcome.observed or None,
        "could_not_run": outcome.could_not_run or None,
        "examples": outcome.examples,
        "notes": outcome.notes,
    }
