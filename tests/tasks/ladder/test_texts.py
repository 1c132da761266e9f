from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from tasks.config import Columns, Encode
from tasks.dataset import Dataset
from tasks.ladder import texts
from tasks.ladder.baselines import Problem, answer, balance

GOOD, BAD, PLAIN = (
    ["fine", "moving", "warm", "bright", "lovely"],
    ["dull", "slow", "stale", "empty", "weak"],
    list("abcdefgh"),
)


def reviews(rows: int = 240, classes: int = 2) -> Dataset:
    """Made sentences: mostly words that say nothing, one or two that tell the class."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, classes, rows)
    telling = [GOOD, BAD, ["so", "and", "then"]]
    made = [
        " ".join([*rng.choice(PLAIN, 6), *rng.choice(telling[label], 2), *rng.choice(PLAIN, 2)])
        for label in labels
    ]
    stars = labels * 2.0 + rng.normal(size=rows) / 10
    frame = {"text": pd.Series(made, dtype="str"), "label": [f"class {i}" for i in labels], "stars": stars}
    return Dataset(pd.DataFrame(frame))


def asked(kind: str, target: str, text: str | None = "text") -> Problem:
    return Problem(kind, target, Columns(text=text), Encode(), (), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", ["majority", "logistic", "bayes", "svm", "ngrams"])
def test_rungs_for_texts_answer_every_row(name: str, classes: int) -> None:
    data = reviews(classes=classes)
    train, test = data.take(np.arange(180)), data.take(np.arange(180, 240))
    found = answer(name, train, test, asked("classification", "label"))
    assert found.error is None
    assert found.predictions is not None
    assert set(found.predictions.values) <= set(train.rows["label"])
    assert (found.predictions.probabilities is None) == (name in ("svm", "ngrams"))
    if name != "majority":
        assert (found.predictions.values == test.rows["label"]).mean() > 0.9


def test_logistic_regression_goes_on_until_it_has_learned() -> None:
    """Where every word is rare, every gradient is small from the first step on."""
    rng = np.random.default_rng(0)
    labels = np.arange(1200) % 2
    drawn = rng.integers(0, 400, (1200, 8)) + np.where(rng.random((1200, 8)) < 0.7, labels[:, None], 2) * 400
    made = [" ".join(f"w{word}" for word in row) for row in drawn]
    model = texts.estimator("logistic", "classification", 0).fit(made, labels)
    exact = texts.estimator("logistic", "classification", 0).set_params(logisticregression__tol=1e-9)
    expected = exact.fit(made, labels).predict_proba(made)
    assert np.abs(model.predict_proba(made) - expected).max() < 0.01


def test_a_number_is_predicted_from_texts() -> None:
    data = reviews()
    train, test = data.take(np.arange(180)), data.take(np.arange(180, 240))
    error = {}
    for name in ("median", "ridge"):
        found = answer(name, train, test, asked("regression", "stars")).predictions
        assert found is not None
        error[name] = np.abs(found.values - test.rows["stars"]).mean()
    assert error["ridge"] < 0.5 * error["median"]


def test_the_sum_is_the_sum_of_both_at_unit_size() -> None:
    data = reviews(rows=120)
    train, labels = list(data.rows["text"][:90]), data.rows["label"][:90].to_numpy()
    summed = texts.Sum(0).fit(train, labels)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[\w']+")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    counts = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"[\w']+")
    both = make_union(words, characters)
    margin = LinearSVC(C=0.3, random_state=0).fit(both.fit_transform(train), labels)
    bayes = MultinomialNB().fit(counts.fit_transform(train), labels)
    test = list(data.rows["text"][90:])
    odds = np.diff(bayes.predict_log_proba(counts.transform(test)))[:, 0]
    total = margin.decision_function(both.transform(test)) / summed.sizes[0] + odds / summed.sizes[1]
    np.testing.assert_array_equal(summed.predict(test), np.where(total > 0, "class 1", "class 0"))
    # Sizes are those of rows that were left out; half the margin is for, half against.
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    left_out = cross_val_predict(
        LinearSVC(C=0.3, random_state=0), both.transform(train), labels, cv=folds, method="decision_function"
    )
    assert summed.sizes[0] == pytest.approx(np.sqrt((left_out**2).mean()) / 2)


def test_a_class_of_one_row_does_not_stop_the_sum() -> None:
    data = reviews(rows=60)
    data.rows.loc[0, "label"] = "alone"
    assert answer("ngrams", data, data, asked("classification", "label")).error is None


def test_rungs_say_what_they_can_not_read() -> None:
    data = reviews(rows=60)
    found = answer("boosting", data, data, asked("classification", "label"))
    assert "can't read texts; use bayes, logistic, svm or ngrams" in str(found.error)
    for name in ("bayes", "ngrams"):
        found = answer(name, data, data, asked("classification", "label", text=None))
        assert "reads texts only" in str(found.error)
        assert "columns.text" in str(found.error)


@pytest.mark.parametrize("name", ["logistic", "bayes", "svm", "ngrams"])
def test_rare_classes_weigh_more_where_they_did_for_the_candidate(name: str) -> None:
    model = texts.estimator(name, "classification", 0)
    members = [last for _, last in model.members] if name == "ngrams" else [model]
    weights = balance(np.array(["a", "a", "a", "b"]), *members)
    assert weights == pytest.approx((2 / 3, 2.0))
    lasts = [member if name == "ngrams" else member[-1] for member in members]
    for last in lasts:
        known = last.get_params()
        assert known.get("class_weight", "balanced") == "balanced"
        assert not known.get("fit_prior", False)
