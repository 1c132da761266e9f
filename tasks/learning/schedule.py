"""How many epochs, and how large each step's change is."""

from __future__ import annotations

import math

from tasks.config import Fit


def planned_epochs(settings: Fit, rows: int) -> int:
    """Epochs that the schedule is laid over: `epochs`, or fewer where `max_examples` runs out first."""
    if settings.max_examples is None:
        return settings.epochs
    return max(1, min(settings.epochs, round(settings.max_examples / max(rows, 1))))


def learning_rate(step: int, steps: int, settings: Fit) -> float:
    """Learning rate of one step.

    one_cycle: a cosine from a tenth of the peak up to it over the first fifth of the steps, then down
    to a thousandth (Smith & Topin, 2018). cosine: 100 linear warm-up steps (at most a tenth of all),
    then a cosine to zero (Loshchilov & Hutter, 2017).
    """
    peak = settings.learning_rate
    if settings.schedule == "constant" or steps <= 1:
        return peak
    if settings.schedule == "one_cycle":
        warm = max(1, round(0.2 * steps))
        if step < warm:
            return _cosine(peak / 10, peak, step / warm)
        return _cosine(peak, peak / 1000, (step - warm) / max(1, steps - warm))
    warm = min(100, max(1, steps // 10))
    if step < warm:
        return peak * (step + 1) / warm
    return _cosine(peak, 0.0, (step - warm) / max(1, steps - warm))


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * part))
