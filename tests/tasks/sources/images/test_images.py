"""Pictures as a source: folders and manifests that are as they should be, and those that are refused."""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks import sources
from tasks.checks import suite, validation
from tasks.config import Columns, IdxSource, ImagesSource, Validate
from tasks.dataset import place
from tasks.errors import ConfigError, DataRejected, ModelyardError, ResourceLimit, UnsafeInput
from tasks.sources import images
from tasks.sources.images import finding
from tasks.tables.opening import InMemory

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 5), np.uint8)


def save(root: Path, *names: str) -> Path:
    for name, one in zip(names, PIXELS, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(root / name)
    return root


def read(path: Path, target: str | None = "label", **more: Any) -> sources.Loaded:
    options = {"size": (6, 5), "mode": "grey", **more}
    source = ImagesSource(kind="images", path=str(path), **options)
    loaded = sources.read(source, path.parent, target, Columns())
    assert loaded.fingerprint == sources.fingerprint(source, path.parent)
    return loaded


def refused(path: Path, kind: type[ModelyardError], **more: Any) -> str:
    with pytest.raises(ModelyardError) as caught:
        read(path, **more)
    assert type(caught.value) is kind, str(caught.value)
    return str(caught.value)


def test_class_folders(tmp_path: Path) -> None:
    loaded = read(save(tmp_path / "pets", "dog/b.png", "cat/z.png", "dog/a.png", "cat/.hidden.png"))
    rows, pixels = loaded.dataset.rows, loaded.dataset.pixels
    assert rows["path"].tolist() == ["cat/z.png", "dog/a.png", "dog/b.png"]
    assert rows["label"].tolist() == ["cat", "dog", "dog"]
    assert pixels is not None
    np.testing.assert_array_equal(pixels, PIXELS[[1, 2, 0]])
    assert rows.columns.tolist() == [
        *("label", "height", "width", "luminance", "digest", "part", "mode", "path")
    ]
    kinds = ["str", "int64", "int64", "float64", "str", "str", "str", "str"]
    assert [str(kind) for kind in rows.dtypes] == kinds
    np.testing.assert_allclose(rows["luminance"], pixels.reshape(3, -1).mean(axis=1))
    assert (rows["part"] == "").all()
    assert [(file.name, file.rows) for file in loaded.files] == [("pets/cat", 1), ("pets/dog", 2)]
    assert [place(row, loaded.files) for row in range(3)] == [f"pets/{path}" for path in rows["path"]]


def test_an_official_split_and_labels_that_are_numbers(tmp_path: Path) -> None:
    rows = read(save(tmp_path, "test/0/a.png", "train/10/a.png", "train/0/a.png")).dataset.rows
    assert rows["part"].tolist() == ["train", "train", "test"]
    assert rows["label"].tolist() == [0, 10, 0]
    assert rows["label"].dtype == "int64"
    rows = read(save(tmp_path / "three", "test/0/a.png", "val/1/a.png", "train/0/a.png")).dataset.rows
    assert rows[["path", "part"]].to_numpy().tolist() == [
        *(["train/0/a.png", "train"], ["val/1/a.png", "train"], ["test/0/a.png", "test"])
    ]
    two = read(save(tmp_path / "two", "valid/1/a.png", "train/0/a.png")).dataset.rows
    assert two["part"].tolist() == ["train", "test"]
    loaded = read(save(tmp_path / "codes", "007/a.png", "10/a.png")).dataset.rows
    assert loaded["label"].tolist() == ["007", "10"], "a leading zero is part of a name"


def test_folders_hold_what_idx_files_hold(tmp_path: Path) -> None:
    (tmp_path / "idx").mkdir()
    labels = np.array([3, 1, 1, 3, 1, 3, 3, 1], np.uint8)
    for begin, some in (("train", slice(0, 5)), ("t10k", slice(5, 8))):
        count = len(labels[some])
        head = struct.pack(">IIII", 0x803, count, 6, 5)
        (tmp_path / "idx" / f"{begin}-images-idx3-ubyte").write_bytes(head + PIXELS[some].tobytes())
        head = struct.pack(">II", 0x801, count)
        (tmp_path / "idx" / f"{begin}-labels-idx1-ubyte").write_bytes(head + labels[some].tobytes())
    names = [f"{'train' if i < 5 else 'test'}/{label}/{i}.png" for i, label in enumerate(labels)]
    found = read(save(tmp_path / "png", *names)).dataset
    source = IdxSource(kind="idx", path=str(tmp_path / "idx"))
    known = sources.read(source, tmp_path, "label", Columns()).dataset
    order = [found.rows["path"].tolist().index(name) for name in names]
    same = found.take(np.array(order))
    np.testing.assert_array_equal(same.pixels, known.pixels)
    columns = known.rows.columns.tolist()
    pd.testing.assert_frame_equal(same.rows[columns].reset_index(drop=True), known.rows, check_names=False)


def test_the_fingerprint_sees_names_and_bytes_and_not_times(tmp_path: Path) -> None:
    root = save(tmp_path / "pets", "cat/a.png", "dog/b.png")
    first = read(root).fingerprint
    os.utime(root / "cat" / "a.png", ns=(1, 1))
    assert read(root).fingerprint == first
    (root / "cat" / "a.png").rename(root / "cat" / "c.png")
    renamed = read(root).fingerprint
    (root / "cat" / "c.png").write_bytes((root / "dog" / "b.png").read_bytes())
    assert len({first, renamed, read(root).fingerprint}) == 3


def test_a_bad_picture_is_a_row_to_set_aside(tmp_path: Path) -> None:
    root = save(tmp_path / "pets", *(f"{label}/{i}.png" for label in ("cat", "dog") for i in range(3)))
    (root / "cat" / "1.png").write_bytes((root / "cat" / "1.png").read_bytes()[:60])
    (root / "dog" / "note.txt").write_text("no picture")
    loaded = read(root)
    assert loaded.bad[1] == "can't be decoded: cut short"
    assert loaded.bad[6].startswith("can't be decoded: no readable PNG")
    row = loaded.dataset.rows.loc[1]
    assert (row["label"], row["path"]) == ("cat", "cat/1.png")
    assert pd.isna(row["digest"])
    assert np.isnan(row["luminance"])


def test_bad_pictures_are_quarantined_by_name(tmp_path: Path) -> None:
    root = save(tmp_path / "pets", *(f"{label}/{i}.png" for label in ("cat", "dog") for i in range(3)))
    (root / "dog" / "1.png").write_bytes(b"")
    path = tmp_path / "expectations.json"
    path.write_text(
        '{"name": "pets", "expectations": [{"type": "expect_column_values_to_not_be_null", '
        '"kwargs": {"column": "digest"}, "severity": "critical"}]}'
    )
    rules = Validate(suite=path.name, quarantine=0.2)
    args: Any = ("label", "classification", Columns(), tmp_path / "docs")
    found, kept = validation.inspect(InMemory(read(root)), suite.load(path), rules, *args)
    assert (found.errors, dict(found.listed())) == ((), {4: ("can't be decoded: 0 bytes",)})
    assert len(kept) == 5
    found.write(tmp_path)
    listed = (tmp_path / "quarantine.csv").read_text().splitlines()
    assert listed == ["file,row,reason", "pets/dog/1.png,,can't be decoded: 0 bytes"]
    few = Validate(suite=path.name, quarantine=0.1)
    strict, _ = validation.inspect(InMemory(read(root)), suite.load(path), few, *args)
    with pytest.raises(DataRejected, match=r"1 of 6 rows are bad .* \[pets/dog/1.png\]"):
        strict.refuse(tmp_path)


# --- what is refused --------------------------------------------------------------------------------


def test_structures_that_are_no_class_folders(tmp_path: Path) -> None:
    flat = save(tmp_path / "flat", "a.png")
    assert "a picture beside class folders" in refused(flat, DataRejected)
    (tmp_path / "none").mkdir()
    assert "holds no class folder" in refused(tmp_path / "none", DataRejected)
    assert "one class folder, 'cat'" in refused(save(tmp_path / "one", "cat/a.png"), DataRejected)
    both = save(tmp_path / "both", "cat/a.png", "dog/a.png")
    (both / "cow").mkdir()
    assert "both/cow: the class folder is empty" in refused(both, DataRejected)
    (both / "cow").rmdir()
    save(both, "cat/more/a.png")
    assert "both/cat/more: a folder within a class folder" in refused(both, DataRejected)
    assert "differ by case" in refused(save(tmp_path / "case", "cat/a.png", "Cat/a.png"), DataRejected)
    assert "macOS" in refused(save(tmp_path / "mac", "__MACOSX/a.png", "cat/a.png"), DataRejected)
    assert "source.path: there is no" in refused(tmp_path / "nowhere", ConfigError)


def test_a_readme_beside_class_folders_is_no_matter(tmp_path: Path) -> None:
    root = save(tmp_path / "pets", "cat/a.png", "dog/a.png")
    (root / "README.md").write_text("Pets.")
    (root / "prices.csv").write_text("pet,price\ncat,1\n")
    assert len(read(root).dataset) == 2


def test_ways_out_of_the_folder(tmp_path: Path) -> None:
    root = save(tmp_path / "pets", "cat/a.png", "dog/a.png")
    (tmp_path / "secret").write_text("secret")
    for name, target in (("out", tmp_path / "secret"), ("loop", root / "dog" / "loop"), ("up", tmp_path)):
        (root / "dog" / name).symlink_to(target)
        assert "pets/dog" in refused(root, UnsafeInput)
        (root / "dog" / name).unlink()
    os.mkfifo(root / "dog" / "pipe.png")
    assert "neither a file nor a folder" in refused(root, UnsafeInput)
    (root / "dog" / "pipe.png").unlink()
    (root / "dog" / "two\nlines.png").write_bytes(b"")
    assert "two\\nlines.png" in refused(root, UnsafeInput)
    (root / "dog" / "two\nlines.png").unlink()
    (root / "dog" / "same.png").symlink_to(root / "cat" / "a.png")
    assert len(read(root).dataset) == 3, "a link inside is fine"


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = save(tmp_path / "pets", "cat/a.png", "cat/b.png", "dog/a.png")
    monkeypatch.setattr(images, "MAX_BYTES", 3 * 100 * 100 * 3 - 1)
    assert "lower source.size, to [99, 99] or less" in refused(
        root, ResourceLimit, size=(100, 100), mode="colour"
    )
    monkeypatch.setattr(finding, "MAX_FILES", 2)
    assert "more than 2 files" in refused(root, ResourceLimit)


# --- manifests --------------------------------------------------------------------------------------


def listing(root: Path, text: str, name: str = "list.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def test_a_manifest_keeps_its_order_and_its_columns(tmp_path: Path) -> None:
    root = save(tmp_path / "scans", "a.png", "deep/b.png", "c.png")
    path = listing(
        root,
        "path,label,patient,width\nc.png,ill,7,99\ndeep/b.png,well,8,99\na.png,ill,7,99\nno.png,well,9,9\n",
    )
    for given in (path, root):
        loaded = read(given)
        rows = loaded.dataset.rows
        assert rows["path"].tolist() == ["c.png", "deep/b.png", "a.png", "no.png"]
        assert rows["label"].tolist() == ["ill", "well", "ill", "well"]
        assert rows["patient"].tolist() == [7, 8, 7, 9]
        assert rows["width"].tolist() == [5, 5, 5, 0]
        assert [finding.column for finding in loaded.findings] == ["width"]
        assert loaded.bad == {3: "can't be decoded: can't be read: No such file or directory"}
        np.testing.assert_array_equal(loaded.dataset.pixels[:3], PIXELS[[2, 1, 0]])  # type: ignore[index]
        assert place(1, loaded.files) == "scans/deep/b.png"


def test_a_manifest_with_other_names_and_an_official_split(tmp_path: Path) -> None:
    root = save(tmp_path / "scans", "a.png", "b.png")
    text = "image\tgrade\tpart\na.png\t1\ttrain\nb.png\t2\ttest\n"
    rows = read(listing(root, text, "list.tsv"), file="image", label="grade").dataset.rows
    assert rows["label"].tolist() == [1, 2]
    assert rows["part"].tolist() == ["train", "test"]
    assert "grade" not in rows.columns
    unlabelled = listing(root, "image\na.png\nb.png\n")
    assert "label" not in read(unlabelled, target=None, file="image").dataset.rows.columns


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("path,lable\na.png,1\n", DataRejected, "no column 'label', which source.label names"),
        ("file,label\na.png,1\n", DataRejected, "no column 'path', which source.file names"),
        ("path,label\n,1\n", DataRejected, "row 1: no path"),
        ("path,label\na.png,1\n../a.png,2\n", UnsafeInput, "row 2: '../a.png' leads out"),
        ("path,label\n/etc/hostname,1\n", UnsafeInput, "leads out"),
        ("path,label\nout.png,1\n", UnsafeInput, "leads out"),
        ("path,label\nup/a.png,1\n", UnsafeInput, "leads out"),
        ('path,label\n"a\nb.png",1\n', UnsafeInput, "not printable"),
    ],
)
def test_manifests_that_are_refused(text: str, kind: type[ModelyardError], said: str, tmp_path: Path) -> None:
    root = save(tmp_path / "scans", "a.png")
    (root / "out.png").symlink_to("/etc/hostname")
    (root / "up").symlink_to(tmp_path)
    assert said in refused(listing(root, text), kind)


def test_two_manifests(tmp_path: Path) -> None:
    root = save(tmp_path / "scans", "a.png")
    listing(root, "path,label\na.png,1\n")
    listing(root, "path,label\na.png,1\n", "other.csv")
    assert "'list.csv', 'other.csv'" in refused(root, DataRejected)


def test_another_target(tmp_path: Path) -> None:
    assert "target is 'label'" in refused(save(tmp_path, "cat/a.png", "dog/a.png"), ConfigError, target="pet")
