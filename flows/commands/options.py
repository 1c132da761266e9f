"""Options that every command has."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from flows import roots, terminal
from tasks.own import extension


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Where to work and how to speak.

    Attributes:
        root: Folder that holds data/; found from the working directory when absent.
        json: Print exactly one JSON document on standard output.
        debug: Show tracebacks and what the libraries log.
    """

    root: Path | None = None
    json: Annotated[bool, Parameter(negative="")] = False
    debug: Annotated[bool, Parameter(negative="")] = False

    @property
    def place(self) -> Path:
        """The root, found."""
        return roots.find_root(self.root)

    def console(self) -> Console:
        """Where lines for people go: standard output, or standard error beside a document."""
        return terminal.console(stderr=self.json)

    def reads(self) -> None:
        """Say of a command that only reads which of the project's own parts it imports all the same."""
        out = terminal.console(stderr=True)
        extension.announce(lambda told: out.print(f"note: {escape(told)}", soft_wrap=True))

    def answer(self, value: Any) -> None:
        """Prints the one document of `--json`."""
        if self.json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


DEFAULT = Common()

Sourced = Annotated[
    Path | None,
    Parameter(
        help="Data that replaces the project's own: a table, a folder of Parquet or IDX files, or of class "
        "folders with pictures."
    ),
]
"""`--source`."""
Settings = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="Setting that replaces the project's own, as dotted.key=value; may be repeated.",
    ),
]
"""`--set`."""
StepName = Literal["validate", "clean", "split", "fit", "evaluate"]
Forced = Annotated[list[StepName] | None, Parameter(negative="")]
"""`--force`: steps that run again, whatever was done before."""
