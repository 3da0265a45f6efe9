"""Bennett's test of a mean: error rates and power by the exact law of the sum."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError
from specsim.validation.statistics import (
    decide_mean_by_bennett,
    min_discrepancy_of_mean_by_bennett,
    min_runs_for_mean_by_bennett,
)
from specsim.validation.statistics.bounded_mean import bennett_h, bennett_log_tail, bennett_threshold

#: A count in 0..4 with its law, and one further up with less than twice the variance.
LAW = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])


def moments(law):
    values = np.arange(len(law))
    mean = float(values @ law)
    return mean, float((values - mean) ** 2 @ law)


def sum_law(law, runs):
    total = np.array([1.0])
    for _ in range(runs):
        total = np.convolve(total, law)
    return total


def rejection_rate(truth, runs, alpha, null=LAW):
    mean, variance = moments(null)
    return sum(
        mass
        for total, mass in enumerate(sum_law(truth, runs))
        if not decide_mean_by_bennett(
            total=total, runs=runs, mean=mean, variance=variance, low=0, high=4, alpha=alpha
        ).agrees
    )


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-4])
@pytest.mark.parametrize("runs", [1, 10, 80])
def test_decide__false_alarm_rate_is_at_most_alpha(runs, alpha):
    assert rejection_rate(LAW, runs, alpha) <= alpha


@pytest.mark.parametrize("alpha", [0.05, 1e-4, 1e-6])
def test_decide__false_alarm_rate_of_a_skewed_law(alpha):
    # Rare and large: the two sides of the mean are not alike.
    rare = np.array([0.98, 0.0, 0.0, 0.0, 0.02])
    for runs in (5, 20, 60):
        assert rejection_rate(rare, runs, alpha, null=rare) <= alpha
        assert rejection_rate(rare[::-1], runs, alpha, null=rare[::-1]) <= alpha


def test_decide__rejects_at_all():
    assert rejection_rate(LAW[::-1], 80, 1e-4) > 0.999


def test_tail_bound__holds_for_every_deviation():
    mean, variance = moments(LAW)
    runs = 60
    law = sum_law(LAW, runs)
    for total in range(len(law)):
        gap = total / runs - mean
        if gap > 0:
            exact = law[total:].sum()
            assert math.log(exact) <= bennett_log_tail(gap, runs, variance, 4 - mean) + 1e-9
        elif gap < 0:
            exact = law[: total + 1].sum()
            assert math.log(exact) <= bennett_log_tail(-gap, runs, variance, mean) + 1e-9


@pytest.mark.parametrize("up", [True, False])
def test_min_discrepancy__is_caught(up):
    mean, variance = moments(LAW)
    runs, alpha = 300, 1e-4
    found = min_discrepancy_of_mean_by_bennett(
        runs=runs, mean=mean, variance=variance, low=0, high=4, alpha=alpha
    )
    other = np.array([0.0, 0.0, 0.375, 0.625, 0.0]) if up else np.array([1.0, 0, 0, 0, 0])
    share = found / abs(moments(other)[0] - mean)
    assert share <= 1
    truth = (1 - share) * LAW + share * other
    assert abs(moments(truth)[0] - mean) == pytest.approx(found)
    assert moments(truth)[1] <= 2 * variance
    assert rejection_rate(truth, runs, alpha) >= 0.999


@given(st.floats(1e-8, 50))
@settings(deadline=None, max_examples=50)
def test_bennett_h__has_no_cancellation(u):
    exact = Fraction(u)
    # h(u) = sum over k >= 2 of (-1)^k u^k / (k (k - 1)), for small u.
    if u < 0.05:
        series = sum((-1) ** k * exact**k / (k * (k - 1)) for k in range(2, 25))
        assert bennett_h(u) == pytest.approx(float(series), rel=1e-9)
    else:
        assert bennett_h(u) == pytest.approx((1 + u) * math.log(1 + u) - u, rel=1e-9)


@given(
    level=st.floats(1e-300, 0.5), runs=st.integers(1, 10**9),
    variance=st.floats(1e-6, 100), bound=st.floats(0.1, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_threshold__inverts_the_tail(level, runs, variance, bound):
    deviation = bennett_threshold(level, runs, variance, bound)
    assert bennett_log_tail(deviation, runs, variance, bound) == pytest.approx(math.log(level), rel=1e-6)


@given(st.floats(0.01, 2), st.sampled_from([1e-3, 1e-12]))
@settings(deadline=None, max_examples=20)
def test_design__round_trip(discrepancy, alpha):
    null = {"mean": 3.0, "variance": 5.0, "low": 0.0, "high": 20.0, "alpha": alpha}
    runs = min_runs_for_mean_by_bennett(discrepancy=discrepancy, **null)
    assert min_discrepancy_of_mean_by_bennett(runs=runs, **null) <= discrepancy
    assert min_discrepancy_of_mean_by_bennett(runs=max(1, int(runs * 0.98) - 1), **null) > discrepancy


def test_decide__constant_must_be_met_to_rounding():
    null = {"runs": 1000, "variance": 0.0, "low": 0, "high": 3, "alpha": 1e-6}
    assert decide_mean_by_bennett(total=0, mean=1e-15, **null).agrees
    one = decide_mean_by_bennett(total=1, mean=0.0, **null)
    assert not one.agrees
    assert one.p_value == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total": 500}, "cannot be"),
        ({"total": -1}, "cannot be"),
        ({"mean": 9.0}, "mean is 9"),
        ({"variance": -1.0}, "variance is -1"),
        ({"alpha": 1.0}, "alpha is 1"),
    ],
)
def test_decide__bad_input(changes, words):
    arguments = {
        "total": 10, "runs": 10, "mean": 1.0, "variance": 1.0, "low": 0, "high": 4, "alpha": 0.01,
    } | changes  # fmt: skip
    with pytest.raises(InputError, match=words):
        decide_mean_by_bennett(**arguments)
