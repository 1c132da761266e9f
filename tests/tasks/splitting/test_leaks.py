"""Leak checks: parts proved whole, copies across parts found, a column that is the answer found."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.splitting import leaks


def parts(*names):
    return pd.Series(names, name="part")


def three(count):
    """Parts for `count` rows: 60 % train, 20 % validation, 20 % test."""
    fifth = count // 5
    return pd.Series(["train"] * (count - 2 * fifth) + ["validation"] * fifth + ["test"] * fifth)


# --- disjoint and complete ------------------------------------------------------------------------------


def test_a_row_in_no_part_or_in_two_is_a_bug_of_ours():
    rows = pd.DataFrame({"x": [1, 2, 3]})
    whole = parts("train", "validation", "test")
    leaks.prove(whole, rows)
    for broken in (
        whole[:2],
        whole.set_axis([0, 1, 1]),
        parts("train", "train", "test"),
        parts("train", "x", "test"),
    ):
        with pytest.raises(AssertionError):
            leaks.prove(broken, rows)


# --- copies ---------------------------------------------------------------------------------------------


def test_copies_across_parts_are_told_with_count_and_pairs_and_no_values():
    rows = pd.DataFrame({"x": ["secret", "b", "secret", "b", None, None], "y": [1, 2, 1, 2, 3, 3]})
    where = parts("train", "train", "test", "train", "test", "validation")
    found = leaks.copies(rows, where, ["x", "y"])
    assert "2 examples stand in more than one part, features and target alike (4 rows)" in found.told
    assert "row 1 (train) ~ row 3 (test); row 6 (validation) ~ row 5 (test)" in found.told
    assert "secret" not in found.told
    assert found.blocks
    assert leaks.copies(rows, parts("train", "test", "train", "test", "test", "test"), ["x", "y"]) is None


def test_only_the_first_ten_pairs_are_named_and_200_kept():
    rows = pd.DataFrame({"x": list(range(300)) * 2})
    found = leaks.copies(rows, pd.Series(["train"] * 300 + ["test"] * 300), ["x"])
    assert "300 examples" in found.told
    assert found.told.count(" ~ ") == 10
    assert found.told.endswith("; …")
    assert len(found.pairs) == 200


def test_a_value_that_must_stay_in_one_part_is_told_by_its_rows():
    rows = pd.DataFrame({"who": ["ann", "bob", "ann", None, None, "bob"], "x": range(6)})
    where = parts("train", "train", "test", "train", "test", "train")
    found = leaks.groups(rows, where, "who")
    assert found.told.startswith("1 values of 'who', which split.disjoint_by keeps in one part each")
    assert [(pair.row, pair.part, pair.other, pair.other_part) for pair in found.pairs] == [
        (1, "train", 3, "test")
    ]
    assert "ann" not in found.told
    assert leaks.groups(rows, parts("train", "train", "train", "train", "test", "train"), "who") is None


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.5, None]), st.sampled_from("ab"), st.integers(0, 2)), max_size=25
    )
)
def test_straddling_agrees_with_a_plain_count(examples):
    rows = pd.DataFrame(examples, columns=["x", "t", "part"]).astype({"x": "float64", "t": "str"})
    where = rows["part"].map(dict(enumerate(("train", "validation", "test"))))
    met = {}
    for x, t, part in examples:
        met.setdefault((x, t), set()).add(part)
    expected = [row for row, (x, t, _) in enumerate(examples) if len(met[(x, t)]) > 1]
    assert sorted(leaks.straddling(rows, where, ["x", "t"]).index) == expected


def test_equal_features_under_another_target_warn_with_the_count():
    rows = pd.DataFrame({"x": [1, 2, 1, 3], "y": [5, 6, 7, 8]})
    (warning,) = leaks.twins(rows, parts("train", "train", "test", "test"), ["x"])
    assert warning.startswith("2 rows have the same features as a row of another part")
    assert leaks.twins(rows, parts("train", "train", "train", "test"), ["x"]) == []
    assert leaks.twins(rows, parts("train", "train", "test", "test"), []) == []


# --- one column that is the answer ----------------------------------------------------------------------


def told(rows, kind, features=None, target="y"):
    features = [name for name in rows.columns if name != target] if features is None else features
    found = leaks.scores(rows, three(len(rows)), features, target, kind)
    return [name for name, score in found.items() if score >= leaks.SUSPICIOUS]


def numbers(count=400):
    rng = np.random.default_rng(1)
    price = np.exp(rng.normal(12, 0.4, count))
    return pd.DataFrame(
        {"area": price / 90 + rng.normal(0, 400, count), "noise": rng.normal(size=count), "y": price}
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda y: y * 2 + 3,
        lambda y: (-y).where(y > y.quantile(0.05)),
        lambda y: y.round(-3).astype("Int64"),
        lambda y: y * 1e300 * 1e2 / 1e250,
        lambda y: pd.Timestamp("2000-01-01") + pd.to_timedelta(y.round(), unit="D"),
        lambda y: pd.qcut(y, 50, labels=False).map("band {}".format),
    ],
    ids=["line", "mirror with gaps", "rounded", "huge", "date", "bands"],
)
def test_a_number_that_is_the_answer_in_disguise_is_named(answer):
    rows = numbers()
    assert told(rows.assign(leak=answer(rows["y"])), "regression") == ["leak"]


def test_an_honest_strong_feature_and_row_numbers_are_not_named():
    rows = numbers()
    assert (
        told(rows.assign(id=[f"id{i}" for i in range(len(rows))], constant=1, gap=np.nan), "regression") == []
    )


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_a_category_that_is_the_class_is_named(classes):
    rng = np.random.default_rng(2)
    label = pd.Series(rng.integers(0, classes, 1500))
    rows = pd.DataFrame(
        {"x": rng.normal(size=1500), "word": label.map("w{}".format), "y": label.map("c{}".format)}
    )
    rows["truth"] = label == 0
    assert told(rows, "classification") == (["word", "truth"] if classes == 2 else ["word"])


def test_a_rare_class_is_not_predicted_by_guessing_the_common_one():
    rng = np.random.default_rng(4)
    rows = pd.DataFrame(
        {"x": rng.normal(size=1000), "y": np.where(np.arange(1000) % 100 == 0, "rare", "common")}
    )
    assert told(rows, "classification") == []


def test_a_gap_can_be_the_answer():
    sold = pd.Series(np.arange(300) % 3 == 0)
    rows = pd.DataFrame(
        {"buyer": pd.Series(["name"] * 300).where(sold), "date": np.where(sold, 1.0, np.nan), "y": sold}
    )
    assert told(rows, "classification") == ["buyer", "date"]


def test_no_verdict_on_few_rows_one_class_or_a_constant_target():
    rows = numbers(40).assign(leak=lambda rows: rows["y"])
    assert told(rows, "regression") == []
    assert told(numbers(400).assign(y=1.0, leak=1.0), "regression") == []
    assert told(pd.DataFrame({"x": np.arange(400), "y": "one"}), "classification") == []


def test_test_rows_are_not_looked_at():
    rows = numbers().assign(leak=lambda rows: rows["y"])
    hidden = rows.copy()
    hidden.loc[three(400) == "test", ["leak", "y"]] = -1.0
    assert told(hidden, "regression") == told(rows, "regression") == ["leak"]


def test_a_lucky_deal_of_few_rows_refuses_nothing():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 60)
    x = label + rng.normal(0, 0.27, 120)  # 97 % right
    rows = pd.DataFrame({"x": x, "y": label}).sample(frac=1, random_state=1).reset_index(drop=True)
    clear = np.flatnonzero(((rows["x"] - 0.5).abs() > 0.3) & ((rows["x"] > 0.5) == (rows["y"] == 1)))
    where = pd.Series("train", index=rows.index)
    where[clear[:20]] = "validation"
    where[clear[-10:]] = "test"
    assert leaks.scores(rows, where, ["x"], "y", "classification")["x"] >= leaks.SUSPICIOUS
    assert leaks.giveaways(rows, where, ["x"], "y", "classification") == []
    (sure,) = leaks.giveaways(rows.assign(x=rows["y"] * 2.0), where, ["x"], "y", "classification")
    assert (sure.kind, sure.blocks) == ("telltale", True)
    assert sure.told.startswith("the column 'x' alone predicts the target (balanced accuracy 1.000 on")


def test_a_wide_table_is_probed_in_seconds():
    rng = np.random.default_rng(5)
    rows = (
        pd.DataFrame(rng.normal(size=(3000, 73))).rename(columns="c{}".format).assign(y=rng.normal(size=3000))
    )
    began = time.process_time()
    assert told(rows, "regression") == []
    assert time.process_time() - began < 3  # 0.3 s on a quiet machine
