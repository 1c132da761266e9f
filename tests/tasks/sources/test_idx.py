"""IDX files: each field of the header, the payload, and files that do not belong together."""

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import sources
from tasks.config import Columns, IdxSource
from tasks.dataset import place
from tasks.errors import ConfigError, DataFormatError, DataRejected, ModelyardError, UnsafeInput
from tasks.sources import idx
from tasks.sources.files import Content

REAL = Path(__file__).parents[4] / "shared" / "data" / "mnist"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def packed(array: np.ndarray, *, kind: int = 8, shape: tuple[int, ...] | None = None) -> bytes:
    shape = array.shape if shape is None else shape
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def arrays() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        random.integers(0, 256, (6, 4, 3), np.uint8),
        np.array([0, 1, 2, 3, 255, 1], np.uint8),
        random.integers(0, 256, (2, 4, 3), np.uint8),
        np.array([7, 9], np.uint8),
    ]


def folder(tmp_path: Path, **changed: bytes) -> Path:
    for name, array in zip(NAMES, arrays(), strict=True):
        (tmp_path / name).write_bytes(packed(array))
    for name, data in changed.items():
        (tmp_path / next(n for n in NAMES if n.startswith(name.replace("_", "-")))).write_bytes(data)
    return tmp_path


def read(path: Path, target: str | None = "label") -> sources.Loaded:
    return sources.read(IdxSource(kind="idx", path=str(path)), path.parent, target, Columns())


def refused(path: Path, kind: type[ModelyardError]) -> str:
    with pytest.raises(ModelyardError) as caught:
        read(path)
    assert type(caught.value) is kind, str(caught.value)
    return str(caught.value)


def test_rows_and_pixels(tmp_path: Path) -> None:
    loaded = read(folder(tmp_path))
    train, labels, test, test_labels = arrays()
    rows, pixels = loaded.dataset.rows, loaded.dataset.pixels
    assert pixels is not None
    np.testing.assert_array_equal(pixels, np.concatenate([train, test]))
    assert rows["label"].tolist() == [*labels, *test_labels]
    assert rows["part"].tolist() == ["train"] * 6 + ["test"] * 2
    assert rows.columns.tolist() == ["label", "height", "width", "luminance", "digest", "part"]
    assert [str(kind) for kind in rows.dtypes] == ["int64", "int64", "int64", "float64", "str", "str"]
    assert (rows["height"][0], rows["width"][0]) == (4, 3)
    np.testing.assert_allclose(rows["luminance"], pixels.reshape(8, -1).mean(axis=1))
    assert rows["digest"].nunique() == 8
    assert rows["digest"].str.len().eq(32).all()
    assert [file.rows for file in loaded.files] == [6, 0, 2, 0]
    assert place(6, loaded.files).endswith("t10k-images-idx3-ubyte row 1")


def test_names_and_packing(tmp_path: Path) -> None:
    plain = read(folder(tmp_path))
    for name in NAMES:
        path = tmp_path / name
        other = tmp_path / (name.replace("-idx", ".idx") + ".gz")
        other.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    again = read(tmp_path)
    assert again.fingerprint == plain.fingerprint
    assert again.dataset.rows.equals(plain.dataset.rows)


@pytest.mark.parametrize("name", NAMES)
def test_each_file_is_needed(tmp_path: Path, name: str) -> None:
    folder(tmp_path)
    (tmp_path / name).unlink()
    assert f"{name} (or {name}.gz) is missing" in refused(tmp_path, DataFormatError)


