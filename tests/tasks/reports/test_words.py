import numpy as np
import pandas as pd
import pytest

from tasks.learning import scoring
from tasks.reports import words


@pytest.fixture(scope="module", params=["rnn", "wide"])
def scorer(request, bundles):
    return scoring.load(bundles[request.param])


def test_the_telling_words_are_found_for_any_kind_of_network(scorer, reviews):
    shown = words.learned(scorer, reviews.films()["review"].tolist())
    for side, told in shown["sides"]:
        assert {word for word, _ in told[:3]} == set(reviews.opinions[side])
    assert shown["looked"] == 240
    assert shown["two"] == ("good", "poor")


def test_words_are_counted_by_texts_and_rare_ones_stay_out():
    texts = ["ever ever ever", *["ever so"] * (words.FEWEST - 1), "ever!"]
    found, looked = words._frequent(texts)
    assert found == [("ever", words.FEWEST + 1)]
    assert looked == len(texts)


def test_of_many_texts_a_part_is_looked_at(monkeypatch):
    monkeypatch.setattr(words.ngrams, "CHUNK", 50)
    found, looked = words._frequent(["abcde"] * 100)
    assert (found, looked) == ([("abcde", 10)], 10)


def test_where_too_few_words_recur_nothing_is_shown(scorer):
    assert words.learned(scorer, ["one two", "three"]) is None


def test_words_of_one_opinion_are_neighbours(bundles, reviews):
    scorer = scoring.load(bundles["rnn"])
    shown = words.learned(scorer, reviews.films()["review"].tolist())
    first = {entry["word"]: [word for word, _ in entry["near"]] for entry in shown["neighbours"]}
    for told in reviews.opinions.values():
        for word in told:
            assert set(first[word][:2]) == set(told) - {word}
            assert word not in first[word]
    assert {"great", "dull"} <= set(
        shown["map"]["figure"].split("<title>")[1].split("</title>")[0].split(", ")
    )


def test_the_embedding_is_that_of_the_word(bundles):
    scorer = scoring.load(bundles["rnn"])
    vectors = words.embedded(scorer, ("film", "dull"))
    table = scorer.network.embedding.weight.detach().numpy()
    at = [2 + scorer.encoder.inputs.vocabulary.index(word) for word in ("film", "dull")]
    np.testing.assert_array_equal(vectors, table[at])


def test_a_network_without_an_embedding_of_words_has_no_neighbours(bundles, reviews):
    shown = words.learned(scoring.load(bundles["wide"]), reviews.films()["review"].tolist())
    assert shown["neighbours"] == []
    assert shown["map"] is None


def test_for_a_number_the_sides_are_higher_and_lower(tmp_path, reviews):
    rows = reviews.films()
    rows["label"] = np.where(rows["label"] == "good", 90.0, 10.0)
    config = reviews.config(
        {"kind": "rnn", "embedding": 8, "hidden": 8},
        task="regression",
        evaluate={"metric": "mae", "baselines": ["median"]},
    )
    shown = words.learned(scoring.load(reviews.trained(tmp_path, config, rows)), rows["review"].tolist())
    sides = {side: {word for word, _ in told[:3]} for side, told in shown["sides"]}
    assert sides == {"higher": set(reviews.opinions["good"]), "lower": set(reviews.opinions["poor"])}


def test_a_rarity_counts_for_less():
    leans = np.array([[0.4, 0.0], [0.3, 0.0]])
    made = words.Words(("rare", "usual"), np.array([5, 500]), 600, leans, ("a", "b"))
    assert made.order().tolist() == [1, 0]


def test_letters_of_any_script_are_words(scorer):
    texts = [*["отличный фильм"] * 6, *["很好"] * 6]
    found, _ = words._frequent(texts)
    assert dict(found) == {"отличный": 6, "фильм": 6, "很": 6, "好": 6}
    assert words.ask(scorer, texts) is not None
    assert isinstance(scorer.predict(pd.DataFrame({"review": ["отличный"]})).probabilities, np.ndarray)
