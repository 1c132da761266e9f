"""Rows that a stored model learned from are known again without loading the model."""

import json
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tasks.errors import ArtifactTampered
from tasks.learning import seen

IDENTITY = [{"name": "x", "type": "number"}, {"name": "y", "type": "text"}]


@pytest.fixture
def rows():
    return pd.DataFrame({"x": np.arange(20) / 3, "y": ["a", "b"] * 10, "id": range(20)})


@pytest.fixture
def bundle(tmp_path, rows):
    """A model that learned from the first twelve rows."""
    hashes = np.unique(seen.marks(rows.iloc[:12], IDENTITY)).view(np.int64)
    save_file({"seen": hashes}, tmp_path / seen.SEEN)
    digest = sha256((tmp_path / seen.SEEN).read_bytes()).hexdigest()
    manifest = {"identity": IDENTITY, "digests": {seen.SEEN: digest}}
    (tmp_path / seen.MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def test_rows_are_known_by_the_columns_of_the_model(bundle, rows):
    expected = [True] * 12 + [False] * 8
    assert seen.learned_from(bundle, rows).tolist() == expected
    assert seen.learned_from(bundle, rows.assign(id=0)).tolist() == expected
    assert not seen.learned_from(bundle, rows.assign(y="c")).any()
    assert not seen.learned_from(bundle, rows.drop(columns="y")).any()


def test_hashes_that_were_changed_are_refused(bundle, rows):
    data = bytearray((bundle / seen.SEEN).read_bytes())
    data[-1] ^= 1
    (bundle / seen.SEEN).write_bytes(bytes(data))
    with pytest.raises(ArtifactTampered, match="is not what its manifest says"):
        seen.learned_from(bundle, rows)
    (bundle / seen.SEEN).unlink()
    with pytest.raises(ArtifactTampered, match="holds no model that can be opened"):
        seen.learned_from(bundle, rows)
