from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from tasks.ladder import proportions


def single(found):
    low, high = found
    return float(low[0]), float(high[0])


def of(function, *counts):
    return single(function(*(np.array([float(count)]) for count in counts)))


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (1, 10), (5, 10), (113, 114), (114, 114)])
@pytest.mark.parametrize("method", ["exact", "wilson"])
def test_shares_agree_with_scipy(hits, rows, method):
    expected = stats.binomtest(hits, rows).proportion_ci(0.95, method)
    assert of(getattr(proportions, method), hits, rows) == pytest.approx(tuple(expected), abs=1e-9)


def test_all_of_114_rows_may_be_fewer_among_others():
    assert of(proportions.exact, 114, 114) == pytest.approx((0.968, 1.0), abs=5e-4)


def likelihood_score(delta: float, b: int, c: int, n: int) -> float:
    """The statistic with its nuisance share found by a search, not by the formula."""

    def loss(share):
        cells = [(b, share + delta), (c, share), (n - b - c, 1 - 2 * share - delta)]
        return -sum(k * np.log(max(p, 1e-300)) for k, p in cells if k)

    low, high = max(0.0, -delta), (1 - delta) / 2
    share = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (b - c - n * delta) / np.sqrt(n * (2 * share + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n"), [(9, 3, 32), (1, 4, 60), (20, 5, 100), (2, 0, 50), (16, 9, 80)])
def test_paired_limits_are_where_the_score_test_rejects(b, c, n):
    low, high = of(proportions.paired, b, c, n)
    assert low < (b - c) / n < high
    assert likelihood_score(low, b, c, n) == pytest.approx(proportions.Z, abs=1e-3)
    assert likelihood_score(high, b, c, n) == pytest.approx(-proportions.Z, abs=1e-3)


@given(st.integers(1, 300), st.data())
def test_paired_limits_have_a_width_and_turn_with_the_pair(rows, data):
    b = data.draw(st.integers(0, rows))
    c = data.draw(st.integers(0, rows - b))
    low, high = of(proportions.paired, b, c, rows)
    assert -1 <= low < high <= 1
    assert low <= (b - c) / rows + 1e-12 and (b - c) / rows - 1e-12 <= high
    assert of(proportions.paired, c, b, rows) == pytest.approx((-high, -low), abs=1e-9)


def test_no_row_that_differs_leaves_the_rule_of_the_score():
    z = proportions.Z**2
    assert of(proportions.paired, 0, 0, 114) == pytest.approx((-z / (114 + z), z / (114 + z)))
    assert of(proportions.paired, 114, 0, 114) == pytest.approx((114 / (114 + z) * 2 - 1, 1.0), abs=0.04)


def test_a_sum_of_one_term_keeps_its_limits():
    bounds = (np.array([0.2]), np.array([0.9]))
    assert proportions.combined(np.array([0.5]), bounds, np.array([1.0])) == pytest.approx((0.2, 0.9))
    two = (np.array([0.2, 0.2]), np.array([0.9, 0.9]))
    low, high = proportions.combined(np.array([0.5, 0.5]), two, np.array([0.5, 0.5]))
    assert (low, high) == pytest.approx((0.5 - 0.3 / np.sqrt(2), 0.5 + 0.4 / np.sqrt(2)))
