"""Exact binomial tests: tails against rationals, error rates and power by summing the whole law."""

from fractions import Fraction
from itertools import accumulate
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError
from specsim.validation.statistics import (
    decide_probability_by_binomial_tails,
    min_discrepancy_of_probability_by_binomial_tails,
    min_runs_for_probability_by_binomial_tails,
)
from specsim.validation.statistics.binomial import (
    critical_counts,
    detectable_by_binomial_tails,
    lower_tail,
    two_sided_p_values,
    upper_tail,
)


def exact_law(runs, probability):
    p = Fraction(probability)
    return [comb(runs, x) * p**x * (1 - p) ** (runs - x) for x in range(runs + 1)]


@pytest.mark.parametrize("runs", [1, 7, 40, 200])
@pytest.mark.parametrize("probability", [0.5, 0.25, 2.0**-10, 1 - 2.0**-7, 0.1])
def test_tails__equal_exact_sums_far_into_the_tail(runs, probability):
    law = exact_law(runs, probability)
    total = list(accumulate(law, initial=Fraction(0)))
    for count in range(-1, runs + 2):
        below = total[min(count, runs) + 1]
        above = 1 - total[max(0, min(count, runs + 1))]
        for found, wanted in (
            (lower_tail(count, runs, probability), below),
            (upper_tail(count, runs, probability), above),
        ):
            if wanted > Fraction(1, 10**200):
                assert abs(Fraction(float(found)) / wanted - 1) < Fraction(1, 10**10), (count, wanted)
            else:
                assert float(found) < 1e-199


def test_tails__of_certain_and_impossible_events():
    assert lower_tail([0, 5, 10], 10, 0.0).tolist() == [1, 1, 1]
    assert upper_tail([0, 1, 10], 10, 0.0).tolist() == [1, 0, 0]
    assert lower_tail([0, 9, 10], 10, 1.0).tolist() == [0, 0, 1]
    assert upper_tail([0, 1, 10], 10, 1.0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-9])
@pytest.mark.parametrize("runs", [1, 13, 60])
def test_critical_counts__are_those_of_a_search_through_all_counts(runs, alpha):
    probabilities = np.array([0.0, 1e-6, 0.03, 0.3, 0.5, 0.99, 1.0])
    below, above = critical_counts(runs, probabilities, alpha)
    counts = np.arange(runs + 1)
    for index, p in enumerate(probabilities):
        low = [x for x in counts if 2 * lower_tail(x, runs, p) <= alpha]
        high = [x for x in counts if 2 * upper_tail(x, runs, p) <= alpha]
        assert below[index] == max(low, default=-1)
        assert above[index] == min(high, default=runs + 1)


@pytest.mark.parametrize("alpha", [0.2, 0.01, 1e-9])
@pytest.mark.parametrize("probability", [0.5, 0.125, 0.9])
def test_decide__false_alarm_rate_is_at_most_alpha(probability, alpha):
    for runs in (3, 25, 90):
        law = exact_law(runs, probability)
        alarm = sum(
            mass
            for count, mass in enumerate(law)
            if not decide_probability_by_binomial_tails(
                count=np.array([count]), runs=runs, probability=[probability], alpha=alpha
            ).agrees
        )
        assert alarm <= Fraction(alpha)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.3, 0.5, 1.0])
def test_min_discrepancy__is_the_power_exactly(probability):
    runs, alpha, miss = 120, 1e-4, 1e-3
    found = float(detectable_by_binomial_tails(runs, probability, alpha, miss)[0])

    def power(alternative):
        law = [float(mass) for mass in exact_law(runs, alternative)]
        p_values = two_sided_p_values(np.arange(runs + 1), runs, probability)
        return sum(mass for mass, p in zip(law, p_values, strict=True) if p <= alpha)

    sides = [probability + found * 1.0001, probability - found * 1.0001]
    inside = [p for p in sides if 0 <= p <= 1]
    assert inside
    assert all(power(p) >= 1 - miss - 1e-9 for p in inside)
    closer = [p for p in (probability + found * 0.98, probability - found * 0.98) if 0 <= p <= 1]
    assert any(power(p) < 1 - miss for p in closer)


def test_min_discrepancy__says_so_when_a_side_is_never_caught():
    # One run of a fair coin can never be rejected at 1e-3: no discrepancy that exists is caught.
    found = min_discrepancy_of_probability_by_binomial_tails(runs=1, probability=[0.5], alpha=1e-3)
    assert found > 0.5


@settings(deadline=None, max_examples=25)
@given(
    discrepancy=st.floats(0.003, 0.2),
    probabilities=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    alpha=st.sampled_from([1e-3, 1e-9, 1e-12]),
)
def test_design__round_trip(discrepancy, probabilities, alpha):
    runs = min_runs_for_probability_by_binomial_tails(
        discrepancy=discrepancy, probability=probabilities, alpha=alpha
    )
    caught = min_discrepancy_of_probability_by_binomial_tails(
        runs=runs, probability=probabilities, alpha=alpha
    )
    assert caught <= discrepancy


def test_decide__family_pays_for_its_size():
    counts = np.full(1000, 500)
    counts[17] = 560
    alone = decide_probability_by_binomial_tails(
        count=counts[17:18], runs=1000, probability=[0.5], alpha=1e-3
    )
    family = decide_probability_by_binomial_tails(
        count=counts, runs=1000, probability=np.full(1000, 0.5), alpha=1e-3
    )
    assert not alone.agrees
    assert family.agrees
    assert family.p_value == pytest.approx(1000 * alone.p_value)
    assert family.where == 17
    assert family.sigma == pytest.approx(60 / np.sqrt(250))


def test_decide__impossible_event_that_happened_is_rejected_at_any_level():
    decision = decide_probability_by_binomial_tails(
        count=[0, 1], runs=10**6, probability=[0, 0], alpha=1e-300
    )
    assert not decision.agrees
    assert decision.p_value == 0
    assert decision.sigma == float("inf")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": [11]}, "count is outside"),
        ({"count": [0.5]}, "give integers"),
        ({"count": [1, 2]}, "must be equal"),
        ({"probability": [1.5]}, "outside"),
        ({"probability": [float("nan")]}, "outside"),
        ({"alpha": 0}, "alpha is 0"),
        ({"runs": 0}, "runs is 0"),
    ],
)
def test_decide__bad_input(changes, words):
    arguments = {"count": [1], "runs": 10, "probability": [0.5], "alpha": 0.01} | changes
    with pytest.raises(InputError, match=words):
        decide_probability_by_binomial_tails(**arguments)


@pytest.mark.parametrize("discrepancy", [0.0, -1.0, float("nan"), 1e-12])
def test_design__refuses_what_cannot_be(discrepancy):
    with pytest.raises(InputError, match="discrepancy"):
        min_runs_for_probability_by_binomial_tails(discrepancy=discrepancy, probability=[0.5], alpha=1e-6)