IMAGES = arrays()[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "length in bytes: got 0, expected at least 16"),
        (b"\0\0\x08", "length in bytes: got 3, expected at least 16"),
        (b"\0\0\x08\x03\0\0\0", "length in bytes: got 7, expected at least 16"),
        (b"\x01" + packed(IMAGES)[1:], "first two bytes: got 0x0100, expected 0x0000"),
        (packed(IMAGES, kind=0), "type: got 0x00, expected 0x08 (unsigned bytes)"),
        (packed(IMAGES, kind=10), "type: got 0x0a, expected 0x08"),
        (packed(IMAGES, kind=15), "type: got 0x0f, expected 0x08"),
        (packed(IMAGES, shape=()), "number of dimensions: got 0, expected 3"),
        (b"\0\0\x08\xff" + bytes(80), "number of dimensions: got 255, expected 3"),
        (packed(IMAGES, shape=(6, 12)), "number of dimensions: got 2, expected 3"),
        (packed(IMAGES, shape=(6, 4, 1, 3)), "number of dimensions: got 4, expected 3"),
        (packed(IMAGES, shape=(0, 4, 3)), "count: got 0, expected at least 1"),
        (packed(IMAGES, shape=(6, 0, 3)), "rows: got 0, expected at least 1"),
        (packed(IMAGES, shape=(6, 4, 0)), "columns: got 0, expected at least 1"),
        (packed(IMAGES, shape=(2**32 - 1, 4, 3)), "IDX payload: got 72 bytes, expected 51,539,607,540"),
        (packed(IMAGES, shape=(2**32 - 1,) * 3), "bytes, expected 79,228,162,458,924,105,385,300,197,375"),
        (packed(IMAGES)[:-1], "IDX payload: got 71 bytes, expected 72 (6 x 4 x 3)"),
        (packed(IMAGES) + b"\0", "IDX payload: got 73 bytes, expected 72 (6 x 4 x 3)"),
    ],
)  # fmt: skip
def test_headers_and_payloads(tmp_path: Path, data: bytes, words: str) -> None:
    message = refused(folder(tmp_path, train_images=data), DataFormatError)
    assert words in message
    assert NAMES[0] in message
    assert len(message) < 500
    read(folder(tmp_path, train_images=packed(IMAGES)))


def test_labels_with_three_dimensions(tmp_path: Path) -> None:
    message = refused(folder(tmp_path, train_labels=packed(IMAGES)), DataFormatError)
    assert "train-labels-idx1-ubyte: IDX header: number of dimensions: got 3, expected 1" in message


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"train_images": packed(arrays()[1]), "train_labels": packed(IMAGES)},
            "images and labels are swapped",
        ),
        ({"train_labels": packed(arrays()[1][:5])}, "5 labels for the 6 images of"),
        ({"t10k_images": packed(np.zeros((2, 5, 5), np.uint8))}, "pictures of 4 x 3 and 5 x 5 pixels"),
        ({"t10k_images": packed(IMAGES), "t10k_labels": packed(arrays()[1])}, "the same pictures"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path: Path, changed: dict[str, bytes], words: str) -> None:
    assert words in refused(folder(tmp_path, **changed), DataRejected)
    read(folder(tmp_path))


def test_unsafe_files(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    folder(inner, train_images=pickle.dumps({b"data": [1]}, protocol=2))
    assert "got a Python pickle" in refused(inner, UnsafeInput)
    (inner / NAMES[0]).unlink()
    (tmp_path / "outside").write_bytes(packed(IMAGES))
    (inner / NAMES[0]).symlink_to(tmp_path / "outside")
    assert "leads out of its folder" in refused(inner, UnsafeInput)


def test_target_and_path(tmp_path: Path) -> None:
    read(folder(tmp_path), target=None)
    with pytest.raises(ConfigError, match="target: got 'digit'; an image source's target is 'label'"):
        read(tmp_path, target="digit")
    assert "got a file; expected a folder" in refused(tmp_path / NAMES[0], DataFormatError)
    assert "there is no" in refused(tmp_path / "nowhere", ConfigError)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (b"", b"\0\0\x08\x01", b"\0\0\x08\x01\0\0\0\x04"):
        try:
            array = idx.parse(Content("labels", "labels", head + data), 1)
        except ModelyardError as error:
            assert error.exit_code in (3, 9)
        else:
            assert array.nbytes == len(head + data) - 8


@pytest.mark.skipif(not REAL.is_dir(), reason="no copy of MNIST beside the checkout (../shared/data/mnist)")
def test_the_real_thing() -> None:
    loaded = read(REAL)
    rows, pixels = loaded.dataset.rows, loaded.dataset.pixels
    assert pixels is not None
    assert pixels.shape == (70_000, 28, 28)
    assert rows["part"].value_counts().to_dict() == {"train": 60_000, "test": 10_000}
    assert rows["label"].iloc[:5].tolist() == [5, 0, 4, 1, 9]
    assert rows["label"].iloc[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    assert rows["luminance"].iloc[:60_000].mean() == pytest.approx(0.1306604762738429 * 255)
    assert not rows["digest"].duplicated().any()
    expected = hashlib.sha256(gzip.decompress((REAL / f"{NAMES[0]}.gz").read_bytes())).hexdigest()
    assert loaded.files[0].sha256 == expected
