"""Near-duplicates across parts: planted ones are found and block, what only looks alike passes."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.config import Split
from tasks.dataset import Dataset
from tasks.errors import DataRejected
from tasks.splitting.audit import audit
from tasks.splitting.near_duplicates import images as lookalikes
from tasks.splitting.near_duplicates import rows as close_rows
from tasks.splitting.near_duplicates import texts as shingles

COUNT = 400
PLANTED = 8
"""Test rows that are copies, 6 % of validation and test."""


def dealt(count=COUNT):
    third = count // 6
    names = ["train"] * (count - 2 * third) + ["validation"] * third + ["test"] * third
    return pd.Series(names, name="part")


def judged(data, rules=None, target="y", kind="classification", text=None):
    return audit(data, dealt(len(data)), rules or Split(), target=target, kind=kind, text=text)


def sources_and_copies(count=COUNT):
    """Where copies come from (train rows), and where they are put (the last rows of test)."""
    return np.arange(PLANTED) * 3, np.arange(count - PLANTED, count)


def expect_blocked(data, tmp_path, **options):
    """The near-duplicates block, with their pairs named; a laxer setting or a word lets them pass."""
    found = judged(data, **options)
    (leak,) = found.leaks
    source, copy = sources_and_copies(len(data))
    assert {(pair.row - 1, pair.other - 1) for pair in leak.pairs} == set(zip(source, copy, strict=True))
    with pytest.raises(DataRejected) as caught:
        found.judge(tmp_path)
    assert f"{PLANTED} of " in str(caught.value)
    assert f"(train) ~ row {copy[0] + 1} (test), similarity " in str(caught.value)
    assert str(tmp_path / "leaks.json") in str(caught.value)
    stored = json.loads((tmp_path / "leaks.json").read_text())
    assert stored["pairs"][0]["kind"] == "near"
    assert len(stored["pairs"]) == PLANTED
    assert found.warnings == ()
    for rules in (Split(max_near_duplicates=0.2), Split(leaks="warn")):
        passed = judged(data, rules, **options)
        passed.judge(tmp_path)
        assert len(passed.warnings) == 1


# --- tables ---------------------------------------------------------------------------------------------


def houses(count=COUNT):
    rng = np.random.default_rng(3)
    size = rng.gamma(9, 16, count).round(1)
    return pd.DataFrame(
        {
            "size": size,
            "garden": np.where(rng.random(count) < 0.3, np.nan, rng.gamma(2, 50, count).round(1)),
            "lon": rng.normal(10, 0.1, count),
            "town": rng.choice(["North", "South"], count),
            "built": pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 25_000, count), unit="D"),
            "y": (size * 1500 + rng.normal(0, 20_000, count)).round(0),
        }
    )


def test_a_row_copied_with_a_little_noise_blocks(tmp_path):
    rows = houses()
    source, copy = sources_and_copies()
    rows.loc[copy] = rows.loc[source].to_numpy()
    rows = rows.infer_objects()
    rows.loc[copy, "lon"] += 1e-4
    rows.loc[copy, "town"] = rows.loc[copy, "town"].str.upper() + " "
    assert judged(Dataset(houses()), kind="regression").leaks == ()
    expect_blocked(Dataset(rows), tmp_path, kind="regression")


def test_rows_of_few_values_meet_by_chance_and_are_not_judged():
    rng = np.random.default_rng(0)
    one = pd.DataFrame({"x": rng.normal(size=COUNT), "y": rng.choice(["a", "b"], COUNT)})
    few = pd.DataFrame(rng.integers(0, 4, (COUNT, 6)), columns=list("abcdef")).assign(x=one["x"], y=one["y"])
    words = pd.DataFrame({"town": rng.choice(["a", "b"], COUNT), "y": one["y"]})
    for rows in (one, few, words):
        found = close_rows.nearest(rows, list(rows.columns), np.arange(250), np.arange(250, COUNT))
        assert (found == -1).all()


def test_another_word_gap_or_target_makes_another_row():
    rows = houses(60)
    known, asked = np.array([0]), np.array([59])
    like = rows.copy()
    like.loc[59] = like.loc[0]
    columns = list(rows.columns)
    assert close_rows.nearest(like, columns, known, asked).tolist() == [[0.0, 1.0]]
    for name, value in (("town", "elsewhere"), ("garden", np.nan), ("y", like["y"].max() * 2)):
        other = like.copy()
        other.loc[0, "garden"] = other.loc[59, "garden"] = 5.0
        other.loc[59, name] = value
        assert close_rows.nearest(other, columns, known, asked)[0, 0] == -1


# --- pictures -------------------------------------------------------------------------------------------


def scenes(count=COUNT, side=24, channels=()):
    """Smooth pictures with a little noise, as photographs are."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 255, (count, 6, 6, *channels))
    pixels = np.kron(coarse.reshape(count, 6, 6, -1), np.ones((1, 4, 4, 1))).reshape(
        count, side, side, *channels
    )
    pixels = np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)
    rows = pd.DataFrame({"y": rng.choice(["cat", "dog"], count), "digest": [f"d{i}" for i in range(count)]})
    return Dataset(rows, pixels)


def saved_again(picture):
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=90, subsampling=0)
    return np.asarray(Image.open(content))


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_a_picture_that_was_saved_again_or_darkened_blocks(tmp_path, channels):
    data = scenes(channels=channels)
    assert judged(data).leaks == ()
    source, copy = sources_and_copies()
    for turn, (one, other) in enumerate(zip(source, copy, strict=True)):
        picture = data.pixels[one]
        data.pixels[other] = saved_again(picture) if turn % 2 else picture // 2 + 20
    expect_blocked(data, tmp_path)


