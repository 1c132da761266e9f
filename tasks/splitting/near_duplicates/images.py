"""Pictures that are nearly the same: a perceptual hash finds candidates, their pixels decide.

The hash is of real numbers: the lowest frequencies of the picture in grey, without its brightness and
contrast. A copy that was saved again as JPEG, brightened or touched with noise keeps it, and two pictures
are never further apart by it than by all their pixels, so that none is missed.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import dct
from scipy.spatial import cKDTree

ALIKE = 0.993
"""Correlation of pixels from which two pictures count as the same. Fashion-MNIST saved as JPEG of quality
80 keeps it in 19 of 20 pictures; of the 10,000 test pictures of MNIST none reaches it with one of train, of
Fashion-MNIST's 0.3 %, among them the same trousers."""

FREQUENCIES = 5
"""Lowest ones that are looked at, in each direction."""

CANDIDATES = 4
"""Nearest pictures by the hash whose pixels are compared."""

NUMBERS = 2**22
"""Pixels that are looked at together: as float32, 16 MB."""


def nearest(pixels: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The picture among the `known` ones that looks most like each of the `asked` ones.

    Costs 3 s for 10,000 pictures of MNIST against 60,000.

    Args:
        pixels: uint8 (n, height, width) or (n, height, width, 3).
        known: Positions of the pictures (of train) that others may be copies of.
        asked: Positions (m,) of the pictures that are asked about.

    Returns:
        (m, 2) float64: a position among all pictures, or -1 where none is near, and the correlation.
    """
    found = np.full((len(asked), 2), -1.0)
    chunk = max(1, NUMBERS // math.prod(pixels.shape[1:]))
    hashed = np.concatenate([_hash(_form(pixels[at : at + chunk])) for at in range(0, len(pixels), chunk)])
    plain = np.asarray(~hashed.any(axis=1))  # one colour all over: nothing to compare but equality
    known = known[~plain[known]]
    if not len(known):
        return found
    tree = cKDTree(hashed[known], balanced_tree=False)
    reach = np.sqrt(2 * (1 - ALIKE))
    distance, place = tree.query(hashed[asked], k=CANDIDATES, distance_upper_bound=reach)
    which, turn = np.nonzero(np.isfinite(distance) & ~plain[asked][:, None])
    for at in range(0, len(which), chunk):
        one, rank = which[at : at + chunk], turn[at : at + chunk]
        other = known[place[one, rank]]
        alike = np.einsum("nhw,nhw->n", _form(pixels[asked[one]]), _form(pixels[other]))
        for position, candidate, value in zip(one, other, alike, strict=True):
            if value >= ALIKE and value > found[position, 1]:
                found[position] = candidate, value
    return found


def _form(pixels: np.ndarray) -> np.ndarray:
    """Pictures in grey as (n, height, width) float32 of mean 0 and length 1; zeros where all is one grey."""
    grey = np.asarray(pixels, dtype=np.float32)
    grey = grey.mean(axis=3) if grey.ndim == 4 else grey
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(grey).sum(axis=(1, 2), keepdims=True))
    return np.asarray(np.divide(grey, length, out=np.zeros_like(grey), where=length > 1e-3))


def _hash(forms: np.ndarray) -> np.ndarray:
    """Their lowest frequencies, (n, at most 25), by an orthonormal cosine transform."""
    rows, columns = (
        dct(np.eye(side, dtype=np.float32), axis=0, norm="ortho")[:FREQUENCIES] for side in forms.shape[1:]
    )
    return np.asarray(rows @ forms @ columns.T).reshape(len(forms), -1)
