"""Truth values, spelled `true` and `false`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import Cells, FeatureType, feature_type
from tasks.features.number import trimmed

TRUE, FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")
"""Texts of either, in any case; the last is how pandas writes a column with gaps as numbers."""


@feature_type
class Boolean(FeatureType):
    """True or false, however it is spelled."""

    name, storage, role, noun = "boolean", pa.bool_(), "categorical", "truth value (true or false)"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read true, yes, 1 and false, no, 0 in any case."""
        plain = trimmed(cells)
        return self.checked(plain, _either(pc.utf8_lower(plain), pa.array(TRUE), pa.array(FALSE)))

    def read_truth(self, cells: pa.Array) -> Cells:
        """Read truth values as they are."""
        return self.keep(cells)

    def read_whole(self, cells: pa.Array) -> Cells:
        """Read 1 and 0."""
        return self.checked(cells, _either(cells, pa.array([1]), pa.array([0])))

    def read_real(self, cells: pa.Array) -> Cells:
        """Read 1.0 and 0.0."""
        return self.checked(cells, _either(cells, pa.array([1.0]), pa.array([0.0])))

    def read_moment(self, cells: pa.Array) -> Cells:
        """Read nothing: a moment is no truth value."""
        return self.refuse(cells)


def _either(cells: pa.Array, true: pa.Array, false: pa.Array) -> pa.Array:
    """Return true, false, or null for a cell that is in neither set."""
    holds = pc.is_in(cells, value_set=true)
    known = pc.or_(holds, pc.is_in(cells, value_set=false))
    return pc.if_else(known, holds, pa.scalar(None, pa.bool_()))
