"""What lies at a path: a table, IDX files, pictures or texts, told by names and a few bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tasks.cleaning.reading import is_text
from tasks.config.data import LINES, PICTURES, TEXTS
from tasks.drafting.guesses import Guess
from tasks.errors import ConfigError, quoted
from tasks.sources import files, table

Kind = Literal["table", "idx", "images", "texts"]
LOOKED_AT = 1000
"""Files of a folder, or values of a column, that are looked at to tell its kind."""


def kind_of(place: Path) -> tuple[Kind, str]:
    """What lies at `place`, and by what it was told.

    Raises:
        ConfigError: Nothing is there, or a folder with nothing that is known.
    """
    if not place.exists():
        raise ConfigError(f"{quoted(str(place))}: no such file or folder", fix="name your data")
    if not place.is_dir():
        if table.ending(place.name) in LINES:
            return "texts", "a file of JSON lines"
        return "table", "one file"
    return _of_folder(place)


def _of_folder(folder: Path) -> tuple[Kind, str]:
    here = [path.name for path in folder.iterdir() if path.name[0] not in "._"]
    if any("ubyte" in name for name in here):
        return "idx", "files named as MNIST's are"
    endings = [_ending(name) for name in here]
    if any(ending in table.PARQUET for ending in endings):
        return "table", f"{sum(e in table.PARQUET for e in endings)} Parquet files"
    below = [_ending(path.name) for path in islice(_below(folder), LOOKED_AT)]
    pictures = sum(ending in PICTURES for ending in below)
    texts = sum(ending in TEXTS for ending in below)
    if pictures > texts:
        return "images", "a folder for each class, with pictures in them"
    if texts:
        return "texts", "a folder for each class, with a text a file"
    if {*PICTURES} & {*endings} and {".csv", ".tsv"} & {*endings}:
        return "images", "a table that lists pictures, and pictures beside it"
    tables = sorted(name for name in here if table.ending(name) in (*table.TEXT, *LINES))
    if tables:
        shown = " | ".join(str(folder / name) for name in tables[:5])
        raise ConfigError(f"which of these files is meant? {shown}", fix="name one of them as PATH")
    raise ConfigError(
        f"{files.shown(folder)}: nothing in it is known; expected a table (CSV, TSV, Parquet), IDX files, "
        "or a folder for each class with pictures (PNG, JPEG, …) or texts (.txt) in it",
        fix="name a file, or another folder",
    )


def _below(folder: Path) -> Iterator[Path]:
    """Files in class folders, of an official split or not."""
    for pattern in ("*/*", "*/*/*"):
        yield from (path for path in folder.glob(pattern) if path.is_file() and path.name[0] != ".")


def _ending(name: str) -> str:
    return Path(name).suffix.lower()


def picture_column(rows: pd.DataFrame, folder: Path) -> str | None:
    """The column of a table that lists pictures which lie beside it, if there is one."""
    for name in rows.columns:
        if not is_text(rows[name]):
            continue
        some = rows[name].dropna().head(20)
        named = [cell for cell in some if isinstance(cell, str) and _ending(cell) in PICTURES]
        if named and len(named) == len(some) and any((folder / cell).is_file() for cell in named):
            return str(name)
    return None


def source(kind: Kind, place: Path) -> dict[str, Any]:
    """The section `source` for the data where it is."""
    return {"kind": kind, "path": str(place.resolve())}


def guess(kind: Kind, why: str) -> Guess:
    """What is said about the kind."""
    words = {"table": "a table", "idx": "pictures in IDX files", "images": "pictures", "texts": "texts"}
    return Guess(what="source.kind", guess=words[kind], evidence=why)
