import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tasks.config import Config
from tasks.dataset import Dataset
from tasks.records import FileRecord
from tasks.reports import answers


def frame(truth, said):
    return pd.DataFrame({"truth": truth, "candidate": said}, index=pd.RangeIndex(len(truth), name="row"))


def test_confusion_counts_truth_downwards_and_predictions_to_the_right():
    shown = answers.confusion(frame(["cat", "cat", "dog", "dog", "dog"], ["cat", "dog", "dog", "cat", "cat"]))
    assert shown["classes"] == ["cat", "dog"]
    assert shown["counts"] == [[1, 1], [2, 1]]
    assert shown["shares"][1] == pytest.approx([2 / 3, 1 / 3])
    assert shown["pairs"] == [("dog", "cat", 2, 3)]
    assert (shown["wrong"], shown["rows"], shown["image"]) == (3, 5, None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1))
def test_confusion_accounts_for_every_row(pairs):
    shown = answers.confusion(frame(*zip(*pairs, strict=True)))
    assert sum(map(sum, shown["counts"])) == sum(shown["totals"]) == sum(shown["answers"]) == len(pairs)
    assert shown["wrong"] == sum(truth != said for truth, said in pairs)


def test_a_class_that_is_never_true_has_an_empty_row():
    shown = answers.confusion(frame([0, 0], [0, 1]))
    assert shown["counts"] == [[1, 1], [0, 0]]
    assert shown["shares"][1] == [0, 0]


def test_labels_of_mixed_kinds_are_accepted():
    assert answers.confusion(frame([1, "a"], ["a", 1]))["wrong"] == 2


@pytest.mark.parametrize(
    ("labels", "upright"),
    [(["a", "b", "c", "d"], False), (["a long name", "b", "c", "d"], True), (["a long name", "b"], False)],
)
def test_heads_of_long_names_stand_upright(labels, upright):
    assert answers.confusion(frame(labels, labels))["upright"] is upright


def test_many_classes_become_a_picture():
    labels = list(range(answers.TABLE_CLASSES + 1))
    assert answers.confusion(frame(labels, labels))["image"].startswith("data:image/png;base64,")


def test_residuals_in_words():
    words = answers.residuals(frame([100.0, 200.0, 300.0, 400.0], [101.0, 202.0, 303.0, 500.0]), "price")[
        "words"
    ]
    assert "missed by less than 2.5" in words
    assert "75.0 % lie within 10 %" in words
    assert "26.5 too high" in words


def test_rows_without_a_number_are_left_out_of_the_residuals():
    assert answers.residuals(frame([np.nan], [1.0]), "price") is None
    assert "100.0 %" in answers.residuals(frame([np.nan, 1.0], [1.0, 1.0]), "price")["words"]


def test_filters_come_from_the_first_four_dimensional_tensor_by_name(tmp_path):
    tensors = {"b": np.ones((2, 1, 3, 3)), "a": np.ones((4, 2, 5, 5)), "0": np.ones(3)}
    save_file(
        {name: tensor.astype(np.float32) for name, tensor in tensors.items()},
        tmp_path / "weights.safetensors",
    )
    shown = answers.filters(tmp_path, folded=False)
    assert shown["words"] == "4 of 4 filters of a, 5 × 5 pixels each"
    assert shown["channels"] == 2


def test_folded_filters_are_shown_as_the_pixels_they_look_at():
    pixels = torch.randn(3, 1, 6, 6)
    blocks = torch.nn.functional.pixel_unshuffle(pixels, 2).numpy()
    np.testing.assert_array_equal(answers._unfolded(blocks), pixels.numpy())


def test_no_filters_without_convolution_file_or_whole_bytes(tmp_path):
    assert answers.filters(tmp_path, folded=False) is None
    save_file({"a": np.ones((2, 2), np.float32)}, tmp_path / "weights.safetensors")
    assert answers.filters(tmp_path, folded=False) is None
    (tmp_path / "weights.safetensors").write_bytes(b"\x10")
    assert answers.filters(tmp_path, folded=False) is None


def test_predictions_that_are_gone_or_not_predictions(tmp_path):
    assert answers.predictions(tmp_path) is None
    pd.DataFrame({"other": [1]}).to_parquet(tmp_path / "predictions.parquet")
    assert answers.predictions(tmp_path) is None


@pytest.mark.parametrize("show", [True, False])
def test_the_worst_rows_stand_first_and_quote_values_only_when_allowed(show):
    tree = {
        "name": "demo",
        "task": "regression",
        "source": {"kind": "table", "path": "x.csv"},
        "target": "y",
        "validate": {"show_values": show},
        "network": {"kind": "mlp"},
        "evaluate": {"metric": "mae", "baselines": ["median"]},
        "register": {"name": "demo"},
    }
    rows = pd.DataFrame({"x": [7, 8, 9], "y": [1.0, 2.0, 3.0]}, index=pd.Index([0, 1, 2], name="row"))
    files = (FileRecord(name="a.csv", rows=2, sha256=""), FileRecord(name="b.csv", rows=1, sha256=""))
    said = frame([1.0, 2.0, 3.0], [1.5, 2.0, 9.0])
    examples = answers.worst(said, Config.model_validate(tree), Dataset(rows), files)["examples"]
    assert [(e["row"], e["place"], e["miss"]) for e in examples][:2] == [
        (2, "b.csv row 1", 6),
        (0, "a.csv row 1", 0.5),
    ]
    assert examples[0]["values"] == ([("x", 9)] if show else [])
