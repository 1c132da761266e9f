from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from sklearn.preprocessing import StandardScaler

from tasks.config import Columns
from tasks.errors import DataRejected
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.features import Number, feature_columns, fit_number, numbers_of
from tasks.learning.scoring import decode
from tasks.learning.targets import Labels, Scale, skewness, unweighted


def fitted(rows: pd.DataFrame, how: str = "quantile") -> Encoder:
    return Encoder(
        TableInputs.fit(rows, ["area", "rooms", "garden"], ["town"], how), Scale.fit(rows["price"], "auto")
    )


def test_feature_columns_follow_types_and_rules(houses: pd.DataFrame) -> None:
    houses["sold"] = pd.Timestamp("2020-01-01")
    houses["pool"] = True
    numeric, categorical = feature_columns(houses, target="price", columns=Columns())
    assert (numeric, categorical) == (["area", "rooms", "garden", "sold"], ["town", "pool"])
    rules = Columns(drop=("sold",), categorical=("rooms",), numeric=("pool",))
    numeric, categorical = feature_columns(houses, target="price", columns=rules, exclude=("town",))
    assert (numeric, categorical) == (["area", "garden", "pool"], ["rooms"])


def test_standard_numbers_agree_with_scikit_learn(houses: pd.DataFrame) -> None:
    values = houses["area"].to_numpy()
    expected = StandardScaler().fit_transform(values[:, None])[:, 0]
    np.testing.assert_allclose(fit_number("area", values, "standard").encode(values), expected, rtol=1e-5)


def test_quantile_numbers_are_normal_scores_of_mid_ranks() -> None:
    values = np.random.default_rng(0).gamma(2.0, 10.0, 500)
    expected = norm.ppf((rankdata(values) - 0.5) / len(values))
    encoded = fit_number("x", values, "quantile").encode(values)
    np.testing.assert_allclose(encoded, expected, atol=1e-5)


def test_many_values_are_kept_at_a_thousand_knots() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    number = fit_number("x", values, "quantile")
    assert len(number.knots) <= 1000
    np.testing.assert_allclose(number.encode(values).std(), 1.0, atol=0.01)


def test_dates_of_any_year_count_days() -> None:
    days = pd.Series(np.array(["0001-01-02", "1970-01-02T12", "9999-12-31", "NaT"], dtype="datetime64[us]"))
    np.testing.assert_array_equal(numbers_of(days), [-719161.0, 1.5, 2932896.0, np.nan])


@pytest.mark.parametrize("how", ["quantile", "standard"])
@pytest.mark.parametrize("spread", [0.0, 8.0])
def test_a_spread_that_rounding_swallows_is_that_of_a_constant(how: str, spread: float) -> None:
    values = np.array([1e18, 1e18 + spread])
    encoded = fit_number("x", values, how).encode(np.array([1e18, 1e19]))
    assert encoded[0] == 0.0
    assert np.isfinite(encoded).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.floats(-1e7, 1e7))
def test_quantile_map_is_monotone_and_bounded(values: list[float], extra: float) -> None:
    number = fit_number("x", np.array(values), "quantile")
    points = np.sort(np.array([*values, extra]))
    encoded = number.encode(points)
    assert np.isfinite(encoded).all()
    assert (np.diff(encoded) >= -1e-6).all()
    assert np.abs(encoded).max() <= 3.5


