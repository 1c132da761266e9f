"""Dates and times: microseconds, UTC without a zone."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import Cells, FeatureType, feature_type
from tasks.features.number import trimmed

PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)?$"
)
"""A date of ISO 8601, with or without a time of day and a zone."""


@feature_type
class Date(FeatureType):
    """A moment; a date alone is its midnight, a time with a zone is folded into UTC."""

    name, storage, role, noun = "date", pa.timestamp("us"), "numeric", "date of ISO 8601 (2024-01-31)"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read dates of ISO 8601."""
        plain = trimmed(cells)
        written = pc.match_substring_regex(plain, PATTERN)
        texts = pc.if_else(written, plain, pa.scalar(None, pa.string()))
        texts = pc.replace_substring_regex(texts, " ?UTC$", "Z").dictionary_encode()  # pandas knows Z alone
        return self.checked(plain, _parsed(texts.dictionary).take(texts.indices))

    def read_truth(self, cells: pa.Array) -> Cells:
        """Read nothing: a truth value is no date."""
        return self.refuse(cells)

    def read_whole(self, cells: pa.Array) -> Cells:
        """Read nothing: a number is no date, since nothing says which unit it counts."""
        return self.refuse(cells)

    def read_real(self, cells: pa.Array) -> Cells:
        """Read nothing, as of whole numbers."""
        return self.refuse(cells)

    def read_moment(self, cells: pa.Array) -> Cells:
        """Read moments as they are."""
        return self.keep(cells)


def _parsed(texts: pa.Array) -> pa.Array:
    """Return timestamps (n,), null for the 30th of February."""
    moments = pd.to_datetime(
        pd.Series(texts.to_pylist(), dtype=object), format="ISO8601", errors="coerce", utc=True
    )
    plain = moments.dt.tz_localize(None).astype("datetime64[us]")
    return pa.array(plain, pa.timestamp("us"), from_pandas=True)
