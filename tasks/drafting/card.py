"""The data card of a drafted project: what the data shows, and questions that only a person can answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.config import Config
from tasks.drafting.guesses import Draft, Guess

SHOWN_FILES = 20


def written(config: Config, draft: Draft, files: Mapping[str, str], origin: str) -> str:
    """README.md of the project.

    Args:
        config: The settings.
        draft: What was seen.
        files: Every file of the data below the project, with its sha256.
        origin: Where the data was taken from.
    """
    facts = [("What", f"{draft.rows:,} examples"), ("Target", f"`{_cell(config.target)}`, {config.task}")]
    facts += [*draft.facts, ("Metric", f"`{config.evaluate.metric}`")]
    return "\n".join(
        [
            f"# Data card: {config.name}",
            "",
            "Drafted by `modelyard new` from the data alone. **Open** marks what only a person can answer.",
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {_cell(value)} |" for name, value in facts),
            "",
            "## Origin and licence",
            "",
            f"Taken from `{origin}`.",
            "",
            "- **Open:** who made the data, when, and how?",
            "- **Open:** under which licence may it be used, and by whom may it be seen?",
            "",
            "## Target",
            "",
            f"`{_cell(config.target)}`: {_target(draft)}.",
            "",
            "- **Open:** what does a value mean, in which unit, and when is it known?",
            "- **Open:** is every other column known at the moment when a prediction is asked for?",
            "",
            "## What was decided by looking",
            "",
            *_decided(draft.guesses),
            "",
            "## Known faults",
            "",
            *_faults(draft),
            "",
            "## Files",
            "",
            *_files(files),
            "",
            "`.gitignore` keeps `raw/` and `work/` out of git; take its line `raw/` away to commit the data.",
            "",
        ]
    )


def _target(draft: Draft) -> str:
    return next(
        (guess.evidence for guess in draft.guesses if guess.what == "task"), "the class of each example"
    )


def _decided(guesses: Iterable[Guess]) -> list[str]:
    lines = []
    for guess in guesses:
        lines.append(f"- {_cell(guess.line)}." + (f" Else `{guess.override}`." if guess.override else ""))
    return lines


def _faults(draft: Draft) -> list[str]:
    asked = [f"- **Open:** {_cell(guess.line)}." for guess in draft.open]
    return asked or ["- **Open:** none was seen by looking; are any known?"]


def _files(files: Mapping[str, str]) -> list[str]:
    shown = [f"- `{path}`: sha256 `{sha256}`" for path, sha256 in list(files.items())[:SHOWN_FILES]]
    left = len(files) - len(shown)
    return [*shown, f"- and {left:,} more"] if left else shown


def _cell(text: str) -> str:
    """Text that can't end a cell or a line of Markdown."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|")
