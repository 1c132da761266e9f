"""Numbers: float64 that float32 can hold, since that is what a network computes with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import Cells, FeatureType, feature_type, present, where

PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""A number as text: ASCII digits, a point, no separators; `inf`, `0x1F` and `1_000` are none."""
LARGEST = float(np.finfo(np.float32).max)


@feature_type
class Number(FeatureType):
    """A finite number; what float32 can't hold is none."""

    name, storage, role, noun = "number", pa.float64(), "numeric", "number"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read numbers as written in ASCII with a point; white space around them does not count."""
        plain = trimmed(cells)
        written = pc.match_substring_regex(plain, PATTERN)
        values = pc.cast(unsigned(pc.if_else(written, plain, pa.scalar(None, pa.string()))), pa.float64())
        return self.checked(plain, within(values))

    def read_truth(self, cells: pa.Array) -> Cells:
        """Read true as 1 and false as 0."""
        return self.keep(pc.cast(pc.cast(cells, pa.int8()), pa.float64()))

    def read_whole(self, cells: pa.Array) -> Cells:
        """Read whole numbers, rounded to float64 beyond 2**53."""
        return self.keep(pc.cast(cells, pa.float64(), safe=False))

    def read_real(self, cells: pa.Array) -> Cells:
        """Read what is finite and within the range of float32."""
        return self.checked(cells, within(cells))

    def read_moment(self, cells: pa.Array) -> Cells:
        """Read nothing: a moment is no number."""
        return self.refuse(cells)


def trimmed(cells: pa.Array) -> pa.Array:
    """Return texts without white space around them, null where nothing else is there."""
    plain = pc.utf8_trim_whitespace(cells)
    blank = pc.equal(plain, "")
    return pc.if_else(blank, pa.scalar(None, pa.string()), plain) if pc.any(blank).as_py() else plain


def unsigned(cells: pa.Array) -> pa.Array:
    """Return texts without a plus in front, which Arrow does not read."""
    return pc.utf8_ltrim(cells, "+")


def within(values: pa.Array) -> pa.Array:
    """Return float64 (n,), null where a value is not finite or float32 can't hold it; minus zero is zero."""
    floats = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        fits = np.abs(floats) <= LARGEST
    plain = pc.add(values, 0.0)
    return plain if fits.all() else where(fits | ~present(values), plain)
