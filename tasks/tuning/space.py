"""What is searched where a project does not say it: values around its present ones, by kind of network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tasks.config import Config, Values
from tasks.config.sweeping import refusal

OF_NETWORK: dict[str, tuple[str, ...]] = {
    "neuron": (),
    "mlp": ("hidden", "dropout", "bins"),
    "cnn": ("widths",),
    "rnn": ("hidden", "embedding", "dropout", "word_dropout"),
    "wide": ("linear", "bayes"),
    "wide_deep": ("linear", "recurrent", "hidden", "dropout", "word_dropout"),
    "encoder": ("dropout", "head_rate"),
}
"""Options of a network that are worth a search, beside learning rate, weight decay and batch size."""

DIGITS = 3
"""Significant digits of a number that is drawn: a winner is to be read, and finer ones decide nothing."""


def space_of(config: Config) -> dict[str, Values]:
    """The project's own space, or a default around its present settings; never empty.

    Learning rate from an eighth to four times the present one, weight decay from 1e-4 to 0.3, batches and
    widths from half to twice the present, dropout from 0 to 0.6.
    """
    if config.sweep.space:
        return dict(config.sweep.space)
    rate = config.fit.learning_rate
    found = {
        "fit.learning_rate": Values(low=_rounded(rate / 8), high=_rounded(rate * 4), log=True),
        "fit.weight_decay": Values(low=1e-4, high=0.3, log=True),
        "fit.batch_size": _around("fit.batch_size", config.fit.batch_size, config.searched),
    }
    for name in OF_NETWORK.get(config.network.kind, ()):
        key = f"network.{name}"
        found[key] = _around(key, present(config, key), config.searched)
    return {key: values for key, values in found.items() if values is not None}


def _around(key: str, now: Any, sections: Mapping[str, BaseModel]) -> Values | None:
    """Values near the present one; None where there is nothing to scale."""
    if key.endswith("dropout"):
        return Values(low=0.0, high=0.6, step=0.05)
    if isinstance(now, float):
        return Values(low=_rounded(now / 4), high=_rounded(now * 4), log=True) if now > 0 else None
    scaled = [_times(now, factor) for factor in (0.5, 1, 2)]
    if key == "network.hidden" and isinstance(now, tuple):
        scaled.append([*now, now[-1]])  # a layer more
    fitting = [value for value in scaled if value and not refusal(key, value, sections)]
    distinct = [value for i, value in enumerate(fitting) if value not in fitting[:i]]
    return Values(choices=tuple(distinct)) if len(distinct) > 1 else None


def _times(now: Any, factor: float) -> Any:
    if isinstance(now, tuple):
        return [max(1, int(width * factor)) for width in now]
    return int(now * factor)


def present(config: Config, key: str) -> Any:
    """The value that a setting has now, by its dotted key; None where it has none."""
    first, *path = key.split(".")
    value: Any = config.searched[first]
    for part in path:
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def drawn(value: Any, values: Values) -> Any:
    """A number as it is tried and written: rounded, and still within its bounds."""
    if not isinstance(value, float) or values.low is None or values.high is None:
        return value
    return min(max(_rounded(value), values.low), values.high)


def whole(key: str, values: Values, config: Config) -> bool:
    """Whether only whole numbers are drawn: both bounds are, and the setting takes no others."""
    if not isinstance(values.low, int) or not isinstance(values.high, int):
        return False
    return key.startswith("network.options.") or bool(refusal(key, values.in_between, config.searched))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
