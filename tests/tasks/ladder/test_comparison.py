from __future__ import annotations

import math
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasks.config import METRICS
from tasks.ladder import comparison, metrics
from tasks.predictions import Predictions


def two_regressors(rows: int, seed: int, gain: float = 1.3) -> tuple[np.ndarray, dict[str, Predictions]]:
    generator = np.random.default_rng(seed)
    truth = generator.lognormal(5, 0.6, size=rows)
    shared = generator.normal(0, 20, size=rows)
    close = Predictions(truth + shared + generator.normal(0, 6, size=rows))
    far = Predictions(truth + gain * shared + generator.normal(0, 6, size=rows))
    return truth, {"candidate": close, "ridge": far}


def two_classifiers(rows: int, seed: int) -> tuple[np.ndarray, dict[str, Predictions]]:
    generator = np.random.default_rng(seed)
    truth = generator.choice(3, size=rows, p=[0.6, 0.3, 0.1])
    rungs = {}
    for name, sharpness in (("candidate", 3.0), ("logistic", 2.0)):
        logits = generator.normal(size=(rows, 3)) + sharpness * np.eye(3)[truth]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rungs[name] = Predictions(probabilities.argmax(axis=1), probabilities, np.arange(3))
    return truth, rungs


@pytest.mark.parametrize("metric", METRICS["regression"])
def test_agrees_with_scipys_paired_percentile_bootstrap_on_numbers(metric):
    truth, rungs = two_regressors(150, seed=1)
    plain = {
        "rmse": lambda t, p: np.sqrt(((t - p) ** 2).mean(axis=-1)),
        "mae": lambda t, p: np.abs(t - p).mean(axis=-1),
        "rmsle": lambda t, p: np.sqrt(((np.log1p(t) - np.log1p(p.clip(0))) ** 2).mean(axis=-1)),
        "r2": lambda t, p: 1 - ((t - p) ** 2).mean(axis=-1) / t.var(axis=-1),
    }[metric]
    sign = 1 if METRICS["regression"][metric] else -1

    def difference(t, a, b, axis=-1):
        return sign * (plain(t, a) - plain(t, b))

    expected = stats.bootstrap(
        (truth, rungs["candidate"].values, rungs["ridge"].values),
        difference,
        paired=True,
        method="percentile",
        n_resamples=9999,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = comparison.compare("regression", metric, truth, rungs, seed=0).verdicts[0]
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.high, abs=0.06 * width)
    assert found.difference == pytest.approx(difference(truth, *(rungs[r].values for r in rungs)))


