"""The empirical Bernstein test: error rates by enumerating all samples."""

import math
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError
from specsim.validation.statistics import (
    decide_mean_by_empirical_bernstein,
    min_discrepancy_of_mean_by_empirical_bernstein,
    min_runs_for_mean_by_empirical_bernstein,
)


def decide(ones, twos, runs, mean, alpha, high=2.0):
    return decide_mean_by_empirical_bernstein(
        total=[ones + 2 * twos],
        square_total=[ones + 4 * twos],
        runs=runs,
        mean=[mean],
        high=[high],
        alpha=alpha,
    )


def rejection_rate(law, runs, mean, alpha):
    rate = 0.0
    for ones in range(runs + 1):
        for twos in range(runs + 1 - ones):
            if not decide(ones, twos, runs, mean, alpha).agrees:
                ways = comb(runs, ones) * comb(runs - ones, twos)
                rate += ways * law[1] ** ones * law[2] ** twos * law[0] ** (runs - ones - twos)
    return rate


@pytest.mark.parametrize("law", [(0.9, 0.05, 0.05), (0.98, 0.0, 0.02), (0.25, 0.5, 0.25)])
@pytest.mark.parametrize("alpha", [0.6, 0.1])
def test_decide__false_alarm_rate_is_at_most_alpha(law, alpha):
    mean = law[1] + 2 * law[2]
    assert rejection_rate(law, 30, mean, alpha) <= alpha


def test_decide__is_the_published_inequality():
    # 0907.3740, Theorem 4, with delta = alpha / 2 on each side.
    runs, alpha = 400, 0.01
    ones, twos = 120, 30
    mean, square = (ones + 2 * twos) / runs, (ones + 4 * twos) / runs
    variance = (square - mean**2) * runs / (runs - 1)
    level = math.log(2 / (alpha / 2))
    threshold = math.sqrt(2 * variance * level / runs) + 7 * 2 * level / (3 * (runs - 1))
    assert decide(ones, twos, runs, mean + threshold * 0.9999, alpha).agrees
    assert not decide(ones, twos, runs, mean + threshold * 1.0001, alpha).agrees


@pytest.mark.parametrize("shift", [1, -1])
def test_min_discrepancy__is_caught(shift):
    runs, alpha = 4000, 1e-3
    generator = np.random.Generator(np.random.PCG64(5))
    null = np.array([0.5, 0.25, 0.25])
    variance = 0.6875
    found = min_discrepancy_of_mean_by_empirical_bernstein(
        runs=runs, variance=[variance], high=[2.0], alpha=alpha
    )
    # Mass moves between 0 and 1, so that the variance does not grow.
    truth = null + found * shift * np.array([-1, 1, 0])
    assert (truth >= 0).all()
    samples = generator.multinomial(runs, truth, size=400)
    assert not any(decide(int(one), int(two), runs, 0.75, alpha).agrees for _, one, two in samples)


@given(st.floats(0.005, 1), st.sampled_from([1e-3, 1e-12]))
@settings(deadline=None, max_examples=20)
def test_design__round_trip(discrepancy, alpha):
    design = {"variance": [1.0, 4.0], "high": [10.0, 50.0], "alpha": alpha}
    runs = min_runs_for_mean_by_empirical_bernstein(discrepancy=discrepancy, **design)
    assert min_discrepancy_of_mean_by_empirical_bernstein(runs=runs, **design) <= discrepancy


def test_decide__names_the_worst_entry_and_pays_for_the_family():
    decision = decide_mean_by_empirical_bernstein(
        total=[5000, 9000, 0],
        square_total=[5000, 9000, 0],
        runs=10**4,
        mean=[0.5, 0.8, 0.0],
        high=[1.0, 1.0, 0.0],
        alpha=1e-6,
    )
    assert not decision.agrees
    assert decision.where == 1
    assert decision.observed == 0.9


def test_decide__value_that_cannot_occur_must_not():
    never = {"runs": 100, "mean": [0.0], "high": [5.0], "alpha": 1e-6}
    assert decide_mean_by_empirical_bernstein(total=[0], square_total=[0], **never).agrees
    with pytest.raises(InputError, match="promised range"):
        decide_mean_by_empirical_bernstein(
            total=[1], square_total=[1], runs=100, mean=[0.0], high=[0.0], alpha=1e-6
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"runs": 1}, "at least 2"),
        ({"total": [300]}, "promised range"),
        ({"square_total": [300]}, "promised range"),
        ({"high": [1.0, 2.0]}, "differ in shape"),
    ],
)
def test_decide__bad_input(changes, words):
    arguments = {
        "total": [10], "square_total": [10], "runs": 100, "mean": [0.1], "high": [2.0], "alpha": 0.01,
    } | changes  # fmt: skip
    with pytest.raises(InputError, match=words):
        decide_mean_by_empirical_bernstein(**arguments)
