"""What every type of column is, and the registry of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Role = Literal["numeric", "categorical", "none"]
"""What a network takes a column for: a number, one of some levels, or nothing."""


@dataclass(frozen=True)
class Cells:
    """A column read as a type.

    Attributes:
        values: (n,) canonical values in the type's storage; null where a cell is missing or can't be read.
        unreadable: (n,) bool, whether a cell holds something that is no value of the type.
    """

    values: pa.Array
    unreadable: np.ndarray


class FeatureType(ABC):
    """How cells of any origin become canonical values.

    A cell comes as one of five: text, a truth value, a whole number, a real number, a moment. Nulls and NaN
    are missing before a type sees them; every method keeps nulls null.

    Attributes:
        name: As `project.yaml` and the manifest of a model write it.
        storage: Arrow type of the canonical values.
        dtype: pandas dtype of a column with gaps.
        role: What a network takes it for.
        noun: What a cell that can't be read is not, for messages: "holds no number".
    """

    name: ClassVar[str]
    storage: ClassVar[pa.DataType]
    role: ClassVar[Role]
    noun: ClassVar[str]

    @abstractmethod
    def read_text(self, cells: pa.Array) -> Cells:
        """Read strings (n,)."""

    @abstractmethod
    def read_truth(self, cells: pa.Array) -> Cells:
        """Read booleans (n,)."""

    @abstractmethod
    def read_whole(self, cells: pa.Array) -> Cells:
        """Read int64 (n,)."""

    @abstractmethod
    def read_real(self, cells: pa.Array) -> Cells:
        """Read float64 (n,) without NaN."""

    @abstractmethod
    def read_moment(self, cells: pa.Array) -> Cells:
        """Read timestamps (n,) in microseconds, UTC without a zone."""

    def refuse(self, cells: pa.Array) -> Cells:
        """Read nothing: every cell that is there is unreadable."""
        return Cells(pa.nulls(len(cells), self.storage), present(cells))

    def keep(self, values: pa.Array) -> Cells:
        """Read cells that already are values of this type."""
        return Cells(values, np.zeros(len(values), dtype=bool))

    def checked(self, cells: pa.Array, values: pa.Array) -> Cells:
        """Read cells whose values are null where they can't be read."""
        return Cells(values, present(cells) & ~present(values))


TYPES: dict[str, FeatureType] = {}
"""Every type by its name, in the order in which messages list them."""

T = TypeVar("T", bound=type[FeatureType])


def feature_type(kind: T) -> T:
    """Register a type of column under its name."""
    TYPES[kind.name] = kind()
    return kind


def present(cells: pa.Array) -> np.ndarray:
    """Return which cells (n,) are not null."""
    if not cells.null_count:
        return np.ones(len(cells), dtype=bool)
    return np.asarray(cells.is_valid().to_numpy(zero_copy_only=False))


def where(mask: np.ndarray, values: pa.Array) -> pa.Array:
    """Return values where `mask` (n,) holds, and null elsewhere."""
    return values if mask.all() else pc.if_else(pa.array(mask), values, pa.scalar(None, values.type))
