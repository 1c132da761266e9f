"""How many rows of each stratum a part gets: shares by the method of the largest remainder."""

from __future__ import annotations

import numpy as np


def quotas(sizes: np.ndarray, total: int, most: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Distribute `total` rows over strata in proportion to their sizes.

    Args:
        sizes: Rows (s,) of each stratum.
        total: Rows to distribute.
        most: Rows (s,) that each stratum can give.
        order: Values (s,) that decide between equal remainders.

    Returns:
        Rows (s,) of each stratum; their sum is `total`, or that of `most` if it is less.
    """
    ideal = sizes * (total / max(1, sizes.sum()))
    given = np.minimum(np.floor(ideal + 1e-9).astype(np.int64), most)
    turns = np.lexsort((order, -np.round(ideal - given, 9)))
    while (left := total - int(given.sum())) > 0 and (given < most).any():
        given[turns[(given < most)[turns]][:left]] += 1
    return np.asarray(given)
