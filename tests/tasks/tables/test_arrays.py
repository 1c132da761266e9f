"""Arrays on the disk grow by rows and are read in blocks."""

import numpy as np

from tasks.tables import arrays


def test_arrays_grow_by_rows_and_are_read_in_blocks(tmp_path):
    made = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    with arrays.ArrayWriter(tmp_path / "a.npy", 100, (3,), np.float32) as writer:
        for part in np.array_split(made, 7):
            writer.write(part)
    assert (np.load(tmp_path / "a.npy") == made).all()
    assert (arrays.block(tmp_path / "a.npy", 90, 100) == made[90:]).all()
