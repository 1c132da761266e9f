"""How a model knows a row again, by a hash of its canonical values; no network is loaded for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load

from tasks.errors import ArtifactTampered
from tasks.features import Schema
from tasks.features.hashing import hash_rows

MANIFEST, SEEN = "manifest.json", "seen.safetensors"


def schema_of(columns: Sequence[dict[str, str]]) -> Schema:
    """Return the schema of columns as a manifest holds them, each {"name", "type"}."""
    return Schema({column["name"]: column["type"] for column in columns})


def marks(rows: pd.DataFrame | pa.Table, columns: Sequence[dict[str, str]]) -> np.ndarray:
    """Hash each row's cells in `columns`, by which a model knows rows that it has learned from.

    Args:
        rows: Raw rows.
        columns: Names and types, as in a manifest; the hash does not depend on how the rows are stored.

    Returns:
        uint64 (n,). Unequal rows of a million share a hash with probability 3e-8.
    """
    schema = schema_of(columns)
    return hash_rows(schema.read(rows).table, list(schema.types))


def learned_from(bundle: Path, rows: pd.DataFrame) -> np.ndarray:
    """Which raw rows (n), target included, are among those that the model learned from: bool (n,).

    A table that lacks a column by which the model knows its rows holds none of them.

    Raises:
        ArtifactTampered: The bundle's files are not what its manifest says.
    """
    try:
        manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
        content = (bundle / SEEN).read_bytes()
        intact = sha256(content).hexdigest() == manifest["digests"][SEEN]
        seen = load(content)["seen"].view(np.uint64)
        identity = manifest["identity"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactTampered(f"{bundle} holds no model that can be opened: {error}") from error
    if not intact:
        raise ArtifactTampered(
            f"{SEEN} in {bundle} is not what its manifest says", fix="fetch the model again, or train anew"
        )
    if any(column["name"] not in rows.columns for column in identity):
        return np.zeros(len(rows), dtype=bool)
    return np.isin(marks(rows, identity), seen)
