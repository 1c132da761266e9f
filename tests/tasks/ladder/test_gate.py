from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.config import BetterThan, Limit, NotWorseThan
from tasks.ladder.gate import judge
from tasks.records import GateResult, Score, SliceScore, Verdict

NAN = math.nan


def score(name: str, value: float, error: str | None = None, **metrics: float) -> Score:
    named = {"accuracy": value, **metrics}
    return Score(name=name, value=value, low=value, high=value, metrics=named, error=error)


def verdict(against: str, low: float, high: float, word: str | None = None) -> Verdict:
    found = "better" if low > 0 else "worse" if high < 0 else "indistinguishable"
    return Verdict(against=against, verdict=word or found, difference=(low + high) / 2, low=low, high=high)


def one(criterion, scores=(), verdicts=(), slices=None) -> GateResult:
    (result,) = judge([criterion], metric="accuracy", scores=scores, verdicts=verdicts, slices=slices or {})
    return result


PAIR = (score("candidate", 0.981), score("logistic", 0.919))
CLEAR = (verdict("logistic", 0.045, 0.079),)


def test_better_says_so_with_its_numbers():
    result = one(BetterThan(better_than="logistic"), PAIR, CLEAR)
    assert result.passed
    assert result.criterion == "better_than: logistic"
    assert result.reason == (
        "candidate 0.981 is better than logistic 0.919 in accuracy by 0.062 [0.045, 0.079]"
    )


def test_better_by_a_margin_looks_at_the_low_end():
    assert one(BetterThan(better_than="logistic", by=0.044), PAIR, CLEAR).passed
    refused = one(BetterThan(better_than="logistic", by=0.05), PAIR, CLEAR)
    assert not refused.passed
    assert refused.criterion == "better_than: logistic by 0.05"
    assert refused.reason.endswith("[0.045, 0.079]; asked for more than 0.05")


def test_indistinguishable_is_not_better_and_not_worse():
    verdicts = (verdict("logistic", -0.01, 0.03),)
    refused = one(BetterThan(better_than="logistic"), PAIR, verdicts)
    assert not refused.passed
    assert "indistinguishable from logistic 0.919" in refused.reason
    assert one(NotWorseThan(not_worse_than="logistic"), PAIR, verdicts).passed


def test_worse_shows_the_size_of_the_loss():
    refused = one(NotWorseThan(not_worse_than="logistic"), PAIR, (verdict("logistic", -0.03, -0.01),))
    assert not refused.passed
    assert "worse than logistic 0.919 in accuracy by 0.02 [0.01, 0.03]" in refused.reason


@pytest.mark.parametrize(
    "criterion", [BetterThan(better_than="champion"), NotWorseThan(not_worse_than="champion")]
)
def test_the_first_model_has_no_champion_to_beat(criterion):
    assert one(criterion, PAIR, CLEAR) == GateResult(
        criterion=next(f"{k}: {v}" for k, v in criterion.model_dump().items() if v),
        passed=True,
        reason="no champion yet",
    )


@pytest.mark.parametrize("kind", [BetterThan, NotWorseThan])
@pytest.mark.parametrize("rung", ["logistic", "champion"])
def test_a_rung_that_failed_is_no_rung_that_lost(kind, rung):
    (key,) = (name for name in kind.model_fields if name != "by")
    scores = (PAIR[0], score(rung, NAN, error="scikit-learn raised MemoryError"))
    refused = one(kind(**{key: rung}), scores, (verdict(rung, 0.1, 0.2),))
    assert not refused.passed
    assert refused.reason == (
        f"{rung} failed, so nothing can be compared with it: scikit-learn raised MemoryError"
    )


@pytest.mark.parametrize("kind", [BetterThan, NotWorseThan])
@pytest.mark.parametrize(
    ("scores", "verdicts", "reason"),
    [
        (PAIR[:1], CLEAR, "logistic is not in the ladder"),
        (PAIR[1:], CLEAR, "candidate is not in the ladder"),
        ((), (), "not in the ladder"),
        (PAIR, (), "difference between candidate and logistic in accuracy is undefined"),
        (PAIR, (verdict("logistic", 0.1, 0.2, "undefined"),), "is undefined"),
        (PAIR, (verdict("logistic", 0.1, NAN, "better"),), "is undefined"),
        ((PAIR[0], score("logistic", NAN)), CLEAR, "accuracy of logistic is undefined"),
        ((score("candidate", NAN), PAIR[1]), CLEAR, "accuracy of candidate is undefined"),
        ((score("candidate", 0.9, error="it broke"), PAIR[1]), CLEAR, "it broke"),
    ],
)
def test_what_is_unknown_refuses(kind, scores, verdicts, reason):
    (key,) = (name for name in kind.model_fields if name != "by")
    refused = one(kind(**{key: "logistic"}), scores, verdicts)
    assert not refused.passed
    assert reason in refused.reason


def test_limits_hold_at_the_bound_itself():
    at = (score("candidate", 0.95, rmse=30000.0),)
    assert one(Limit(metric="accuracy", at_least=0.95), at).passed
    assert (
        one(Limit(metric="rmse", at_most=30000), at).reason == "candidate rmse 30,000 keeps to at_most 30000"
    )
    refused = one(Limit(metric="accuracy", at_least=0.951), at)
    assert not refused.passed
    assert refused.criterion == "accuracy at_least 0.951"
    assert refused.reason == "candidate accuracy 0.95 breaks at_least 0.951"


