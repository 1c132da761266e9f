"""Pictures as PNG, made from plain numbers, a pixel each; the page enlarges them."""

from __future__ import annotations

import io
import math

import numpy as np

from tasks.reports.plots import ACCENT, WARM

FILTERS = 64
"""Most filters of a layer that are shown."""
SIDE = 112
"""Longest side of an example's picture, in pixels; larger ones are thinned out."""


def picture(pixels: np.ndarray) -> bytes:
    """One example as PNG. Shapes: uint8 (height, width) or (height, width, 3)."""
    step = max(1, math.ceil(max(pixels.shape[:2]) / SIDE))
    small = np.asarray(pixels[::step, ::step], dtype=np.uint8)
    return _png(small if small.ndim == 3 else np.repeat(small[..., None], 3, axis=-1))


def heat(shares: np.ndarray) -> bytes:
    """A large confusion matrix as PNG, one pixel a cell: the diagonal in one colour, errors in another.

    Shape: float (classes, classes), each row summing to 1 or to 0.
    """
    image = np.zeros((*shares.shape, 4), dtype=np.uint8)
    image[..., :3] = _rgb(WARM)
    np.einsum("iic->ic", image)[:, :3] = _rgb(ACCENT)
    image[..., 3] = 255 * np.sqrt(np.clip(np.nan_to_num(shares), 0, 1))  # faint errors stay visible
    return _png(image)


def filters(weights: np.ndarray) -> bytes:
    """Filters of a convolution as one PNG, a tile each, eight to a row.

    One input channel: positive weights in one colour, negative in another, none is see-through.
    Three: the weights as red, green and blue around grey. Any other number: their mean.

    Shape: float (filters, channels, height, width).
    """
    shown = np.nan_to_num(np.asarray(weights[:FILTERS], dtype=np.float64))
    largest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    scaled = shown / np.where(largest > 0, largest, 1)
    count, channels, height, width = scaled.shape
    columns = min(8, count)
    tiles = np.zeros((math.ceil(count / columns) * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for i, tile in enumerate(scaled):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        tiles[top : top + height, left : left + width] = _tile(tile, channels)
    return _png(tiles)


def _tile(tile: np.ndarray, channels: int) -> np.ndarray:
    image = np.full((*tile.shape[1:], 4), 255, dtype=np.uint8)
    if channels == 3:
        image[..., :3] = np.moveaxis(127.5 + 127.5 * tile, 0, -1)
        return image
    flat = tile.mean(axis=0)
    image[..., :3] = np.where(flat[..., None] > 0, _rgb(ACCENT), _rgb(WARM))
    image[..., 3] = 20 + 235 * np.abs(flat)
    return image


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.uint8)


def _png(image: np.ndarray) -> bytes:
    from matplotlib.image import imsave  # noqa: PLC0415

    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(image), format="png", metadata={"Software": ""})
    return buffer.getvalue()
