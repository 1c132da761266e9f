"""Numbers, durations and sizes as people read them."""

from __future__ import annotations

import math
from datetime import timedelta

MINUS = "−"


def decimals(value: float, low: float, high: float) -> int:
    """Digits after the point that `value` deserves: two significant ones of its interval's half width.

    Without a usable interval: four significant digits of the value.
    """
    half = (high - low) / 2
    if math.isfinite(half) and half > 0:
        return min(max(1 - math.floor(math.log10(half)), 0), 6)
    if not math.isfinite(value) or value == 0:
        return 3
    return min(max(3 - math.floor(math.log10(abs(value))), 0), 6)


def number(value: float | None, places: int | None = None) -> str:
    """`value` with thousands separators; four significant digits unless `places` says how many decimals."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if places is None and (isinstance(value, int) or abs(value) >= 1000):
        text = f"{value:,.0f}"
    elif places is None:
        text = f"{value:.4g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"
    else:
        text = f"{value:,.{places}f}"
    return text.replace("-", MINUS)


def signed(value: float, places: int | None = None) -> str:
    """`number` with a plus sign before what is above zero."""
    return f"+{number(value, places)}" if value > 0 else number(value, places)


def share(part: float, whole: float) -> str:
    """`part` of `whole` as a percentage with one decimal that never rounds to none or to all."""
    if not whole or math.isnan(part):
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return "> 99.9 %" if 99.95 <= percent < 100 else f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as `0.04 s`, `4.2 s`, `1 min 20 s` or `2 h 5 min`."""
    if seconds < 59.95:
        return f"{seconds:.{2 if seconds < 1 else 1}f} s"
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(int(whole.total_seconds()), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def size(count: int) -> str:
    """A number of bytes as `812 B`, `24 kB` or `1.3 MB` (powers of 1,000)."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:,.0f} kB" if count < 999_500 else f"{count / 1_000_000:,.1f} MB"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
