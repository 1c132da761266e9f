from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import Augment
from tasks.learning.augment import changes, mirror_images, shift_images


@given(st.integers(0, 3), st.booleans(), st.integers(0, 2**31))
def test_shifting_moves_each_image_whole(most: int, colour: bool, seed: int) -> None:
    torch.manual_seed(seed)
    shape = (5, 9, 8, 3) if colour else (5, 9, 8)
    pixels = torch.randint(1, 256, shape, dtype=torch.uint8)
    moved = shift_images(pixels, most)
    assert moved.shape == pixels.shape
    for before, after in zip(pixels, moved, strict=True):
        candidates = [
            torch.roll(before, (dy, dx), (0, 1))
            for dy in range(-most, most + 1)
            for dx in range(-most, most + 1)
        ]
        kept = after > 0  # zeros came in at the edge
        assert any(torch.equal(after[kept], option[kept]) for option in candidates)
    if most == 0:
        assert torch.equal(moved, pixels)


@pytest.mark.parametrize("shape", [(400, 3, 4), (400, 3, 4, 3)])
def test_mirroring_exchanges_left_and_right_of_about_half(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    moved = mirror_images(pixels)
    changed = (moved != pixels).flatten(1).any(1)
    assert 150 < changed.sum() < 250
    assert torch.equal(moved[changed], pixels[changed].flip(2))


def test_settings_say_which_changes_are_made() -> None:
    pixels, other = torch.randint(1, 256, (50, 6, 7), dtype=torch.uint8), torch.zeros(50)
    same = changes(Augment())((pixels, other))
    assert torch.equal(same[0], pixels)
    assert same[1] is other
    torch.manual_seed(0)
    shifted = changes(Augment(shift=2))((pixels,))[0]
    assert (shifted == 0).any()  # zeros came in at the edge
    torch.manual_seed(0)
    both = changes(Augment(shift=2, mirror=True))((pixels,))[0]
    exchanged = (both != shifted).flatten(1).any(1)
    assert 10 < exchanged.sum() < 40
    assert torch.equal(both[exchanged], shifted[exchanged].flip(2))
