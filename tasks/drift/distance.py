"""How far rows have moved from a profile: the population stability index, and what chance does to it.

With shares e of the profile and a of the rows in the same bins, PSI = sum((a - e) * ln(a / e)): the
index of credit scoring (Siddiqi, Credit Risk Scorecards, 2006), read as "nothing moved" below 0.1 and
"much did" above 0.25. Both readings suppose many rows. Under no drift at all PSI is about
(1/n + 1/m) times a chi-square variable with bins - 1 degrees of freedom (Yurdakul and Naranjo,
Statistical properties of the population stability index, 2020), so 50 rows in 11 bins show 0.2 on
average where nothing moved. A column has drifted when it is beyond the threshold and beyond chance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.drift.profile import Column, Profile, counts
from tasks.errors import DataRejected, did_you_mean, quoted
from tasks.records import Drift, Shift

FEWEST_ROWS = 50
"""Below so many rows only an upheaval would be seen, so nothing is measured."""
FALSE_ALARM = 0.01
"""Probability that rows without drift raise an alarm by chance, over all columns together."""
SMOOTHING = 0.5
"""Added to every bin's count, so that an empty bin has a logarithm."""
SHOWN = 10
"""Columns that are told, those that moved most."""


def compare(profile: Profile, rows: pd.DataFrame, *, threshold: float, optional: str) -> Drift:
    """How far raw rows have moved from what a model learned from.

    Args:
        profile: Of the rows that it learned from.
        rows: Raw rows of the same source.
        threshold: PSI beyond which a column has drifted, chance permitting.
        optional: Column that may be absent: the target, in rows that have no label yet.

    Raises:
        DataRejected: A column is missing.
    """
    for column in profile.columns:
        if column.name not in rows.columns and column.name != optional:
            known = [str(name) for name in rows.columns]
            raise DataRejected(
                f"no column {quoted(column.name)}, which the champion was trained with",
                fix=did_you_mean(column.name, known),
            )
    present = [column for column in profile.columns if column.name in rows.columns]
    shifts, unfamiliar = [], dict[str, int]()
    for column in present:
        before, now = np.array(column.counts), counts(column, rows[column.name])
        if strange := _unlike(column, before, now):
            unfamiliar[column.name] = strange
        chance = by_chance(before, now, FALSE_ALARM / len(present))
        shifts.append(Shift(column=column.name, psi=psi(before, now), chance=chance))
    shifts.sort(key=lambda shift: (-(shift.psi - max(shift.chance, threshold)), shift.column))
    moved = sum(shift.psi > max(shift.chance, threshold) for shift in shifts)
    return Drift(
        rows=len(rows),
        trained_on=profile.rows,
        threshold=threshold,
        moved=moved,
        columns=tuple(shifts[:SHOWN]),
        unfamiliar=unfamiliar,
    )


def _unlike(column: Column, before: np.ndarray, now: np.ndarray) -> int:
    """Count gaps where training saw none, and new categories where the profile names all that it saw."""
    gaps = 0 if before[-1] else int(now[-1])
    new = 0 if column.edges is not None or before[-2] else int(now[-2])
    return gaps + new


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index of counts (bins,) against counts (bins,) of the same bins."""
    used = (before + now) > 0
    expected = (before[used] + SMOOTHING) / (before[used] + SMOOTHING).sum()
    actual = (now[used] + SMOOTHING) / (now[used] + SMOOTHING).sum()
    return float(((actual - expected) * np.log(actual / expected)).sum())


def by_chance(before: np.ndarray, now: np.ndarray, probability: float) -> float:
    """PSI that counts (bins,) exceed with `probability` where nothing has moved."""
    from scipy.special import chdtri  # noqa: PLC0415 - a quarter of a second that most decisions save

    bins = int(((before + now) > 0).sum())
    if bins < 2:
        return 0.0
    return float((1 / before.sum() + 1 / now.sum()) * chdtri(bins - 1, probability))
