"""What is said about a user's data, and what a project is drafted from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.config import Task

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Read as something else than text where they stand bare."""


@dataclass(frozen=True)
class Asked:
    """What the user decided, which nothing overrides; None is for us to find out.

    Attributes:
        target: The column to predict.
        task: Whether it is a class or a number.
        text: The column of texts, which is then all that is learned from.
        why: How it is known what the target is.
    """

    target: str | None = None
    task: Task | None = None
    text: str | None = None
    why: str = "you named it"


@dataclass(frozen=True, kw_only=True)
class Guess:
    """One thing that was decided by looking.

    Attributes:
        what: The setting that it decides, such as `target` or `columns.drop`.
        guess: What was decided, in a word or two.
        evidence: Why, in one sentence with its figures.
        override: The setting that decides otherwise, as `--set` takes it; empty where there is none.
        column: The column that it is about.
        open: Whether a person should look at it; it is then marked in the data card.
    """

    what: str
    guess: str
    evidence: str
    override: str = ""
    column: str | None = None
    open: bool = False

    @property
    def line(self) -> str:
        """The subject, the decision and the reason as one line."""
        return f"{self.column or self.what}: {self.guess}; {self.evidence}"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A project before it is written.

    Attributes:
        tree: The settings, as `project.yaml` will have them; `source.path` stands where the data is now.
        guesses: What was decided, in order.
        expectations: Of the suite.
        rows: How many examples there are.
        facts: Lines of the data card's table: what, and how much of it.
    """

    tree: Mapping[str, Any]
    guesses: tuple[Guess, ...]
    expectations: tuple[Mapping[str, Any], ...]
    rows: int
    facts: tuple[tuple[str, str], ...]

    @property
    def open(self) -> tuple[Guess, ...]:
        """What a person should look at."""
        return tuple(guess for guess in self.guesses if guess.open)


def flow(value: Any) -> str:
    """Plain data on one line, as `strict_yaml` reads it back."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=isinstance(value, str) and not value.isprintable())
