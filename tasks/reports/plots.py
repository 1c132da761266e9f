"""Charts as SVG, drawn from plain numbers.

Charts are made with matplotlib's objects alone: no pyplot, no figure that outlives its function.
Each colour of the palette becomes a CSS variable with that colour as its fallback, so a chart that
stands inside a page follows the page's light or dark theme, and one that stands alone is legible on
both. matplotlib is imported where it is used: its import costs half a second.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tasks.records import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#6a717b", "#858b94", "#b8bdc4"
CALM, ACCENT, WARM = "#8d949e", "#3f7fbf", "#d0803a"
PALETTE = {INK: "ink", MUTED: "muted", LINE: "line", CALM: "calm", ACCENT: "accent", WARM: "warm"}
"""Colour and the CSS variable that a page may replace it with."""

VECTOR_POINTS = 300
"""Beyond so many points a scatter is embedded as a picture: smaller, and quicker to show."""
FAR = 2.5
"""A rung that lies farther off than this many spans of the others is drawn at the edge."""


class Dot(NamedTuple):
    """One row of a dot plot: a value and its interval; the strong one is drawn in colour."""

    name: str
    value: float
    low: float
    high: float
    strong: bool = False


class Panel(NamedTuple):
    """Dots on one scale. `reference` draws a line, at 0 for differences."""

    title: str
    dots: tuple[Dot, ...]
    reference: float | None = None


def intervals(panels: Sequence[Panel]) -> str:
    """Dot plot of values with their intervals, panels side by side.

    A value far from all others would press them into a line; it is drawn as an arrow at the edge,
    with its number. Undefined values leave their row empty.

    Args:
        panels: At least one, each with a dot for every row, from the top.

    Returns:
        A standalone SVG document.
    """
    names = [dot.name for dot in panels[0].dots]
    figure = _figure(0.62 + 0.29 * len(names))
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _style(axis, panel.title)
        axis.xaxis.get_major_locator().set_params(nbins=6)
        low, high = _limits(panel.dots, panel.reference)
        axis.set_xlim(low, high)
        if panel.reference is not None:
            axis.axvline(panel.reference, color=MUTED, linewidth=0.9, zorder=1)
        for y, dot in enumerate(panel.dots):
            _dot(axis, dot, y, low, high)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", pad=9)
    axes[0].set_yticks(range(len(names)), labels=names)
    stands_out = len({dot.strong for dot in panels[0].dots}) > 1
    for label, dot in zip(axes[0].get_yticklabels(), panels[0].dots, strict=True):
        label.set_parse_math(False)
        label.set(color=ACCENT, fontweight="bold") if dot.strong and stands_out else label.set(color=INK)
    return _svg(figure, panels[0].title)


def curves(history: Sequence[Epoch], best: int, metric: str) -> str:
    """Losses, validation metric and learning rate by epoch, the best epoch marked, as SVG."""
    figure = _figure(2.45)
    loss, quality, rate = figure.subplots(1, 3)
    epochs = [entry.epoch for entry in history]
    panels = (
        (loss, "loss", (("train_loss", CALM), ("validation_loss", ACCENT))),
        (quality, f"validation {metric}", (("validation_metric", ACCENT),)),
        (rate, "learning rate", (("learning_rate", CALM),)),
    )
    for axis, title, lines in panels:
        _style(axis, title)
        axis.set_xlabel("epoch", color=MUTED, fontsize=7.5)
        axis.axvline(best, color=WARM, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        for name, color in lines:
            values = [getattr(entry, name) for entry in history]
            marker = "o" if len(history) < 3 else None
            axis.plot(epochs, values, color=color, linewidth=1.5, marker=marker, markersize=3)
            if axis is not rate and best in epochs:
                axis.plot(best, values[epochs.index(best)], "o", color=color, markersize=4.5, zorder=4)
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis is not rate:
            _log_scale(axis, [getattr(entry, lines[-1][0]) for entry in history])
    return _svg(figure, "curves")


def residuals(truth: np.ndarray, predicted: np.ndarray, target: str) -> str:
    """Predicted against true values, and what was missed by against predicted, as SVG.

    Args:
        truth: (n,) float, in units of the target.
        predicted: (n,) float, same units.
        target: Name of the target, for the axes.
    """
    figure = _figure(3.3)
    against, missed = figure.subplots(1, 2)
    style = {"s": 9, "alpha": 0.5, "linewidths": 0, "color": ACCENT, "rasterized": len(truth) > VECTOR_POINTS}
    for axis, title, x, y in (
        (against, f"predicted against true {target}", truth, predicted),
        (missed, "predicted − true, against predicted", predicted, predicted - truth),
    ):
        _style(axis, title)
        axis.grid(visible=True, axis="both", color=LINE, linewidth=0.5, alpha=0.5)
        axis.scatter(x, y, **style)
        axis.xaxis.get_major_locator().set_params(nbins=5)
    against.axline((float(np.median(truth)),) * 2, slope=1, color=WARM, linewidth=1.1)
    missed.axhline(0, color=WARM, linewidth=1.1)
    against.set_xlabel(f"true {target}", color=MUTED, fontsize=7.5, parse_math=False)
    missed.set_xlabel(f"predicted {target}", color=MUTED, fontsize=7.5, parse_math=False)
    return _svg(figure, "residuals")


def words(points: np.ndarray, names: Sequence[str], side: np.ndarray | None) -> str:
    """Map of words as SVG: a dot each, and the names of as many of the first ones as find room.

    Args:
        points: (n, 2) float.
        names: n words, the most worth naming first.
        side: (n,) 0 or 1, which gives the colour; None gives all the same.
    """
    width, height = 7.6, 4.8
    figure = _figure(height)
    axis = figure.subplots()
    _style(axis, "words by their embeddings")
    axis.set(xticks=[], yticks=[])
    axis.spines["bottom"].set_visible(False)
    axis.margins(0.06)
    colors = [ACCENT if side is None or side[i] else WARM for i in range(len(names))]
    axis.scatter(points[:, 0], points[:, 1], s=9, c=colors, alpha=0.75, linewidths=0)
    spans = np.ptp(points, axis=0)
    inches = (points - points.min(axis=0)) / np.where(spans > 0, spans, 1) * (0.88 * width, 0.85 * height)
    look: dict[str, Any] = {"fontsize": 7.5, "va": "center", "textcoords": "offset points"}
    for i in _roomy(inches, names):
        note = axis.annotate(names[i], points[i], (4, 0), color=colors[i], **look)
        note.set_parse_math(False)
    return _svg(figure, "words")


def _roomy(inches: np.ndarray, names: Sequence[str]) -> list[int]:
    """Those whose name, to the right of its point (n, 2), covers none of an earlier one."""
    taken: list[tuple[float, float, float]] = []
    found = []
    for i, ((x, y), name) in enumerate(zip(inches.tolist(), names, strict=True)):
        end = x + 0.08 + sum(0.065 if ord(letter) < 0x1100 else 0.11 for letter in name)
        if all(abs(y - other) > 0.13 or end < left or right < x for left, right, other in taken):
            taken.append((x, end, y))
            found.append(i)
    return found


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(7.6, height), layout="constrained")


def _style(axis: Axes, title: str) -> None:
    _title(axis, title)
    axis.tick_params(colors=MUTED, labelsize=7.5, length=0, pad=4)
    axis.grid(visible=True, color=LINE, linewidth=0.5, alpha=0.6)
    axis.set_axisbelow(True)
    for side, spine in axis.spines.items():
        spine.set(visible=side == "bottom", color=LINE, linewidth=0.7)
    _thousands(axis.xaxis)
    _thousands(axis.yaxis)


def _title(axis: Axes, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=8.5, color=INK, pad=8, parse_math=False)


def _thousands(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: _tick(value))


def _tick(value: float) -> str:
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.6f}".rstrip("0").rstrip(".") if 1e-6 <= abs(value) < 1e-3 else f"{value:g}"
    return text.replace("-", "−")


def _limits(dots: Sequence[Dot], reference: float | None) -> tuple[float, float]:
    """The scale's ends: all dots, less those that lie far from the rest."""
    seen = [dot for dot in dots if math.isfinite(dot.value)]
    while len(seen) > 2:
        spans = []
        for dot in seen:
            others = [reach for other in seen if other is not dot for reach in _reach(other)]
            others += [] if reference is None else [reference]
            gap = max(min(others) - dot.value, dot.value - max(others), 0.0)
            spans.append(gap / (max(others) - min(others) or 1e-12))
        worst = int(np.argmax(spans))
        if spans[worst] <= FAR or seen[worst].strong:
            break
        del seen[worst]
    ends = [reach for dot in seen for reach in _reach(dot)]
    ends += [] if reference is None else [reference]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - margin, high + margin


