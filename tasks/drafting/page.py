"""`project.yaml` as text: every setting, defaults resolved, with a comment, and what was guessed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.config import Config, presets
from tasks.config.explain import validated
from tasks.config.strict_yaml import parse
from tasks.drafting.guesses import Draft, Guess, flow

WIDTH = 100
TOP = {
    "name": "How the project is called; the folder's name.",
    "task": "regression or classification.",
    "target": "The column that is predicted.",
    "preset": "The one of the presets below that is laid over this file; standard is the file as it stands.",
    "seed": "Of everything that is drawn: the split, the first weights, the order of rows.",
    "source": "Where the data is.",
    "clean": "Operations on one row at a time, in order; they travel with the model.",
    "network": "What learns.",
    "gate": "What a candidate has to show before it is registered; all of it.",
    "steps": "Steps of your own, before or after a stage.",
}
"""What there is no docstring for."""
PRESETS = "What is otherwise where a preset is chosen, as by `--set preset=quick`."


def written(config: Config, draft: Draft, head: str) -> str:
    """The whole file; `strict_yaml` reads it back as `config`.

    Args:
        config: The settings.
        draft: Their reasons, which become comments, and the presets.
        head: The first comment.
    """
    lines = [*_comment(head), ""]
    for key, value in config.model_dump(mode="json", by_alias=True).items():
        field = next(n for n, f in Config.model_fields.items() if key in (n, f.alias))
        lines += _section(key, value, getattr(config, field), draft.guesses)
    lines += ["", *_comment(PRESETS), "presets:"]
    lines += [f"  {name}: {flow(partial)}" for name, partial in draft.tree["presets"].items()]
    text = "\n".join(lines) + "\n"
    read, _ = presets.laid(parse(text, "draft"))
    assert validated(read, Path("draft")) == config, "the page does not say what was decided"
    return text


def _section(key: str, value: Any, model: Any, guesses: Sequence[Guess]) -> list[str]:
    about = TOP.get(key) or _first(inspect.getdoc(type(model)) if isinstance(model, BaseModel) else "")
    lines = [] if key in ("name", "task", "seed", "preset") else [""]
    lines += [*_comment(about), *_reasons(guesses, key)]
    return lines + (
        _block(key, value, model, guesses) if isinstance(model, BaseModel) else _listed(key, value)
    )


def _block(key: str, value: Mapping[str, Any], model: BaseModel, guesses: Sequence[Guess]) -> list[str]:
    """A section, and the sections in it."""
    lines = [f"{key.rpartition('.')[2]}:"]
    for inner, held in value.items():
        nested, below = getattr(model, inner), f"{key}.{inner}"
        about = documentation(type(model)).get(inner, "")
        made = [*_comment(about), *_reasons(guesses, below)]
        made += (
            _block(below, held, nested, guesses) if isinstance(nested, BaseModel) else _listed(inner, held)
        )
        lines += [f"  {line}" for line in made]
    return lines


def _listed(key: str, value: Any) -> list[str]:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [f"{key}:", *(f"  - {flow(item)}" for item in value)]
    if isinstance(value, dict) and len(value) > 1:
        return [f"{key}:", *(f"  {flow(str(name))}: {flow(item)}" for name, item in value.items())]
    return [f"{key}: {flow(value)}"]


def _reasons(guesses: Sequence[Guess], key: str) -> Iterator[str]:
    for guess in guesses:
        if guess.what == key:
            told = guess.line if guess.column else f"{guess.guess}; {guess.evidence}"
            yield from _comment(f"Guess: {told}.")
            if guess.override:
                yield from _comment(f"  else {guess.override}")


def _comment(text: str) -> list[str]:
    shown = "".join(c if c.isprintable() else " " for c in text)
    return [f"# {line}" for line in textwrap.wrap(shown, WIDTH, break_long_words=False)]


def _first(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


@cache
def documentation(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field in the source of a section's class, base classes first."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls.__module__.startswith("tasks.config"):
            found |= _documented(cls)
    return found


def _documented(cls: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and told:
            found[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return found
