"""What a report shows of the data's honesty: pairs of rows that parts share, labels that look wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.dataset import place
from tasks.records import FileRecord

LABELS = 20
"""Suspect labels that are shown."""


def leaks(folder: Path) -> dict[str, Any] | None:
    """What `split` found between the parts, kind by kind; None where there is nothing to show."""
    try:
        found = json.loads((folder / "leaks.json").read_text(encoding="utf-8"))
    except OSError:
        return None
    return found if found["pairs"] else None


def suspects(folder: Path, files: tuple[FileRecord, ...]) -> dict[str, Any] | None:
    """The train rows whose label looks most wrong; None where there are none, or their file is gone.

    Args:
        folder: Of `evaluate`.
        files: The source's files, to tell where a row stands.
    """
    try:
        frame = pd.read_parquet(folder / "labels.parquet")
    except OSError:
        return None
    if frame.empty:
        return None
    top = frame.head(LABELS)
    cells = zip(top.index, top["given"], top["suggested"], top["score"], strict=True)
    rows = [
        {"place": place(int(row), files), "given": given, "suggested": suggested, "score": float(score)}
        for row, given, suggested, score in cells
    ]
    return {"count": len(frame), "rows": rows}
