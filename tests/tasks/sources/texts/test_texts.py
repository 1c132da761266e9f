"""Texts as folders, as JSON lines and as a table: what is read, what is refused and in which words."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tasks import sources
from tasks.config import Columns, TextsSource
from tasks.errors import DataFormatError, DataRejected, ModelyardError, UnsafeInput
from tasks.sources.loaded import Loaded
from tasks.sources.texts.describing import script

TEXTS = {"good": ["a fine film", "так хорошо"], "bad": ["dull", "…"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two class folders of two texts."""
    for label, texts in TEXTS.items():
        (tmp_path / "reviews" / label).mkdir(parents=True)
        for at, text in enumerate(texts):
            (tmp_path / "reviews" / label / f"{at}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "reviews"


def read(place: Path, target: str | None = "label", text: str = "text") -> Loaded:
    source = TextsSource(kind="texts", path=place.name)
    assert sources.fingerprint(source, place.parent)
    return sources.read(source, place.parent, target, Columns(text=text))


def lines(tmp_path: Path, content: str | bytes, name: str = "reviews.jsonl") -> Path:
    place = tmp_path / name
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


def test_a_folder_for_each_class(folder: Path) -> None:
    rows = read(folder).dataset.rows
    assert rows["text"].tolist() == ["dull", "…", "a fine film", "так хорошо"]
    assert rows["label"].tolist() == ["bad", "bad", "good", "good"]
    assert rows["text_tokens"].tolist() == [1, 0, 3, 2]
    assert rows["text_script"].tolist() == ["Latin", "none", "Latin", "Cyrillic"]
    assert rows["text_empty"].tolist() == [False, True, False, False]


def test_a_fingerprint_sees_texts_and_classes_but_no_names_of_files(folder: Path) -> None:
    before = read(folder).fingerprint
    (folder / "bad" / "0.txt").rename(folder / "bad" / "00.txt")
    assert read(folder).fingerprint == before
    (folder / "bad" / "00.txt").write_text("dull!")
    assert read(folder).fingerprint != before


def test_files_that_are_no_text_are_named(folder: Path) -> None:
    (folder / "bad" / "0.txt").write_bytes(b"fine\ncaf\xe9")
    with pytest.raises(DataFormatError, match=r"bad/0\.txt line 2: byte 0xe9 is no UTF-8"):
        read(folder)
    (folder / "bad" / "0.txt").write_bytes(b"a\x00b")
    with pytest.raises(DataFormatError, match="zero byte"):
        read(folder)


@pytest.mark.parametrize(
    ("inner", "told"),
    [
        ("bad/more/0.txt", "reviews/bad/more: a folder within a class folder"),
        ("__MACOSX/0.txt", "__MACOSX: no class"),
        ("BAD/0.txt", "'BAD' and 'bad' differ by case alone"),
    ],
)
def test_folders_that_are_no_classes(folder: Path, inner: str, told: str) -> None:
    (folder / inner).parent.mkdir()
    (folder / inner).write_text("x")
    with pytest.raises(DataRejected, match=told):
        read(folder)


def test_an_official_split_is_not_taken_for_classes(folder: Path) -> None:
    official = folder.parent / "official"
    for part in ("train", "test", "val"):
        shutil.copytree(folder, official / part)
    loaded = read(official)
    rows = loaded.dataset.rows
    assert rows["part"].tolist() == ["train"] * 8 + ["test"] * 4
    assert rows["label"].tolist() == ["bad", "bad", "good", "good"] * 3
    assert "part" not in read(folder).dataset.rows
    (official / "test" / "bad" / "0.txt").rename(official / "train" / "bad" / "00.txt")
    assert read(official).fingerprint != loaded.fingerprint


def test_a_way_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("x")
    (folder / "bad" / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(UnsafeInput, match=r"bad/link\.txt: leads out"):
        read(folder)


def test_folders_that_are_not_as_they_should_be(folder: Path) -> None:
    (folder / "stray.txt").write_text("x")
    with pytest.raises(DataRejected, match="a text beside class folders"):
        read(folder)
    (folder / "stray.txt").unlink()
    os.mkfifo(folder / "bad" / "pipe.txt")
    with pytest.raises(UnsafeInput, match="neither a file nor a folder"):
        read(folder)


GOOD = '{"text": "a fine film", "label": "good", "stars": 5}\n{"label": "bad", "text": "dull"}\n'


@pytest.mark.parametrize("name", ["reviews.jsonl", "reviews.ndjson.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    content = GOOD.encode()
    rows = read(
        lines(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    ).dataset.rows
    assert rows["text"].tolist() == ["a fine film", "dull"]
    assert rows["stars"].tolist()[0] == 5.0
    assert rows["stars"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (GOOD + '{"text": "x", "text": "y", "label": "bad"}\n', "line 3: no JSON object: a key stands twice"),
        (GOOD + "[1, 2]\n", "line 3: got list"),
        (GOOD + '{"text": NaN}\n', "NaN is no value of JSON"),
        (GOOD + '{"text": "cut', "line 3: no JSON object"),
        (GOOD + "\n" + GOOD, "line 3: no JSON object: an empty line"),
        (GOOD + '{"text": "\\ud800", "label": "bad"}\n', "line 3: no UTF-8"),
        (GOOD.encode() + b'{"text": "caf\xe9"}\n', "line 3: no UTF-8"),
        (GOOD + '{"text": ["a"], "label": "bad"}\n', "line 3: 'text' is a list or an object"),
        (GOOD + "[" * 100_000 + "\n", "line 3"),
        ("", "0 rows"),
        ('{"label": "a"}\n', "no column 'text', the texts"),
        ('{"text": "a"}\n', "no column 'label', the target"),
        ('{"text": "a", "label": "b", "text_empty": true}\n', "rename that column"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(ModelyardError) as caught:
        read(lines(tmp_path, content))
    assert told in str(caught.value)


def test_a_text_column_of_a_table_stays_text(tmp_path: Path) -> None:
    place = tmp_path / "numbers.csv"
    pd.DataFrame({"review": ["1", "22", "3"], "label": ["a", "b", "a"]}).to_csv(place, index=False)
    rows = read(place, text="review").dataset.rows
    assert rows["review"].tolist() == ["1", "22", "3"]
    assert rows["text_characters"].tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "Latin"),
        ("привет, man", "Cyrillic"),
        ("電影很好", "Han"),
        ("ひらがな", "Japanese"),
        ("فيلم", "Arabic"),
        ("12 !?", "none"),
    ],
)
def test_scripts(text: str, expected: str) -> None:
    assert script(text) == expected
