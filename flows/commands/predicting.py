"""`modelyard predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.markup import escape

from flows.commands.options import DEFAULT, Common
from tasks import config


def predict(
    project: str,
    file: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    model_version: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Predict a file's rows with a project's champion; rows that can't be read get an error.

    Parameters
    ----------
    project
        Folder name below data/.
    file
        A table, or a folder of IDX files.
    output
        Where the answers go: a name that ends in .csv or .parquet.
    model_version
        Version of the model, instead of the champion.
    force
        Replace an output that is there.
    """
    loaded = config.load(common.place, project).config
    from flows.predict import check_output  # noqa: PLC0415
    from flows.predict import predict as run  # noqa: PLC0415

    check_output(output, force=force)
    done = run(loaded, common.place, file, output, version=model_version, force=force)
    out = common.console()
    model = f"{done.model.name} version {done.model.version}"
    bad = f", {done.bad:,} of them with an error" if done.bad else ""
    out.print(escape(f"{done.rows:,} rows{bad}, by {model}, in {done.output}"), soft_wrap=True)
    common.answer(
        {
            "project": project,
            "model": {"name": done.model.name, "version": done.model.version},
            "output": str(done.output),
            "rows": done.rows,
            "bad": done.bad,
        }
    )
