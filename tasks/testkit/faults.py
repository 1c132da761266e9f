"""Faults to put into a table, one function each: does what should notice notice?

Each answers a changed copy; which rows are hit is drawn by `seed`, `share` of them and at least one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def null(rows: pd.DataFrame, column: str, share: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Cells of a column go missing."""
    changed = rows.copy()
    hit = _hit(rows, share, seed)
    if pd.api.types.is_integer_dtype(rows[column].dtype):
        changed[column] = changed[column].astype("float64")
    changed[column] = changed[column].mask(hit)
    return changed


def corrupt(rows: pd.DataFrame, column: str, share: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Cells of a column become text that is no value of it, as a broken export writes; so it all is text."""
    changed = rows.copy()
    texts = rows[column].astype("str")
    changed[column] = texts.mask(_hit(rows, share, seed), "#REF!\u0000" if len(rows) > 1 else "#REF!")
    return changed


def drift(rows: pd.DataFrame, column: str, by: float = 2.0) -> pd.DataFrame:
    """A column moves: numbers by so many standard deviations; of a category's cells the share `by / (1 + by)`
    become its first value.
    """
    changed, values = rows.copy(), rows[column]
    if pd.api.types.is_numeric_dtype(values.dtype):
        changed[column] = values.astype("float64") + by * float(values.std())
        return changed
    first = values.dropna().sort_values().iloc[0]
    changed[column] = values.mask(_hit(rows, by / (1.0 + by), 0), first)
    return changed


def leak(rows: pd.DataFrame, target: str, name: str = "leaked", noise: float = 0.01) -> pd.DataFrame:
    """A column that tells the target: its value with a little noise, or a code for its label."""
    values = rows[target]
    if pd.api.types.is_numeric_dtype(values.dtype):
        told = values + np.random.default_rng(0).normal(0, noise * float(values.std()) + 1e-12, len(rows))
    else:
        told = pd.Series(pd.factorize(values, sort=True)[0].astype("float64"), index=rows.index)
    return rows.assign(**{name: told})


def nan(rows: pd.DataFrame, column: str, share: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Numbers of a column become not-a-number and, by turns, infinite in both directions."""
    changed = rows.copy()
    values = rows[column].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    hit = np.flatnonzero(_hit(rows, share, seed))
    values[hit] = np.resize([np.nan, np.inf, -np.inf], len(hit))
    changed[column] = values
    return changed


def _hit(rows: pd.DataFrame, share: float, seed: int) -> np.ndarray:
    """(n,) bool: the rows that are hit."""
    count = min(len(rows), max(1, round(share * len(rows))))
    hit = np.zeros(len(rows), dtype=bool)
    hit[np.random.default_rng(seed).permutation(len(rows))[:count]] = True
    return hit
