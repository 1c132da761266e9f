import io

import numpy as np
import pytest

from tasks.reports import pictures
from tasks.reports.plots import ACCENT, WARM


def pixels(png):
    """Decoded (height, width, channels) uint8."""
    from PIL import Image

    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_grey_picture_keeps_its_pixels():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    shown = pixels(pictures.picture(image))
    assert shown.shape[:2] == (8, 8)
    assert all(np.array_equal(shown[..., channel], image) for channel in range(3))


def test_a_colour_picture_keeps_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(pixels(pictures.picture(image))[..., :3], image)


def test_a_large_picture_is_thinned_out():
    assert max(pixels(pictures.picture(np.zeros((1000, 300), np.uint8))).shape) <= pictures.SIDE


def test_filters_show_sign_as_colour_and_strength_as_opacity():
    weights = np.zeros((2, 1, 2, 2), np.float32)
    weights[0, 0, 0] = 3, -3
    shown = pixels(pictures.filters(weights))
    assert shown.shape == (2, 5, 4)
    assert tuple(shown[0, 0]) == (*pictures._rgb(ACCENT), 255)
    assert tuple(shown[0, 1]) == (*pictures._rgb(WARM), 255)
    assert shown[0, 2, 3] == 0  # the gap between two filters
    assert shown[0, 3, 3] < 30  # a filter of zeros is faint, not a fault


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (9, 3, 5, 5), (100, 16, 3, 3)])
def test_filters_of_any_shape(shape):
    shown = pixels(pictures.filters(np.random.default_rng(0).normal(size=shape)))
    rows = -(-min(shape[0], pictures.FILTERS) // 8)
    assert shown.shape[0] == rows * (shape[2] + 1) - 1


def test_heat_tells_right_from_wrong():
    shown = pixels(pictures.heat(np.array([[0.75, 0.25], [0.0, 1.0]])))
    assert tuple(shown[1, 1]) == (*pictures._rgb(ACCENT), 255)
    assert tuple(shown[0, 1][:3]) == tuple(pictures._rgb(WARM))
    assert shown[0, 1, 3] == 127
    assert shown[1, 0, 3] == 0
