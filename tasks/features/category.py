"""Texts: categories, which have one spelling, free texts and keys. Their canonical value is a string."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from tasks.features.base import Cells, FeatureType, Role, feature_type


@feature_type
class Category(FeatureType):
    """One of some levels; the code 10 is the same level as `10.0` and `"10"`, True as `"True"`."""

    name, storage, noun = "category", pa.string(), "category"
    role: ClassVar[Role] = "categorical"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read texts as they are, but for `10.0`, which pandas writes for 10 beside a gap, and `True`."""
        spelled = pc.replace_substring_regex(cells, r"^(-?(?:0|[1-9][0-9]*))\.0$", r"\1")
        spelled = pc.replace_substring_regex(spelled, r"^-0$", "0")
        truths = pc.match_substring_regex(spelled, "^(True|TRUE|False|FALSE)$")
        return self.keep(
            pc.if_else(truths, pc.utf8_lower(spelled), spelled) if pc.any(truths).as_py() else spelled
        )

    def read_truth(self, cells: pa.Array) -> Cells:
        """Read `true` and `false`."""
        return self.keep(pc.cast(cells, pa.string()))

    def read_whole(self, cells: pa.Array) -> Cells:
        """Read digits."""
        return self.keep(pc.cast(cells, pa.string()))

    def read_real(self, cells: pa.Array) -> Cells:
        """Read the shortest text that gives the number back, without `.0`."""
        return self.keep(real_texts(cells))

    def read_moment(self, cells: pa.Array) -> Cells:
        """Read `2024-01-31`, or `2024-01-31 12:30:00` where there is a time of day."""
        texts = pc.replace_substring_regex(pc.cast(cells, pa.string()), r"\.0+$", "")
        return self.keep(pc.replace_substring_regex(texts, " 00:00:00$", ""))


@feature_type
class Text(Category):
    """A free text, left as it is."""

    name, noun = "text", "text"

    def read_text(self, cells: pa.Array) -> Cells:
        """Read texts as they are."""
        return self.keep(cells)


@feature_type
class Key(Category):
    """What tells rows apart, such as an order number: never a feature."""

    name, role, noun = "key", "none", "key"


def real_texts(cells: pa.Array) -> pa.Array:
    """Return each float64 (n,) as text: `10` for 10.0, `0.1`, `1e+16`."""
    different = cells.dictionary_encode()
    texts = [_real_text(value) for value in different.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(different.indices)


def _real_text(value: float) -> str:
    return repr(value + 0.0).removesuffix(".0")  # adding zero makes minus zero plain
