"""Predicting images: shapes are checked, answers keep their order."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flows import predict as module
from tasks.errors import DataRejected
from tasks.predictions import Predictions


def idx_folder(folder: Path, shape: tuple[int, int] = (28, 28)) -> np.ndarray:
    """Four IDX files as MNIST has them: 40 train and 20 test images; returns all pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    found = []
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
        labels = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + bytes(i % 10 for i in range(count))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
        found.append(pixels)
    return np.concatenate(found)


def test_reads_images(tmp_path: Path) -> None:
    pixels = idx_folder(tmp_path / "images")
    read = module._read(tmp_path / "images", {"columns": None, "image_shape": [28, 28]})
    assert sorted(map(bytes, np.asarray(read))) == sorted(map(bytes, pixels))


def test_refuses_images_of_another_size(tmp_path: Path) -> None:
    idx_folder(tmp_path / "images", (8, 8))
    with pytest.raises(DataRejected, match=r"\[28, 28\]"):
        module._read(tmp_path / "images", {"columns": None, "image_shape": [28, 28]})


def test_whole_numbers_stay_whole_beside_an_error() -> None:
    answers = Predictions(np.array([3, 7, 1]), np.full((3, 2), 0.5), np.array([0, 1]))
    frame = module._frame(answers, {1: "no good"}, 4)
    assert frame["prediction"].dropna().tolist() == [3, 1]
    assert str(frame["prediction"].dtype) == "Int64"
    assert frame["error"].isna().tolist() == [True, False, True]
    assert frame["model_version"].tolist() == [4, 4, 4]


def test_regression_has_no_probability() -> None:
    frame = module._frame(Predictions(np.array([1.5, 2.5])), {}, 1)
    assert list(frame.columns) == ["prediction", "model_version", "error"]
    assert SimpleNamespace(**frame.iloc[0]).prediction == 1.5
