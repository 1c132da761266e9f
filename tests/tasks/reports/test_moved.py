import numpy as np
import pandas as pd
import pytest

from tasks import wording
from tasks.learning import scoring
from tasks.reports import moved


@pytest.fixture(scope="module")
def scorer(bundles):
    return scoring.load(bundles["wide"])


def probability(scorer, text, side):
    answer = scorer.predict(pd.DataFrame({"review": [text]}))
    return answer.probabilities[0, list(answer.classes).index(side)]


def coloured(shown):
    return {text: (what, strength) for text, what, strength in shown["pieces"] if what}


def test_the_word_that_told_is_the_strongest(scorer):
    shown = moved.marked(scorer, ["A song, an awful film."])[0]
    assert coloured(shown)["awful"] == ("hit", moved.STRONGEST)
    assert shown["words"].startswith("without awful ")


def test_it_is_said_what_the_answer_is_without_a_word(scorer):
    shown = moved.marked(scorer, ["Awful film"])[0]
    left = probability(scorer, " film", "poor")
    assert left < probability(scorer, "Awful film", "poor") - 0.1
    assert shown["words"].split(", ")[0] == f"without Awful {wording.share(left, 1)}"


def test_log_odds_tell_apart_what_is_all_but_certain():
    odds = moved.log_odds(np.array([[1.0, 1e-20], [1.0, 1e-25], [0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_allclose(odds[:3, 0], [np.log(1e20), np.log(1e25), 0.0])
    assert np.isfinite(odds).all()
    np.testing.assert_allclose(moved.log_odds(np.array([[0.2, 0.3, 0.5]]))[0, 1], np.log(0.3 / 0.7))


def test_a_word_against_the_answer_has_the_other_colour(scorer):
    shown = moved.marked(scorer, ["Awful, dull and cold, but lovely"])[0]
    assert coloured(shown)["lovely"][0] == "miss"
    assert coloured(shown)["dull"][0] == "hit"


@pytest.mark.parametrize("text", ["A song, an  awful\nfilm!", "İstanbul is dull", "", "  ", "很好 film", "…"])
def test_no_letter_is_lost(scorer, text):
    shown = moved.marked(scorer, [text])[0]
    line = " ".join(text.split())
    assert "".join(piece for piece, _, _ in shown["pieces"]).lower() == line.lower()


def test_a_long_text_is_shown_from_its_beginning(scorer):
    shown = moved.marked(scorer, [" ".join(f"w{i}" for i in range(moved.TRIED + 5))])[0]
    text = "".join(piece for piece, _, _ in shown["pieces"])
    assert text.endswith(f"w{moved.TRIED - 1} …")


def test_words_that_do_nothing_are_pale_and_unnamed(scorer):
    shown = moved.marked(scorer, ["zzz qqq"])[0]
    assert shown["words"] == ""
    assert all(strength < moved.STRONGEST for _, _, strength in shown["pieces"])


def test_texts_keep_their_order(scorer):
    shown = moved.marked(scorer, ["dull film", "", "lovely song"])
    assert [each["words"].split(" ")[1:2] for each in shown] == [["dull"], [], ["lovely"]]
