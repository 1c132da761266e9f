"""`modelyard download`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.markup import escape

from flows.commands.options import DEFAULT, Common


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