def test_pictures_are_named_by_their_files(tmp_path):
    data = scenes()
    data.rows["path"] = [f"zoo/{row}.png" for row in range(COUNT)]
    source, copy = sources_and_copies()
    data.pixels[copy] = data.pixels[source] // 2 + 20
    with pytest.raises(
        DataRejected, match=rf"zoo/0\.png \(train\) ~ zoo/{copy[0]}\.png \(test\), similarity"
    ):
        judged(data).judge(tmp_path)
    data.rows.loc[copy, ["digest", "y"]] = data.rows.loc[source, ["digest", "y"]].to_numpy()
    with pytest.raises(
        DataRejected, match=rf"8 examples .* zoo/0\.png \(train\) ~ zoo/{copy[0]}\.png \(test\)"
    ):
        judged(data).judge(tmp_path)
    pairs = json.loads((tmp_path / "leaks.json").read_text())["pairs"]
    assert pairs[0]["files"] == ["zoo/0.png", f"zoo/{copy[0]}.png"]
    plain = Dataset(houses().assign(path="secret"))
    assert "secret" not in str(judged(plain, Split(disjoint_by="town"), kind="regression").leaks)


def test_large_pictures_are_looked_at_piece_by_piece(monkeypatch):
    data = scenes(120)
    data.pixels[100:] = data.pixels[:20] // 2 + 20
    whole = lookalikes.nearest(data.pixels, np.arange(100), np.arange(100, 120))
    monkeypatch.setattr(lookalikes, "NUMBERS", 24 * 24 * 7)
    assert (lookalikes.nearest(data.pixels, np.arange(100), np.arange(100, 120)) == whole).all()
    assert whole[:, 0].tolist() == list(range(20))


def test_pictures_of_one_colour_and_tiny_ones_are_no_trouble():
    flat = np.zeros((60, 8, 8), dtype=np.uint8) + np.arange(60, dtype=np.uint8)[:, None, None]
    assert (lookalikes.nearest(flat, np.arange(40), np.arange(40, 60))[:, 0] == -1).all()
    tiny = np.random.default_rng(0).integers(0, 255, (60, 2, 3), dtype=np.uint8)
    assert lookalikes.nearest(tiny, np.arange(40), np.arange(40, 60)).shape == (20, 2)


def test_the_hash_misses_no_picture_that_all_pixels_would_find():
    data = scenes(120)
    noise = np.random.default_rng(1).normal(0, 6, (40, 24, 24))
    data.pixels[80:] = np.clip(data.pixels[:40] + noise, 0, 255)
    forms = lookalikes._form(data.pixels).reshape(120, -1)
    expected = (forms[80:] @ forms[:80].T).max(axis=1)
    found = lookalikes.nearest(data.pixels, np.arange(80), np.arange(80, 120))
    assert ((expected >= lookalikes.ALIKE) == (found[:, 0] >= 0)).all()
    assert (found[:, 0] >= 0).any()


# --- texts ----------------------------------------------------------------------------------------------


def sayings(count=COUNT, letters="abcdefghijklmnopqrstuvwxyz"):
    rng = np.random.default_rng(9)
    words = ["".join(rng.choice(list(letters), rng.integers(3, 9))) for _ in range(600)]
    texts = [" ".join(rng.choice(words, rng.integers(12, 25))) for _ in range(count)]
    return pd.DataFrame({"text": texts, "y": rng.choice(["good", "poor"], count)})


@pytest.mark.parametrize("letters", ["abcdefghijklmnop", "абвгдежзиклмноп"])
def test_a_text_with_a_changed_word_blocks(tmp_path, letters):
    rows = sayings(letters=letters)
    assert judged(Dataset(rows), text="text").leaks == ()
    source, copy = sources_and_copies()
    rows.loc[copy, "text"] = [f"{rows.loc[row, 'text'].upper()}  !!" for row in source]
    expect_blocked(Dataset(rows), tmp_path, text="text")


def test_short_texts_are_not_judged_and_gaps_are_no_texts():
    texts = ["a good film", "a good film!", "", "   ", "\ud800 broken"]
    assert (shingles.nearest(texts, np.array([0, 2]), np.array([1, 3, 4]))[:, 0] == -1).all()


def test_candidates_are_judged_by_their_true_overlap():
    rows = sayings(60)
    words = rows.loc[0, "text"].split()
    half = " ".join([*words[: len(words) // 2], *rows.loc[1, "text"].split()])
    texts = [*rows["text"], half, rows.loc[0, "text"] + " x"]
    found = shingles.nearest(texts, np.arange(60), np.array([60, 61]))
    one, other = ({texts[at][i : i + 5] for i in range(len(texts[at]) - 4)} for at in (0, 61))
    assert found[0].tolist() == [-1, -1]
    assert found[1].tolist() == [0, pytest.approx(len(one & other) / len(one | other))]


def test_boilerplate_and_long_texts_are_cut_short_not_refused(monkeypatch):
    texts = ["the same old words about the weather in the north"] * 500
    found = shingles.nearest(texts, np.arange(400), np.arange(400, 500))
    assert (found[:, 1] == 1).all()
    rows = sayings(40)
    monkeypatch.setattr(shingles, "MOST", len("".join(rows["text"])) // 3)
    texts = [*rows["text"] * 3, rows.loc[5, "text"] * 3]
    assert shingles.nearest(texts, np.arange(40), np.array([40])).tolist() == [[5, 1]]
