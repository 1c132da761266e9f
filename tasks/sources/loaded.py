"""What reading a source gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tasks.dataset import Dataset
from tasks.features import Schema
from tasks.features.schema import types_of
from tasks.records import FileRecord, Finding


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A source in memory.

    Attributes:
        dataset: Its examples, row ids counted over all files in order.
        schema: Its columns and their types; by default as the rows' pandas dtypes tell them.
        fingerprint: Hex sha256 of the bytes that were parsed.
        files: The files in row order, so that `dataset.place` finds a row in its file.
        findings: Doubts that the reader had, all of them warnings.
        unread: Ids of rows that are there and can't be read, such as a damaged picture, each with the reason.
        unreadable: Columns with cells that hold no value of their type, and which (n,) these are.
    """

    dataset: Dataset
    fingerprint: str
    files: tuple[FileRecord, ...]
    findings: tuple[Finding, ...] = ()
    unread: Mapping[int, str] = field(default_factory=dict)
    unreadable: Mapping[str, np.ndarray] = field(default_factory=dict)
    schema: Schema = field(default_factory=lambda: Schema({}))

    def __post_init__(self) -> None:
        if not self.schema.types:
            object.__setattr__(self, "schema", Schema(types_of(self.dataset.rows)))

    @property
    def bad(self) -> dict[int, str]:
        """Ids of rows that can't be used as they are, each with the first reason."""
        return {**self.schema.reasons(self.unreadable), **self.unread}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        return tuple(str(name) for name in self.dataset.rows.columns)
