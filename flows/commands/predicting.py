"""`modelyard predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from flows.commands.options import DEFAULT, Common
from tasks import config


def predict(
    project: str,
    source: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    model_version: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Predict the rows of a file or folder with a project's champion; bad rows get an error.

    Parameters
    ----------
    project
        Folder name below data/.
    source
        A table (CSV, TSV, Parquet), a folder of tables or of IDX files, a picture, or a folder of pictures
        at any depth.
    output
        Where the answers go: a name that ends in .csv or .parquet.
    model_version
        Version of the model, instead of the champion.
    force
        Replace an output that is there.
    """
    loaded = config.load(common.place, project).config
    from flows.scoring import streaming  # noqa: PLC0415

    out = common.console()
    with _progress(out) as tell:
        done = streaming.predict(
            loaded, common.place, source, output, version=model_version, force=force, tell=tell
        )
    out.print(escape(done.sentence), soft_wrap=True)
    if done.warning:
        out.print(f"  [yellow]![/] {escape(done.warning)}", soft_wrap=True)
    if done.bounded is False:
        text = f"version {done.model.version} carries no prediction interval: there is no low and high"
        out.print(f"  [yellow]![/] {text}", soft_wrap=True)
    common.answer(done.document(project))


class _Rows(ProgressColumn):
    """Rows so far, and how many a second."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        speed = task.finished_speed or task.speed
        return Text(f"{task.completed:,.0f} rows" + (f"  {speed:,.0f} rows/s" if speed else ""))


@contextmanager
def _progress(out: Console) -> Iterator[Callable[[int], None]]:
    """A bar that is told of rows; off a terminal nothing is shown."""
    if not out.is_terminal:
        yield lambda _: None
        return
    with Progress(BarColumn(), _Rows(), TimeElapsedColumn(), console=out, transient=True) as bar:
        task = bar.add_task("predict", total=None)
        yield lambda rows: bar.advance(task, rows)
