import pandas as pd
import pytest

from tasks.dataset import Dataset
from tasks.learning.scoring import Scorer
from tasks.reports import texts


@pytest.fixture
def split(tmp_path, reviews):
    """Folder of a split whose first 180 rows are for training."""
    rows = reviews.films()
    part = pd.Series("train", index=rows.index, name="part")
    part.iloc[180:] = "test"
    part.to_frame().to_parquet(tmp_path / "parts.parquet")
    return tmp_path


def reader(reviews, bundle, *, show=True):
    config = reviews.config({"kind": "rnn"}, validate={"show_values": show})
    return texts.reader(config, Dataset(reviews.films()), bundle)


def test_words_are_those_of_train_rows(bundles, reviews, split):
    assert reader(reviews, bundles["rnn"]).learned(split)["looked"] == 180


def test_passages_are_told_by_row(bundles, reviews):
    found = reader(reviews, bundles["rnn"]).passages([7, 3])
    assert list(found) == [7, 3]
    for row, passage in found.items():
        assert "".join(text for text, _, _ in passage["pieces"]) == reviews.films().loc[row, "review"]


def test_no_text_is_quoted_unless_values_may_be_shown(bundles, reviews, split):
    closed = reader(reviews, bundles["rnn"], show=False)
    assert closed.passages([7, 3]) == {}
    assert closed.learned(split)["sides"]  # a word of many texts quotes none


def test_a_network_that_refuses_a_word_alone_leaves_its_part_out(bundles, reviews, split, monkeypatch):
    def refuse(*_):
        raise RuntimeError("kernel size can't be greater than actual input size")

    made = reader(reviews, bundles["rnn"])
    monkeypatch.setattr(Scorer, "predict_each", refuse)
    assert made.learned(split) is None
    assert made.passages([7]) == {}


def test_rows_that_are_gone_leave_the_words_out(bundles, reviews, tmp_path):
    assert reader(reviews, bundles["rnn"]).learned(tmp_path / "gone") is None


def test_there_is_no_reader_without_texts_rows_or_model(bundles, reviews, tmp_path):
    config, data = reviews.config({"kind": "rnn"}), Dataset(reviews.films())
    table = config.model_copy(update={"columns": config.columns.model_copy(update={"text": None})})
    assert texts.reader(config, data, bundles["rnn"]) is not None
    assert texts.reader(table, data, bundles["rnn"]) is None
    assert texts.reader(config, None, bundles["rnn"]) is None
    assert texts.reader(config, data, None) is None
    assert texts.reader(config, data, tmp_path) is None
