"""What reading a source gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.dataset import Dataset
from tasks.records import FileRecord, Finding


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A source in memory.

    Attributes:
        dataset: Its examples, row ids counted over all files in order.
        fingerprint: Hex sha256 of the bytes that were parsed.
        files: The files in row order, so that `dataset.place` finds a row in its file.
        findings: Doubts that the reader had, all of them warnings.
        bad: Ids of rows that are there and can't be read, such as a damaged picture, each with the reason.
    """

    dataset: Dataset
    fingerprint: str
    files: tuple[FileRecord, ...]
    findings: tuple[Finding, ...] = ()
    bad: Mapping[int, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        return tuple(str(name) for name in self.dataset.rows.columns)
