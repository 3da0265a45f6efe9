"""Tests of whole laws: the entropy bound, error rates and power by enumerating all tables of counts."""

import math
from math import lgamma

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.errors import InputError
from specsim.validation.statistics import (
    decide_law_by_cells_and_entropy,
    min_discrepancy_of_law_by_cells_and_entropy,
    min_runs_for_law_by_cells_and_entropy,
)
from specsim.validation.statistics.multinomial import entropy_log_tail, entropy_threshold

LAWS = [(0.5, 0.5), (0.7, 0.2, 0.1), (0.97, 0.02, 0.01), (0.25, 0.25, 0.25, 0.25)]


def tables(runs, cells):
    if cells == 1:
        yield (runs,)
        return
    for first in range(runs + 1):
        for rest in tables(runs - first, cells - 1):
            yield (first, *rest)


def probability(counts, law):
    log = lgamma(sum(counts) + 1)
    for count, p in zip(counts, law, strict=True):
        if count and p == 0:
            return 0.0
        log += count * math.log(p) - lgamma(count + 1) if count else 0.0
    return math.exp(log)


def divergence(counts, law):
    runs = sum(counts)
    return sum(c / runs * math.log(c / runs / p) for c, p in zip(counts, law, strict=True) if c)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("runs", [5, 18])
def test_entropy_bound__holds_at_every_threshold(law, runs):
    found = sorted(
        ((divergence(counts, law), probability(counts, law)) for counts in tables(runs, len(law))),
        reverse=True,
    )
    tail = 0.0
    for value, mass in found:
        tail += mass
        assert tail <= math.exp(entropy_log_tail(value, runs, len(law))) + 1e-9


@given(st.floats(1e-300, 0.5), st.integers(1, 10**9), st.integers(2, 5000))
@settings(deadline=None, max_examples=100)
def test_entropy_threshold__inverts_the_bound(level, runs, cells):
    threshold = entropy_threshold(level, runs, cells) - 1e-12
    assert entropy_log_tail(threshold, runs, cells) == pytest.approx(math.log(level), rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("alpha", [0.3, 0.01])
def test_decide__false_alarm_rate_is_at_most_alpha(law, alpha):
    runs = 14
    alarm = sum(
        probability(counts, law)
        for counts in tables(runs, len(law))
        if not decide_law_by_cells_and_entropy(
            counts=np.array(counts), runs=runs, probabilities=law, alpha=alpha
        ).agrees
    )
    assert alarm <= alpha


@pytest.mark.parametrize("cells", [2, 6, 200])
def test_min_discrepancy__is_caught_and_the_null_is_kept(cells):
    runs, alpha = 5000, 1e-6
    generator = np.random.Generator(np.random.PCG64(cells))
    law = generator.dirichlet(np.full(cells, 2.0))
    found = min_discrepancy_of_law_by_cells_and_entropy(runs=runs, probabilities=law, alpha=alpha)
    assert found < 1
    # Move that much mass from the likeliest cells to the others, evenly.
    order = np.argsort(law)[::-1]
    truth, left = law.copy(), found
    for index in order:
        taken = min(truth[index], left)
        truth[index] -= taken
        left -= taken
    untouched = truth == law
    truth[untouched] += found / untouched.sum()
    assert 0.5 * np.abs(truth - law).sum() == pytest.approx(found)

    def agrees(sample):
        return decide_law_by_cells_and_entropy(
            counts=sample, runs=runs, probabilities=law, alpha=alpha
        ).agrees

    assert not any(agrees(sample) for sample in generator.multinomial(runs, truth, size=300))
    assert all(agrees(sample) for sample in generator.multinomial(runs, law, size=300))


def test_min_discrepancy__mass_in_an_impossible_cell_is_caught():
    runs = 3000
    found = min_discrepancy_of_law_by_cells_and_entropy(runs=runs, probabilities=[1.0, 0.0], alpha=1e-9)
    # The one cell of probability 1 cannot vary: mass elsewhere is caught as soon as one run shows it.
    assert (1 - found) ** runs <= 1e-3 * 1.01


@given(st.floats(0.01, 0.3), st.integers(1, 300), st.sampled_from([1e-3, 1e-12]))
@settings(deadline=None, max_examples=15)
def test_design__round_trip(discrepancy, cells, alpha):
    law = np.full(cells, 1 / cells)
    runs = min_runs_for_law_by_cells_and_entropy(discrepancy=discrepancy, probabilities=law, alpha=alpha)
    found = min_discrepancy_of_law_by_cells_and_entropy(runs=runs, probabilities=law, alpha=alpha)
    assert found <= discrepancy


def test_decide__cells_of_probability_zero_must_be_empty():
    law = [0.5, 0.5, 0.0]
    assert decide_law_by_cells_and_entropy(
        counts=[500, 500, 0], runs=1000, probabilities=law, alpha=1e-300
    ).agrees
    decision = decide_law_by_cells_and_entropy(
        counts=[500, 499, 1], runs=1000, probabilities=law, alpha=1e-300
    )
    assert not decision.agrees
    assert decision.p_value == 0
    assert decision.where == 2


def test_decide__rounding_of_a_point_mass_is_no_discrepancy():
    law = [1.0 - 2.0**-52, 0.0]
    assert decide_law_by_cells_and_entropy(
        counts=[10**6, 0], runs=10**6, probabilities=law, alpha=1e-9
    ).agrees


def test_decide__entropy_catches_what_no_cell_shows():
    # Every one of many cells is off by two standard errors: no single cell stands out.
    cells, runs = 400, 400 * 400
    law = np.full(cells, 1 / cells)
    counts = np.full(cells, runs // cells)
    counts[::2] += 60
    counts[1::2] -= 60
    decision = decide_law_by_cells_and_entropy(counts=counts, runs=runs, probabilities=law, alpha=1e-9)
    assert not decision.agrees
    assert abs(decision.sigma) < 3.1


def test_decide__rows_share_the_level_and_the_worst_is_named():
    laws = np.full((50, 4), 0.25)
    counts = np.full((50, 4), 250)
    counts[31] = [330, 170, 250, 250]
    alone = decide_law_by_cells_and_entropy(counts=counts[31], runs=1000, probabilities=laws[31], alpha=1e-5)
    together = decide_law_by_cells_and_entropy(counts=counts, runs=1000, probabilities=laws, alpha=1e-5)
    assert together.p_value == pytest.approx(50 * alone.p_value)
    assert together.where // 4 == 31
    assert "total variation distance 0.08" in together.detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts": [3, 6]}, "sums to 9"),
        ({"counts": [-1, 11]}, "at least 0"),
        ({"counts": [1.0, 9.0]}, "integers"),
        ({"probabilities": [0.5, 0.6]}, "a law sums to 1"),
        ({"probabilities": [-0.5, 1.5]}, "negative"),
        ({"probabilities": [1.0]}, "must be equal"),
        ({"counts": []}, "shape"),
    ],
)
def test_decide__bad_input(changes, words):
    arguments = {"counts": [4, 6], "runs": 10, "probabilities": [0.5, 0.5], "alpha": 0.01} | changes
    with pytest.raises(InputError, match=words):
        decide_law_by_cells_and_entropy(**arguments)
