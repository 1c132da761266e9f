"""A cleaning operation of a project's own: what it is shown, and what it may answer.

It is shown what is there at prediction: never the target, which it could neither see nor mend then. It
travels inside the model, so pandas and numpy only, like the operations beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import ConfigError, quoted
from tasks.own import extension


def applied(
    rows: pd.DataFrame, name: str, options: Mapping[str, Any], place: str, hidden: Collection[str]
) -> pd.DataFrame:
    """The rows as the operation leaves them, hidden columns as they were.

    Args:
        rows: Rows under unique ids; the frame is not changed.
        name: The operation's import path.
        options: What it is given by name.
        place: Where it stands in the settings, for messages.
        hidden: Columns that it is not shown.

    Raises:
        ConfigError: It raised, or answered anything but a frame of the same rows.
    """
    shown = rows.drop(columns=[column for column in rows.columns if column in hidden])
    return checked(extension.call(name, place, shown, **options), rows, name, place, hidden)


def checked(made: Any, rows: pd.DataFrame, name: str, place: str, hidden: Collection[str]) -> pd.DataFrame:
    """The same for what the operation `made` of the rows that it was shown."""
    kept = [column for column in rows.columns if column in hidden]
    if not isinstance(made, pd.DataFrame):
        raise ConfigError(f"{place}: {quoted(name)} answered {type(made).__name__}, not a DataFrame")
    if not made.index.equals(rows.index):
        raise ConfigError(
            f"{place}: {quoted(name)} answered {len(made)} rows, not the {len(rows)} that it was given",
            fix="an operation answers every row, in order; `keep` and `only` drop rows",
        )
    if not made.columns.is_unique or not all(isinstance(column, str) for column in made.columns):
        raise ConfigError(f"{place}: {quoted(name)} answered column names that are no text, or not unique")
    if taken := [column for column in made.columns if column in kept]:
        raise ConfigError(f"{place}: {quoted(name)} answered {quoted(taken[0])}, which it is not shown")
    before = [column for column in rows.columns if column in made.columns or column in kept]
    added = [column for column in made.columns if column not in before]
    return made.assign(**{column: rows[column] for column in kept})[[*before, *added]]


def changes(before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    """How many cells of each row (n,) became others; each cell of a new column is one unless it is empty."""
    found = np.zeros(len(after), dtype=np.int64)
    for name in after.columns:
        now = after[name]
        if name not in before.columns:
            found += now.notna().to_numpy()
        elif not now.equals(before[name]):
            same = now.astype(object).to_numpy() == before[name].astype(object).to_numpy()
            gaps = now.isna().to_numpy() & before[name].isna().to_numpy()
            found += ~(np.asarray(same, dtype=bool) | gaps)
    return found