def test_a_gap_gets_the_train_median_and_an_indicator() -> None:
    values = np.array([1.0, 2.0, 9.0, np.nan])
    number = fit_number("x", values, "standard")
    assert number.median == 2.0
    assert number.indicator
    encoded = TableInputs((number,), ()).encode(pd.DataFrame({"x": [np.nan, 2.0]}))[0]
    assert encoded[0, 0] == encoded[1, 0]
    assert encoded[:, 1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("how", ["quantile", "standard", "none"])
def test_constant_and_empty_columns_stay_finite(how: str) -> None:
    for values in (np.full(5, 3.0), np.full(5, np.nan)):
        assert np.isfinite(fit_number("x", values, how).encode(values)).all()


def test_categories_know_missing_from_unknown(houses: pd.DataFrame) -> None:
    inputs = TableInputs.fit(houses, [], ["town"], "none")
    assert inputs.categories[0].levels == ("north", "south", "west")  # by falling frequency
    frame = pd.DataFrame({"town": pd.Series(["west", None, "east", "north"], dtype="str")})
    assert inputs.encode(frame)[1][:, 0].tolist() == [4, 1, 0, 2]
    assert inputs.levels == (5,)


def test_a_number_read_as_category_ignores_how_it_was_stored() -> None:
    whole = pd.DataFrame({"zone": [1, 2, 2]})
    gaps = pd.DataFrame({"zone": [1.0, 2.0, np.nan]})
    inputs = TableInputs.fit(whole, [], ["zone"], "none")
    assert inputs.encode(gaps)[1][:, 0].tolist() == [3, 2, 1]


def test_changing_test_rows_leaves_the_fitted_state_unchanged(houses: pd.DataFrame) -> None:
    train, test = houses.iloc[:200], houses.iloc[200:]
    before = fitted(train).state_hash
    spoiled = houses.copy()
    spoiled.loc[test.index, ["area", "garden", "price"]] = 1e9
    spoiled.loc[test.index, "town"] = "elsewhere"
    assert fitted(spoiled.iloc[:200]).state_hash == before
    spoiled.loc[0, "area"] += 1.0  # one train cell
    assert fitted(spoiled.iloc[:200]).state_hash != before


@pytest.mark.parametrize("how", ["quantile", "standard", "none"])
def test_state_survives_json_exactly(houses: pd.DataFrame, how: str) -> None:
    encoder = fitted(houses, how)
    back = Encoder.restore(json.loads(json.dumps(encoder.state())))
    assert back == encoder
    assert back.state_hash == encoder.state_hash
    for a, b in zip(back.inputs.encode(houses), encoder.inputs.encode(houses), strict=True):
        np.testing.assert_array_equal(a, b)


def test_image_mean_agrees_with_numpy_and_ignores_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 9, 3), dtype=np.uint8)
    inputs = ImageInputs.fit(pixels)
    np.testing.assert_allclose(inputs.mean, pixels.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(inputs.std, pixels.std((0, 1, 2)), rtol=1e-9)
    assert ImageInputs.fit(pixels[::-1]) == inputs


def test_images_of_another_shape_are_refused() -> None:
    inputs = ImageInputs.fit(np.zeros((2, 8, 8), dtype=np.uint8))
    with pytest.raises(DataRejected, match=r"shape \(9, 8\).*shape \(8, 8\)"):
        inputs.encode(np.zeros((1, 9, 8), dtype=np.uint8))


def test_labels_are_sorted_and_an_unseen_one_is_refused() -> None:
    labels = Labels.fit(pd.Series(["b", "a", "b"]))
    assert labels == Labels(("a", "b"), (1, 2))
    assert labels.encode(pd.Series(["b", "a"])).tolist() == [1, 0]
    with pytest.raises(DataRejected, match="class 'c' has no train rows"):
        labels.encode(pd.Series(["a", "c"]))


def test_balanced_labels_come_back_with_their_weights_and_older_ones_without() -> None:
    inputs = ImageInputs.fit(np.ones((2, 8, 8), dtype=np.uint8))
    encoder = Encoder(inputs, Labels(("a", "b"), (90, 10), balanced=True))
    state = json.loads(json.dumps(encoder.state()))
    back = Encoder.restore(state)
    assert back == encoder
    assert back.target.weights == pytest.approx((100 / 180, 5.0))  # type: ignore[union-attr]
    del state["target"]["balanced"]
    assert Encoder.restore(state).target == Labels(("a", "b"), (90, 10))


def test_probabilities_corrected_for_weights_are_those_of_an_unweighted_model() -> None:
    """Bayes' rule on two normal distributions: the posterior under even odds, brought to 95 to 5."""
    x = np.linspace(-3, 3, 41)
    likelihoods = np.exp(-0.5 * (x[:, None] - np.array([-1.0, 1.0])) ** 2)
    weights = Labels(("a", "b"), (95, 5), balanced=True).weights
    assert weights is not None
    even = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    joint = likelihoods * np.array([0.95, 0.05])
    np.testing.assert_allclose(unweighted(even, weights), joint / joint.sum(axis=1, keepdims=True))


def test_auto_takes_the_logarithm_of_a_skewed_positive_target_only() -> None:
    skewed = pd.Series(np.random.default_rng(0).lognormal(10, 1.0, 500))
    assert Scale.fit(skewed, "auto").log
    assert not Scale.fit(skewed - skewed.min(), "auto").log  # holds a zero
    assert not Scale.fit(np.log(skewed), "auto").log
    with pytest.raises(DataRejected, match="smallest train target is -1"):
        Scale.fit(pd.Series([-1.0, 2.0]), "log")


@given(st.lists(st.floats(1.0, 1e9), min_size=2, max_size=40, unique=True), st.sampled_from(["log", "none"]))
def test_decode_undoes_encode(values: list[float], how: str) -> None:
    target = pd.Series(values)
    scale = Scale.fit(target, how)
    back = scale.decode(scale.encode(target))
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=2e-6 * max(values))


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_predictions_stay_within_the_range_of_train_targets(output: float) -> None:
    scale = Scale.fit(pd.Series([10.0, 20.0, 500.0]), "log")
    assert 10.0 <= scale.decode(np.array([output], dtype=np.float32))[0] <= 500.0


def test_what_the_range_changes_is_counted_and_said() -> None:
    scale = Scale.fit(pd.Series([1.0, 2.0, 3.0]), "none")
    found = decode(np.array([[-9.0], [0.1], [9.0], [10.0]], dtype=np.float32), scale)
    assert found.bounded == 3
    assert found.note.startswith("3 of 4 answers lay beyond the range of the train targets")
    assert decode(np.zeros((4, 1), dtype=np.float32), scale).note == ""


def test_skewness_of_a_constant_is_zero() -> None:
    assert skewness(np.ones(3)) == 0.0


def test_number_extrapolates_only_where_it_is_a_line() -> None:
    line = Number("x", 0.0, False, (0.0, 2.0), (0.0, 1.0))
    assert line.encode(np.array([6.0]))[0] == 3.0


def test_a_target_with_negative_values_keeps_its_state_as_plain_data() -> None:
    encoder = Encoder(TableInputs((), ()), Scale.fit(pd.Series([-1.0, 2.0, 3.0]), "auto"))
    assert encoder.state()["target"]["log"] is False
