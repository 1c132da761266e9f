from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks import config
from tasks.checks import suite
from tasks.drafting import folder, looking
from tasks.drafting.guesses import Asked, Draft, Guess
from tasks.errors import ConfigError, DataRejected


def paint(place: Path, *, grey: bool, margin: bool, count: int = 14) -> Path:
    """Two folders of pictures of mixed sizes: bright and dark."""
    rng = np.random.default_rng(2)
    for label, level in (("bright", 200), ("dark", 40)):
        (place / label).mkdir(parents=True)
        for i in range(count):
            shape = (24 + i % 3 * 4, 30) if grey else (24 + i % 3 * 4, 30, 3)
            pixels = rng.integers(level - 30, level + 30, shape).astype(np.uint8)
            if margin:
                framed = np.zeros_like(pixels)
                framed[4:-4, 4:-4] = pixels[4:-4, 4:-4]
                pixels = framed
            Image.fromarray(pixels).save(place / label / f"{i}.png")
    return place


def test_colour_of_mixed_sizes(tmp_path) -> None:
    draft = looking.draft(paint(tmp_path / "in", grey=False, margin=False), Asked())
    assert draft.tree["source"] | {"path": ""} == {
        "kind": "images", "path": "", "size": (28, 30), "mode": "colour",
    }  # fmt: skip
    assert draft.tree["fit"]["augment"] == {"shift": 0}
    home = folder.write(tmp_path / "root", "pics", draft, tmp_path / "in")
    assert config.load(tmp_path / "root", "pics").config.source.path == "raw"
    assert (home / "raw" / "dark" / "3.png").exists()
    assert suite.load(home / "expectations.json").name == "pics"


def test_grey_with_a_margin_may_be_shifted(tmp_path) -> None:
    draft = looking.draft(paint(tmp_path / "in", grey=True, margin=True), Asked())
    assert draft.tree["source"]["mode"] == "grey"
    assert draft.tree["fit"]["augment"] == {"shift": 2}
    budgets = [draft.tree["presets"][name]["fit"]["max_examples"] for name in ("quick", "best")]
    assert budgets[0] < draft.tree["fit"]["max_examples"] < budgets[1]


def draw(place: Path, classes: dict[str, np.ndarray], count: int = 40) -> Path:
    """A folder for each class, with its bright spots on some ground, and a little noise."""
    rng = np.random.default_rng(3)
    for label, bright in classes.items():
        (place / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.where(bright, 220, 20) + rng.integers(0, 12, bright.shape)
            Image.fromarray(pixels.astype(np.uint8)).save(place / label / f"{i}.png")
    return place


def spots(rows: slice, columns: slice) -> np.ndarray:
    bright = np.zeros((24, 24), dtype=bool)
    bright[rows, columns] = True
    return bright


def guess(draft: Draft, what: str) -> Guess:
    return next(guess for guess in draft.guesses if guess.what == what)


def test_pictures_that_a_mirror_puts_into_another_class_are_not_mirrored(tmp_path) -> None:
    few, all_rows = slice(8, 14), slice(None)
    signs = {"left": spots(few, slice(2, 8)), "right": spots(few, slice(16, 22))}
    draft = looking.draft(draw(tmp_path / "signs", signs), Asked())
    assert draft.tree["network"] == {"kind": "cnn", "fold": True, "mirror": False}
    assert guess(draft, "network.mirror").evidence == (
        "the most similar of 40 others tells the class of 100% of pictures, and of 0% of their mirror images"
    )
    assert draft.tree["fit"]["weight_decay"] == 0.01
    halves = {"top": spots(slice(2, 12), all_rows), "bottom": spots(slice(12, 22), all_rows)}
    draft = looking.draft(draw(tmp_path / "halves", halves), Asked())
    rich = {"kind": "cnn", "widths": [24, 64, 128], "fold": False, "residual": 1, "mirror": True}
    assert draft.tree["network"] == rich
    assert draft.tree["presets"]["quick"]["network"] == {"widths": [16, 48, 96]}
    assert guess(draft, "network.mirror").open
    assert (
        guess(draft, "network.fold").evidence == "58% of all pixels have the colour of their picture's corner"
    )
    assert draft.tree["fit"]["weight_decay"] == 0.05
    for what in ("network.mirror", "network.fold"):
        key, value = guess(draft, what).override.split("=")
        assert json.loads(value) is not draft.tree["network"][key.removeprefix("network.")]


def test_where_pictures_are_not_known_again_nothing_is_said_of_mirrors(tmp_path) -> None:
    rng = np.random.default_rng(4)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(60):
            Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(
                tmp_path / label / f"{i}.png"
            )
    draft = looking.draft(tmp_path, Asked())
    assert draft.tree["network"]["mirror"] is False
    assert "too few to try it on" in guess(draft, "network.mirror").evidence


def test_a_damaged_picture_fits_the_budget(tmp_path) -> None:
    place = paint(tmp_path / "in", grey=True, margin=False)
    (place / "dark" / "torn.png").write_bytes(b"no picture")
    draft = looking.draft(place, Asked())
    assert draft.tree["validate"]["quarantine"] == pytest.approx(0.05)
    assert any("1 file can't be read" in g.evidence for g in draft.open)


def test_a_table_that_lists_pictures(tmp_path) -> None:
    place = paint(tmp_path / "in", grey=True, margin=False)
    listed = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(place.glob("*/*.png"))]
    (place / "list.csv").write_text("\n".join(["picture,light", *listed]) + "\n")
    draft = looking.draft(place / "list.csv", Asked())
    assert (draft.tree["source"]["file"], draft.tree["source"]["label"]) == ("picture", "light")
    assert draft.tree["target"] == "label"
    home = folder.write(tmp_path / "root", "listed", draft, place / "list.csv")
    assert (home / "raw" / "dark" / "0.png").exists()
    assert config.load(tmp_path / "root", "listed").config.source.path == "raw/list.csv"


def test_a_folder_has_its_labels(tmp_path) -> None:
    place = paint(tmp_path / "in", grey=True, margin=False)
    with pytest.raises(ConfigError, match="what is predicted is the folder's name"):
        looking.draft(place, Asked(target="light"))


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "no such file"), ("empty", "nothing in it is known"), ("two", "which of these files is meant")],
)
def test_what_is_not_known(tmp_path, name, words) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for file in ("a.csv", "b.csv"):
        (tmp_path / "two" / file).write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=words):
        looking.draft(tmp_path / name, Asked())


def test_no_picture_at_all(tmp_path) -> None:
    for label in ("a", "b"):
        (tmp_path / "in" / label).mkdir(parents=True)
        (tmp_path / "in" / label / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataRejected, match="none of 2 files that were looked at is a picture"):
        looking.draft(tmp_path / "in", Asked())