def _reach(dot: Dot) -> tuple[float, float]:
    return (
        min(dot.value, dot.low) if math.isfinite(dot.low) else dot.value,
        max(dot.value, dot.high) if math.isfinite(dot.high) else dot.value,
    )


def _dot(axis: Axes, dot: Dot, y: int, low: float, high: float) -> None:
    if not math.isfinite(dot.value):
        axis.text(low, y, "  undefined", color=MUTED, fontsize=7.5, va="center")
        return
    color = ACCENT if dot.strong else CALM
    if not low <= dot.value <= high:
        left = dot.value < low
        edge = low if left else high
        axis.plot(edge, y, "<" if left else ">", color=color, markersize=5, clip_on=False)
        words = _tick(float(f"{dot.value:.3g}") if abs(dot.value) < 1000 else dot.value)
        look: dict[str, Any] = {"color": MUTED, "fontsize": 7.5, "va": "center"}
        look["ha"] = "left" if left else "right"
        axis.annotate(words, (edge, y), (8 if left else -8, 0), textcoords="offset points", **look)
        return
    axis.plot(_reach(dot), (y, y), color=color, linewidth=2.2, solid_capstyle="round", zorder=2)
    axis.plot(dot.value, y, "o", color=color, markersize=6 if dot.strong else 5, zorder=3)


def _log_scale(axis: Axes, values: Sequence[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 15 * min(finite):
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.set_title(
            f"{axis.get_title(loc='left')} (log scale)", loc="left", fontsize=8.5, color=INK, pad=8
        )
        _thousands(axis.yaxis)


def _svg(figure: Figure, name: str) -> str:
    import matplotlib  # noqa: PLC0415

    # Text stays text; the same chart has the same bytes, and no id of another chart in the page.
    settings = {"svg.fonttype": "none", "svg.hashsalt": name}
    buffer = io.StringIO()
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the measuring font lacks
        figure.savefig(buffer, format="svg", transparent=True, dpi=190)
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text[text.index("<svg") :])
    text = re.sub(
        r' id="[a-zA-Z0-9.]+_\d+"', "", text
    )  # unused, and no longer unique with two charts in a page
    for color, variable in PALETTE.items():
        text = text.replace(color, f"var(--{variable}, {color})")
    # A hundredth of a point is enough; labels keep every digit.
    return re.sub(r' (d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