@pytest.mark.parametrize("metric", METRICS["classification"])
def test_agrees_with_scipys_paired_percentile_bootstrap_on_labels(metric):
    """Intervals of shares are score intervals, which on 200 rows lie near the bootstrap's."""
    truth, rungs = two_classifiers(200, seed=2)
    one, other = rungs.values()

    def score(rows, p):
        taken = Predictions(p.values[rows], p.probabilities[rows], p.classes)
        return metrics.compute(metric, truth[rows], taken)

    sign = 1 if METRICS["classification"][metric] else -1
    expected = stats.bootstrap(
        (np.arange(200),),
        lambda rows: sign * (score(rows, one) - score(rows, other)),
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    found = comparison.compare("classification", metric, truth, rungs, seed=0).verdicts[0]
    width = expected.high - expected.low
    near = (0.15 if metric in comparison.METHODS else 0.08) * width
    assert found.low == pytest.approx(expected.low, abs=near)
    assert found.high == pytest.approx(expected.high, abs=near)


def test_a_resample_is_the_metric_of_the_drawn_rows():
    truth, rungs = two_classifiers(40, seed=4)
    counts = np.concatenate(list(comparison.weights(40, 9)))
    drawn = comparison.resample(tuple(METRICS["classification"]), truth, rungs, 9)
    for line in (0, 1, 1999):
        rows = np.repeat(np.arange(40), counts[line].astype(int))
        assert len(rows) == 40
        for rung, p in rungs.items():
            taken = Predictions(p.values[rows], p.probabilities[rows], p.classes)
            for metric in METRICS["classification"]:
                expected = metrics.compute(metric, truth[rows], taken)
                assert drawn[rung][metric][line] == pytest.approx(expected, rel=1e-9)


def test_weights_are_multinomial_and_depend_on_rows_and_seed_alone(monkeypatch):
    counts = np.concatenate(list(comparison.weights(30, 7)))
    assert counts.shape == (comparison.RESAMPLES, 30)
    assert (counts.sum(axis=1) == 30).all()
    assert counts.mean() == pytest.approx(1.0)
    assert counts.var() == pytest.approx(1 - 1 / 30, rel=0.03)
    monkeypatch.setattr(comparison, "CELLS", 400)  # many chunks
    assert np.array_equal(np.concatenate(list(comparison.weights(30, 7))), counts)
    assert not np.array_equal(np.concatenate(list(comparison.weights(30, 8))), counts)


def test_two_runs_are_bitwise_equal_and_a_rung_more_changes_nothing():
    truth, rungs = two_regressors(120, seed=6)
    once = comparison.compare("regression", "mae", truth, rungs, seed=3)
    assert comparison.compare("regression", "mae", truth, rungs, seed=3) == once
    more = {**rungs, "median": Predictions(np.full(120, np.median(truth)))}
    again = comparison.compare("regression", "mae", truth, more, seed=3)
    assert again.verdicts[0] == once.verdicts[0]
    assert again.intervals["ridge"] == once.intervals["ridge"]


@pytest.mark.parametrize("task", METRICS)
def test_the_candidate_against_itself_is_indistinguishable_and_never_certainly_so(task):
    truth, rungs = two_regressors(90, 8) if task == "regression" else two_classifiers(90, 8)
    twins = {"candidate": rungs["candidate"], "champion": rungs["candidate"]}
    for metric in METRICS[task]:
        (verdict,) = comparison.compare(task, metric, truth, twins, seed=0).verdicts
        assert (verdict.difference, verdict.verdict) == (0.0, "indistinguishable")
        assert not math.copysign(1, verdict.difference) < 0
        if metric in comparison.METHODS:
            assert verdict.low == pytest.approx(-verdict.high)
            assert 0.01 < verdict.high < 0.2
        else:
            assert math.isnan(verdict.low) and math.isnan(verdict.high)


def labels(right: int, rows: int) -> tuple[np.ndarray, Predictions]:
    truth = np.arange(rows) % 2
    said = np.where(np.arange(rows) < right, truth, 1 - truth)
    return truth, Predictions(said, np.eye(2)[said] * 0.9 + 0.05, np.arange(2))


def test_all_rows_right_is_no_certainty():
    truth, perfect = labels(114, 114)
    _, hopeless = labels(0, 114)
    found = comparison.compare(
        "classification", "accuracy", truth, {"candidate": perfect, "ridge": hopeless}, 0
    )
    assert found.intervals["candidate"]["accuracy"] == pytest.approx((0.9682, 1.0), abs=1e-4)
    assert found.intervals["ridge"]["accuracy"] == pytest.approx((0.0, 0.0318), abs=1e-4)
    assert found.intervals["candidate"]["balanced_accuracy"] == pytest.approx((0.9555, 1.0), abs=1e-3)
    for metric in ("f1_macro", "log_loss"):
        assert all(map(math.isnan, found.intervals["candidate"][metric])), metric
    (verdict,) = found.verdicts
    assert (verdict.verdict, verdict.high) == ("better", 1.0)
    assert 0.9 < verdict.low < 1.0


def test_agreement_on_every_row_is_no_certainty_either():
    truth, some = labels(80, 114)
    for metric in ("accuracy", "balanced_accuracy"):
        (verdict,) = comparison.compare(
            "classification", metric, truth, {"candidate": some, "svm": Predictions(some.values)}, 0
        ).verdicts
        assert verdict.verdict == "indistinguishable"
        assert 0.02 < verdict.high < 0.06
        assert verdict.low == pytest.approx(-verdict.high)


def test_a_difference_that_never_varies_is_undefined():
    truth = np.arange(50.0)
    rungs = {"candidate": Predictions(truth), "median": Predictions(truth + 1)}
    found = comparison.compare("regression", "mae", truth, rungs, 0)
    assert found.verdicts[0].verdict == "undefined"
    assert all(map(math.isnan, found.intervals["candidate"]["mae"]))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("skill", [0.6, 0.97])
def test_intervals_of_shares_cover_about_as_often_as_they_say(metric, skill):
    """Labels of two classes, 80 to 20; the other model is right where a shared coin and its own say so."""
    covered = differences = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        truth = (np.arange(120) % 5 == 0).astype(int)
        both = generator.random(120) < 0.9
        one, two = both & (generator.random(120) < skill / 0.9), both & (generator.random(120) < skill / 0.95)
        if skill > 0.9:
            one, two = generator.random(120) < skill, generator.random(120) < skill
        a, b = (Predictions(np.where(hit, truth, 1 - truth)) for hit in (one, two))
        low, high = comparison.interval_of(metric, truth, a)
        covered += low <= skill <= high
        low, high = comparison.difference_of_shares(metric, truth, a, b)
        true = 0.0 if skill > 0.9 else skill - 0.9 * skill / 0.95
        differences += low <= true <= high
    assert covered / 300 >= 0.93
    assert differences / 300 >= 0.93


@pytest.mark.parametrize("task", METRICS)
def test_positive_always_means_that_the_candidate_is_better(task):
    truth, rungs = two_regressors(400, 9, 3.0) if task == "regression" else two_classifiers(400, 9)
    worse = dict(zip(rungs, reversed(rungs.values()), strict=True))
    for metric in METRICS[task]:
        (up,) = comparison.compare(task, metric, truth, rungs, seed=0).verdicts
        (down,) = comparison.compare(task, metric, truth, worse, seed=0).verdicts
        assert (up.verdict, down.verdict) == ("better", "worse")
        assert 0 < up.low < up.difference < up.high
        assert (down.low, down.high) == pytest.approx((-up.high, -up.low))


def test_an_interval_covers_the_true_difference_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(comparison, "RESAMPLES", 400)
    # True mean absolute errors of normal noise of spread 1.0 and 1.1, on the same rows.
    true = (1.1 - 1.0) * math.sqrt(2 / math.pi)
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        noise = generator.normal(size=200)
        other = 0.6 * noise + 0.8 * generator.normal(size=200)
        rungs = {"candidate": Predictions(noise), "ridge": Predictions(1.1 * other)}
        drawn = comparison.resample(("mae",), np.zeros(200), rungs, seed)
        low, high = comparison.interval(drawn["ridge"]["mae"] - drawn["candidate"]["mae"])
        covered += low <= true <= high
    assert 0.90 <= covered / 200 <= 0.985


def test_equal_rungs_are_rarely_told_apart():
    words = []
    for seed in range(60):
        generator = np.random.default_rng(1000 + seed)
        rungs = {name: Predictions(generator.normal(size=150)) for name in ("candidate", "ridge")}
        words.append(comparison.compare("regression", "mae", np.zeros(150), rungs, seed).verdicts[0].verdict)
    assert words.count("indistinguishable") >= 52


def test_an_undefined_metric_gives_an_undefined_verdict_and_no_warning():
    truth = np.zeros(50, dtype=np.int64)
    same = {"candidate": Predictions(truth), "majority": Predictions(truth)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = comparison.compare("classification", "f1_macro", truth, same, seed=0)
    assert found.verdicts[0].verdict == "undefined"
    assert math.isnan(found.verdicts[0].difference)
    assert found.values["candidate"]["accuracy"] == 1.0
    assert all(map(math.isnan, found.intervals["candidate"]["f1_macro"]))


def test_an_interval_survives_a_few_undefined_resamples_and_no_more():
    values = np.linspace(0, 1, 1000)
    values[:10] = np.nan
    assert comparison.interval(values) == pytest.approx((0.034, 0.976), abs=0.002)
    values[:11] = np.nan
    assert all(map(math.isnan, comparison.interval(values)))
    assert all(map(math.isnan, comparison.interval(np.full(5, np.nan))))


@given(st.tuples(*[st.floats(-1, 1)] * 3) | st.tuples(*[st.just(math.nan)] * 3))
def test_words_follow_the_interval(numbers):
    difference, low, high = numbers
    word = comparison._word(difference, *sorted((low, high)))
    assert (word == "better") == (min(low, high) > 0)
    assert (word == "worse") == (max(low, high) < 0)
    assert (word == "undefined") == math.isnan(difference)


def test_ten_thousand_rows_stay_below_two_hundred_megabytes():
    truth, rungs = two_classifiers(10_000, seed=3)
    tracemalloc.start()
    comparison.resample(("accuracy", "f1_macro"), truth, rungs, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20


def test_a_small_sample_is_said_to_be_one():
    truth, rungs = two_regressors(99, seed=1)
    verdicts = comparison.compare("regression", "mae", truth, rungs, seed=0).verdicts
    (first, *_) = comparison.warnings("regression", truth, rungs, verdicts)
    assert "99 rows" in first and "too small for the verdict" in first
    truth, rungs = two_regressors(100, seed=1, gain=3.0)
    verdicts = comparison.compare("regression", "mae", truth, rungs, seed=0).verdicts
    assert comparison.warnings("regression", truth, rungs, verdicts) == ()


def test_a_network_that_is_no_better_than_a_simpler_rung_is_told_so():
    truth, rungs = two_regressors(300, seed=1, gain=3.0)
    rungs = {"candidate": rungs["ridge"], "ridge": rungs["ridge"], "boosting": rungs["candidate"]}
    rungs["champion"] = rungs["ridge"]
    verdicts = comparison.compare("regression", "mae", truth, rungs, seed=0).verdicts
    lines = comparison.warnings("regression", truth, rungs, verdicts)
    assert lines == (
        "the candidate is indistinguishable from ridge, which is simpler",
        "the candidate is worse than boosting, which is simpler",
    )


def test_a_verdict_that_hangs_on_a_few_rows_is_told_so():
    truth = np.zeros(300, dtype=np.int64)
    truth[:100] = 1
    wrong = truth.copy()
    wrong[:6] = 0
    rungs = {"candidate": Predictions(truth), "svm": Predictions(wrong)}
    verdicts = comparison.compare("classification", "accuracy", truth, rungs, seed=0).verdicts
    assert verdicts[0].verdict == "better"
    lines = comparison.warnings("classification", truth, rungs, verdicts)
    assert lines == ("better than svm, but decided by 6 test rows only",)
