from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.ladder import features


def test_a_sample_keeps_the_shares_of_the_classes():
    labels = np.array([0] * 700 + [1] * 290 + [2] * 10 + [3])
    rows = features.stratified(labels, 100, seed=5)
    assert len(set(rows)) == 100
    counts = np.bincount(labels[rows], minlength=4)
    assert np.abs(counts - np.array([70, 29, 1, 0.1])).max() <= 1
    assert not np.array_equal(rows, features.stratified(labels, 100, seed=6))


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pd.Series([1, 0], dtype="Int64"), "i"),
        (pd.Series([True, False], dtype="boolean"), "b"),
        (pd.Series(["a", "b"], dtype="str"), "O"),
        (pd.Series([1.0, 2.0]), "f"),
    ],
)
def test_labels_come_in_plain_numpy_types(series, kind):
    assert features.truth_of(series, "classification").dtype.kind == kind
    if kind in "if":
        assert features.truth_of(series, "regression").dtype == np.float64


def test_rows_are_read_as_numbers_and_texts_with_a_level_for_gaps():
    rows = pd.DataFrame(
        {
            "size": pd.Series([1, None, 3], dtype="Int64"),
            "day": pd.to_datetime(["1970-01-02", None, "1970-01-11"]),
            "town": pd.Series(["a", None, "b"], dtype="str"),
            "pool": pd.Series([True, None, False], dtype="boolean"),
        }
    )
    found = features.frame(["size", "day"], ["town", "pool"])(Dataset(rows))
    assert found["size"].to_list() == pytest.approx([1.0, np.nan, 3.0], nan_ok=True)
    assert found["day"].to_list() == pytest.approx([1.0, np.nan, 10.0], nan_ok=True)
    assert found["town"].to_list() == ["a", "", "b"]
    assert found["pool"].to_list() == ["true", "", "false"]


def test_wide_marks_what_was_missing_and_ignores_what_it_does_not_know():
    read = features.frame(["x"], ["k"])
    train = read(Dataset(pd.DataFrame({"x": [0.0, np.nan, 4.0, 8.0], "k": ["a", "b", "a", None]})))
    test = read(Dataset(pd.DataFrame({"x": [np.nan], "k": ["zebra"]})))
    prepare = features.wide(["x"], ["k"]).fit(train)
    assert prepare.transform(train).shape == (4, 1 + 1 + 3)
    (row,) = prepare.transform(test)
    assert row[0] == 0.0  # the median of the train rows is their mean here
    assert row[1] > 0
    assert not row[2:].any()


def test_pixels_are_shares_of_full_brightness():
    data = Dataset(pd.DataFrame(index=range(2)), np.full((2, 3, 2, 3), 255, dtype=np.uint8))
    flat = features.flat(data)
    assert flat.shape == (2, 18)
    assert flat.dtype == np.float32
    assert (flat == 1).all()
    with pytest.raises(DataRejected, match="there are none"):
        features.flat(Dataset(pd.DataFrame(index=range(2))))


def test_large_pictures_are_averaged_in_blocks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 70, 50, 3), np.uint8)
    data = Dataset(pd.DataFrame({"label": [0, 1, 0]}), pixels)
    found = features.flat(data).reshape(3, 18, 13, 3)
    assert features.thinned(data) == "sees pictures averaged to 18 x 13 pixels"
    np.testing.assert_allclose(found[1, 2, 3], pixels[1, 8:12, 12:16].mean(axis=(0, 1)) / 255, rtol=1e-6)
    np.testing.assert_allclose(found[2, 17, 12], pixels[2, 68:, 48:].mean(axis=(0, 1)) / 255, rtol=1e-6)
    small = Dataset(data.rows, pixels[:, :32, :32, 0])
    np.testing.assert_array_equal(features.flat(small), small.pixels.reshape(3, -1) / np.float32(255))
    assert features.thinned(small) == ""
