"""`modelyard evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.markup import escape

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common
from tasks import config
from tasks.wording import decimals, number


def evaluate(
    project: str,
    *,
    data: Annotated[Path, Parameter(name="--data")],
    version: Annotated[int | None, Parameter(name="--version", validator=validators.Number(gte=1))] = None,
    common: Common = DEFAULT,
) -> None:
    """Score a version on new labelled data; changes nothing.

    Parameters
    ----------
    project
        Folder name below data/.
    data
        Rows with the target: a table, a folder of Parquet files, of IDX files, or of class folders with
        pictures.
    version
        Version of the model, instead of the champion.
    """
    config.source_at(data, "--data")  # so that the option is named where nothing is there
    loaded = config.load(common.place, project, source=data)
    from flows.scoring import evaluating  # noqa: PLC0415

    document = evaluating.evaluate(loaded, common.place, data, version)
    _show(common, document)
    common.answer(outcome.finite(document))


def _show(common: Common, document: dict[str, Any]) -> None:
    out, rows, model = common.console(), document["data"], document["model"]
    title = f"{model['name']} version {model['version']} on {rows['scored']:,} rows of {rows['file']}"
    out.print(escape(title), style="bold", soft_wrap=True)
    out.print(terminal.table("", [_line(name, m) for name, m in document["metrics"].items()]))
    for note in document["notes"]:
        out.print(f"  [yellow]![/] {escape(note)}", soft_wrap=True)


def _line(name: str, measure: dict[str, float]) -> dict[str, str]:
    places = decimals(measure["value"], measure["low"], measure["high"])
    low, high = (number(measure[end], places) for end in ("low", "high"))
    return {"metric": name, "value": number(measure["value"], places), "interval": f"{low} … {high}"}
