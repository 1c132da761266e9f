"""Whole numbers that float64 holds exactly."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import Cells, FeatureType, feature_type, present, where
from tasks.features.number import PATTERN, trimmed, unsigned

EXACT = 2**53
"""Whole numbers below it survive as float64; from it on, two of them share one float."""
DIGITS = r"^[+-]?[0-9]{1,18}$"


@feature_type
class Integer(FeatureType):
    """A whole number below 2**53; `10.0` is 10, `33.5` is none."""

    name, storage, role, noun = "integer", pa.int64(), "numeric", "whole number"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read digits, or a number as written for floats (`10.0`, `1e3`) that is whole."""
        plain = trimmed(cells)
        digits = pc.match_substring_regex(plain, DIGITS)
        nothing = pa.scalar(None, pa.string())
        whole = self.read_whole(pc.cast(unsigned(pc.if_else(digits, plain, nothing)), pa.int64())).values
        others = pc.and_(pc.invert(digits), pc.match_substring_regex(plain, PATTERN))
        if pc.any(others).as_py():
            real = pc.cast(unsigned(pc.if_else(others, plain, nothing)), pa.float64())
            whole = pc.coalesce(whole, self.read_real(real).values)
        return self.checked(plain, whole)

    def read_truth(self, cells: pa.Array) -> Cells:
        """Read true as 1 and false as 0."""
        return self.keep(pc.cast(cells, pa.int64()))

    def read_whole(self, cells: pa.Array) -> Cells:
        """Read what float64 holds exactly."""
        whole = cells.fill_null(0).to_numpy(zero_copy_only=False)
        fits = (whole > -EXACT) & (whole < EXACT)
        return self.checked(cells, cells if fits.all() else where(fits, cells))

    def read_real(self, cells: pa.Array) -> Cells:
        """Read what is whole, as a column with gaps is stored by pandas."""
        real = np.nan_to_num(np.asarray(cells.to_numpy(zero_copy_only=False), dtype=np.float64), nan=0.0)
        with np.errstate(invalid="ignore"):
            fits = (np.abs(real) < EXACT) & (real == np.floor(real))
        whole = pa.array(np.where(fits, real, 0.0).astype(np.int64))
        return self.checked(cells, where(fits & present(cells), whole))

    def read_moment(self, cells: pa.Array) -> Cells:
        """Read nothing: a moment is no number."""
        return self.refuse(cells)