@pytest.mark.parametrize("limit", [{"at_least": -1e9}, {"at_most": 1e9}])
def test_a_metric_that_is_undefined_or_absent_keeps_to_no_limit(limit):
    for candidate in (score("candidate", 0.9), score("candidate", 0.9, log_loss=NAN)):
        refused = one(Limit(metric="log_loss", **limit), (candidate,))
        assert not refused.passed
        assert refused.reason == "log_loss of the candidate is undefined on the test rows"
    assert not one(Limit(metric="accuracy", **limit), ()).passed


def part(value: str, rows: int, found: float, column: str = "label") -> SliceScore:
    return SliceScore(column=column, value=value, rows=rows, score=found, low=found, high=found)


FLOOR = Limit(metric="accuracy", at_least=0.85, slice="label", min_rows=20)


def test_the_slice_floor_names_the_worst_slice():
    slices = {"accuracy": [part("8", 100, 0.9), part("9", 100, 0.86)]}
    result = one(FLOOR, PAIR, slices=slices)
    assert result.passed
    assert result.criterion == "accuracy at_least 0.85 in every slice of label"
    assert result.reason.endswith("the worst: accuracy 0.86 where label is 9 (100 rows)")
    slices["accuracy"] += [part("3", 100, 0.7), part("4", 100, 0.8)]
    refused = one(FLOOR, PAIR, slices=slices)
    assert not refused.passed
    assert refused.reason == (
        "2 of 4 slices break at_least 0.85; the worst: accuracy 0.7 where label is 3 (100 rows)"
    )


def test_a_ceiling_on_slices_finds_the_highest():
    slices = {"rmse": [part("a", 30, 10.0), part("b", 30, 40.0)]}
    refused = one(Limit(metric="rmse", at_most=20, slice="label"), PAIR, slices=slices)
    assert not refused.passed
    assert "where label is b" in refused.reason


def test_small_slices_are_not_judged_but_one_has_to_be():
    small = part("7", 19, 0.1)
    assert one(FLOOR, PAIR, slices={"accuracy": [part("8", 20, 0.9), small]}).passed
    for slices in ([small], [], [part("x", 99, 0.99, column="other")]):
        refused = one(FLOOR, PAIR, slices={"accuracy": slices})
        assert not refused.passed
        assert refused.reason == "no slice of label has 20 test rows, so none could be judged"


def test_an_undefined_slice_refuses_and_other_metrics_slices_do_not_stand_in():
    slices = [part("8", 50, 0.9), part("9", 50, NAN)]
    assert not one(FLOOR, PAIR, slices={"accuracy": slices}).passed
    assert not one(FLOOR, PAIR, slices={"f1_macro": [part("8", 50, 0.9)]}).passed


numbers = st.floats(-2, 2) | st.sampled_from([NAN, math.inf, -math.inf])
words = st.sampled_from(["better", "indistinguishable", "worse", "undefined"])
errors = st.none() | st.just("broke")


@given(numbers, numbers, numbers, numbers, numbers, words, errors, errors, st.floats(0, 1))
def test_relative_criteria_pass_on_finite_numbers_only(ours, theirs, mid, low, high, word, bad, worse, by):
    scores = (score("candidate", ours, error=bad), score("ridge", theirs, error=worse))
    verdicts = (Verdict(against="ridge", verdict=word, difference=mid, low=low, high=high),)
    better = one(BetterThan(better_than="ridge", by=by), scores, verdicts)
    level = one(NotWorseThan(not_worse_than="ridge"), scores, verdicts)
    known = all(map(math.isfinite, (ours, theirs, mid, low, high))) and bad is None and worse is None
    assert better.passed == (known and word == "better" and low > by)
    assert level.passed == (known and word not in ("worse", "undefined") and high >= 0)
    for result in (better, level):
        assert result.reason and "\n" not in result.reason


@given(numbers, st.floats(-2, 2), st.booleans(), st.integers(0, 40), errors)
def test_limits_pass_on_finite_numbers_only(value, bound, floor, rows, error):
    limit = {"at_least": bound} if floor else {"at_most": bound}
    holds = math.isfinite(value) and (value >= bound if floor else value <= bound) and error is None
    scores = (score("candidate", value, error=error),)
    assert one(Limit(metric="accuracy", **limit), scores).passed == holds
    sliced = one(
        Limit(metric="accuracy", slice="label", **limit),
        scores,
        slices={"accuracy": [part("a", rows, value)]},
    )
    assert sliced.passed == (holds and rows >= 20)


def test_the_order_is_that_of_the_criteria():
    criteria = [FLOOR, BetterThan(better_than="logistic"), Limit(metric="accuracy", at_least=0.5)]
    results = judge(criteria, metric="accuracy", scores=PAIR, verdicts=CLEAR, slices={})
    assert [result.passed for result in results] == [False, True, True]
    assert judge([], metric="accuracy", scores=PAIR, verdicts=CLEAR, slices={}) == ()
