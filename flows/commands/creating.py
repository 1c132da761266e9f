"""`modelyard new`, and `modelyard download`: a project from data, and data for one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from flows.commands.options import DEFAULT, Common


def new(
    name: str,
    path: Path,
    *,
    target: str | None = None,
    task: Literal["classification", "regression"] | None = None,
    text: str | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Make a project from your data; says what it found, what it refuses to use, and how to decide otherwise.

    Parameters
    ----------
    name
        What the project is to be called; its folder below data/.
    path
        A table (CSV, TSV, Parquet, a folder of Parquet), IDX files, or pictures or texts: a folder for
        each class, a table that lists pictures, a table with a column of texts, JSON lines.
    target
        The column to predict; guessed when absent, where it can be told.
    task
        Whether the target is a class or a number; guessed when absent.
    text
        The column of texts, which is then all that is learned from.
    dry_run
        Say what would be decided and write nothing.
    """
    from tasks.drafting import folder, looking  # noqa: PLC0415
    from tasks.drafting.guesses import Asked  # noqa: PLC0415

    root = common.place
    home = folder.check_name(root, name)
    draft = looking.draft(path, Asked(target, task, text))
    config = folder.config(name, draft, str(path))
    out = common.console()
    for guess in draft.guesses:
        _show(out, guess)
    if not dry_run:
        folder.write(root, name, draft, path)
    _tell(out, name, home.relative_to(root), dry_run=dry_run)
    document: dict[str, Any] = {
        "project": name,
        "folder": None if dry_run else str(home),
        "rows": draft.rows,
        "decisions": [{**vars(guess)} for guess in draft.guesses],
        "config": config.model_dump(mode="json", by_alias=True),
        "presets": draft.tree["presets"],
    }
    common.answer(document)


def _show(out: Console, guess: Any) -> None:
    mark = "[yellow]?[/]" if guess.open else "[green]·[/]"
    out.print(f"{mark} {escape(guess.line)}", soft_wrap=True)
    if guess.override:
        out.print(f"    [dim]else {escape(guess.override)}[/]", soft_wrap=True)


def _tell(out: Console, name: str, home: Path, *, dry_run: bool) -> None:
    if dry_run:
        out.print("nothing was written", soft_wrap=True)
        return
    out.print(escape(f"made    {home}: project.yaml, expectations.json, README.md"), soft_wrap=True)
    out.print(f"next    modelyard check {name}", soft_wrap=True)
    out.print(f"        modelyard train {name}", soft_wrap=True)


def download(name: Literal["mnist"], folder: Path | None = None, *, common: Common = DEFAULT) -> None:
    """Fetch a public data set that is too large to ship.

    Parameters
    ----------
    name
        mnist: 60,000 + 10,000 handwritten digits, about 11 MB, checked against published checksums.
    folder
        Where it goes; data/digits/raw/mnist when absent.
    """
    from tasks.sources.download import download_mnist  # noqa: PLC0415

    place = (folder or common.place / "data" / "digits" / "raw" / name).resolve()
    download_mnist(place)
    files = sorted(path.name for path in place.iterdir() if path.is_file())
    out = common.console()
    out.print(escape(f"{len(files)} files in {place}"), soft_wrap=True)
    out.print(escape(f"next    modelyard train digits --source {place}"), soft_wrap=True)
    common.answer({"name": name, "folder": str(place), "files": files})
