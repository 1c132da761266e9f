import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import wording


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (22815.3, None, "22,815"),
        (0.98765, None, "0.9877"),
        (0.988, 4, "0.9880"),
        (-1042.0, 0, "−1,042"),
        (5000, None, "5,000"),
        (1, 3, "1.000"),
        (0.0, None, "0"),
        (0.00005, None, "5.0e−05"),
        (math.nan, 2, "undefined"),
        (math.inf, None, "∞"),
        (None, None, "–"),
    ],
)
def test_number(value, places, text):
    assert wording.number(value, places) == text


def test_signed_marks_what_is_above_zero():
    assert [wording.signed(x, 1) for x in (1.5, 0.0, -1.5)] == ["+1.5", "0.0", "−1.5"]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.988, 0.981, 0.994, 4),
        (14147, 13020, 15400, 0),
        (0.9, math.nan, math.nan, 4),
        (0, 0, 0, 3),
        (math.nan, 0, 0, 3),
    ],
)
def test_decimals_follow_the_interval(value, low, high, expected):
    assert wording.decimals(value, low, high) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.04 s"), (4.21, "4.2 s"), (59.99, "1 min 0 s"), (80, "1 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(812, "812 B"), (24_100, "24 kB"), (999_900, "1.0 MB"), (1_300_000, "1.3 MB")]
)
def test_size(count, text):
    assert wording.size(count) == text


@given(part=st.integers(0, 10**9), whole=st.integers(1, 10**9))
def test_a_share_is_none_or_all_only_when_it_is(part, whole):
    part = min(part, whole)
    assert (wording.share(part, whole) == "0.0 %") == (part == 0)
    assert (wording.share(part, whole) == "100.0 %") == (part == whole)


def test_share_of_nothing():
    assert wording.share(0, 0) == "–"


def test_listed():
    assert [wording.listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
