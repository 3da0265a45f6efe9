"""Tests that plan their own power: what they state is what they do."""

import numpy as np
import pytest

from specsim.validation.assertions import EmpiricalMeanTest


def caught(test, law, entry_high, runs, alpha, times=300):
    """Share of simulations of a count with this law that the test rejects."""
    generator = np.random.Generator(np.random.PCG64(12))
    values = np.arange(entry_high + 1)
    samples = generator.multinomial(runs, law, size=times)
    totals, squares = samples @ values, samples @ values**2
    return np.mean([
        not test.decide((np.array([t]), np.array([s])), runs, alpha).agrees
        for t, s in zip(totals, squares, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("mean", [0.0, 0.3, 2.0, 6.0, 7.9])
@pytest.mark.parametrize("runs", [400, 20_000])
def test_empirical_mean__catches_what_it_states_even_from_all_or_nothing(mean, runs):
    # A count that is 0 or its maximum has the largest variance of its mean.
    high, alpha = 8, 1e-6
    test = EmpiricalMeanTest(mean=np.array([mean]), high=np.array([float(high)]))
    found = test.detectable(runs, alpha)
    for other in (mean - found, mean + found):
        if 0 <= other <= high:
            law = np.zeros(high + 1)
            law[[0, high]] = 1 - other / high, other / high
            assert caught(test, law, high, runs, alpha) >= 0.99
    assert test.detectable(4 * runs, alpha) < found


def test_empirical_mean__runs_follow_from_the_discrepancy():
    test = EmpiricalMeanTest(mean=np.array([0.5, 3.0, 0.0]), high=np.array([20.0, 10.0, 5.0]))
    for discrepancy in (0.1, 0.5, 2.0):
        runs = test.min_runs(discrepancy, 1e-8)
        assert test.detectable(runs, 1e-8) <= discrepancy * (1 + 1e-5)
        assert test.detectable(runs // 2, 1e-8) > discrepancy
