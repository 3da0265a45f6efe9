"""The e-values are what they promise, by exact enumeration of everything that can be observed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.conformance.evidence import (
    Evidence,
    dirichlet_regret,
    log_dirichlet,
    samples_for_bound,
    total_variation_bound,
)
from specsim.validation.conformance.independence import ExchangeEvidence, log_places

NULL = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0]])
OTHER = np.array([[0.2, 0.3, 0.5], [0.3, 0.7, 0.0]])


def every_sequence(laws: np.ndarray, length: int):
    """Yield (probability, cells) of every sequence of observations of the strata 0, 1, 0, 1, ..."""
    strata, cells = laws.shape
    for sequence in itertools.product(range(cells), repeat=length):
        probability = math.prod(laws[i % strata, cell] for i, cell in enumerate(sequence))
        if probability > 0:
            yield probability, sequence


def counts_of(sequence, shape) -> np.ndarray:
    counts = np.zeros(shape, dtype=np.int64)
    for i, cell in enumerate(sequence):
        counts[i % shape[0], cell] += 1
    return counts


def remembered(evidence):
    """Return the evidence of counts, computed once for each table: many sequences have the same counts."""
    known = {}

    def log_e(counts: np.ndarray) -> float:
        key = counts.tobytes()
        if key not in known:
            known[key] = evidence.log_e(counts)
        return known[key]

    return log_e


def make() -> Evidence:
    pools = [np.array([0, 1]), np.array([1])]
    return Evidence(NULL, alternatives={"other": OTHER}, partitions=[np.array([0, 0, 1])], pools=pools)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_e_value__expectation_under_the_null_is_one(length):
    evidence = make()
    mean = sum(
        probability * math.exp(evidence.log_e(counts_of(sequence, NULL.shape)))
        for probability, sequence in every_sequence(NULL, length)
    )
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_e_value__every_component_is_a_martingale():
    evidence = make()
    length = 4
    totals: dict[str, float] = {}
    for probability, sequence in every_sequence(NULL, length):
        for part in evidence.components(counts_of(sequence, NULL.shape)):
            totals[part.name] = totals.get(part.name, 0.0) + probability * math.exp(part.log_ratio)
    assert len(totals) == 6
    assert all(total == pytest.approx(1.0, abs=1e-9) for total in totals.values())


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05])
def test_e_value__ever_exceeds_its_threshold_with_probability_at_most_alpha(alpha):
    log_e = remembered(make())
    length = 6
    alarm = 0.0
    for probability, sequence in every_sequence(NULL, length):
        prefixes = (counts_of(sequence[:n], NULL.shape) for n in range(1, length + 1))
        if any(log_e(counts) >= -math.log(alpha) for counts in prefixes):
            alarm += probability
    assert alarm <= alpha


def test_e_value__tolerance_covers_every_null_within_it():
    tolerance = 0.1
    law = np.array([[0.5, 0.3, 0.2]])
    evidence = Evidence(law, alternatives={"other": OTHER[:1]}, tolerance=tolerance)
    for shift in ((0.05, -0.05, 0.0), (-0.05, 0.03, 0.02), (0.03, -0.05, 0.02)):
        true = law + np.array(shift)
        assert (true <= law * (1 + tolerance) + 1e-12).all()
        mean = sum(
            probability * math.exp(evidence.log_e(counts_of(sequence, law.shape)))
            for probability, sequence in every_sequence(true, 5)
        )
        assert mean <= 1.0 + 1e-9


def test_e_value__impossible_event_is_infinite_evidence():
    counts = np.array([[1, 1, 1], [0, 0, 1]])
    assert make().log_e(counts) == math.inf


def test_e_value__grows_fastest_against_the_alternative_that_is_true():
    rng = np.random.default_rng(5)
    counts = np.stack([rng.multinomial(300, row) for row in OTHER])
    parts = {part.name: part.log_ratio for part in make().components(counts)}
    assert max(parts, key=lambda name: parts[name]) == "other"


def test_pools__one_cell_that_is_wrong_in_every_stratum_a_little_is_found():
    null = np.full((4, 2000), 1 / 2000)
    counts = np.ones((4, 2000), dtype=np.int64)
    # Ten times too often in every stratum, or never in any: too little for one stratum alone.
    counts[:, 7] = 10
    alone, together = Evidence(null), Evidence(null, pools=[np.arange(4)])
    assert together.log_e(counts) > alone.log_e(counts) + 10
    law = np.tile(np.array([0.02, *[0.98 / 1999] * 1999]), (4, 1))
    missing = np.full((4, 2000), 2)
    missing[:, 0] = 0
    alone, together = Evidence(law), Evidence(law, pools=[np.arange(4)])
    assert together.log_e(missing) > alone.log_e(missing) + 10


def test_evidence__refuses_what_is_no_law():
    with pytest.raises(InputError, match="does not sum to 1"):
        Evidence(np.array([[0.5, 0.6]]))
    with pytest.raises(InputError, match="negative or not finite"):
        Evidence(np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="alternative x has shape"):
        Evidence(NULL, alternatives={"x": NULL[:1]})
    with pytest.raises(InputError, match="integers of at least 0"):
        make().log_e(np.full(NULL.shape, 0.5))
    with pytest.raises(InputError, match="counts has shape"):
        make().log_e(np.zeros((1, 3), dtype=np.int64))


@pytest.mark.parametrize(("cells", "samples"), [(2, 7), (3, 6), (4, 5)])
def test_regret__is_the_largest_loss_over_all_counts(cells, samples):
    losses = []
    for counts in itertools.product(range(samples + 1), repeat=cells):
        if sum(counts) != samples:
            continue
        table = np.array(counts)
        best = sum(n * math.log(n / samples) for n in counts if n)
        losses.append(best - float(log_dirichlet(table[None, :])[0]))
    stated = float(dirichlet_regret(np.array([float(samples)]), np.array([cells]))[0])
    assert stated == pytest.approx(max(losses), rel=1e-12)


@pytest.mark.parametrize("delta", [0.3, 0.05])
def test_total_variation_bound__is_wrong_with_probability_at_most_delta(delta):
    law = np.array([0.5, 0.5])
    samples = 40
    for truth in (0.5, 0.6, 0.75, 0.95):
        distance = abs(truth - 0.5)
        wrong = 0.0
        for heads in range(samples + 1):
            probability = math.comb(samples, heads) * truth**heads * (1 - truth) ** (samples - heads)
            counts = np.array([heads, samples - heads])
            wrong += probability * (total_variation_bound(counts, law, delta) < distance)
        assert wrong <= delta / 2


def test_samples_for_bound__certify_a_right_sampler():
    cells, eps, delta = 64, 0.02, 1e-3
    samples = samples_for_bound(cells, eps, delta)
    law = np.full(cells, 1 / cells)
    rng = np.random.default_rng(3)
    bounds = [total_variation_bound(rng.multinomial(samples, law), law, delta, look=9) for _ in range(50)]
    assert max(bounds) <= eps


def test_power__a_coin_this_far_off_is_caught():
    evidence = Evidence(np.array([[0.5, 0.5]]))
    samples, threshold, miss = 2000, math.log(1e6), 1e-3
    shift = evidence.power(np.array([samples]), threshold, miss)
    assert 0.0 < shift < 0.5
    heads = np.arange(samples + 1)
    values = np.array([evidence.log_e(np.array([[n, samples - n]])) for n in heads])
    from scipy.stats import binom

    missed = binom.pmf(heads, samples, 0.5 + shift)[values < threshold].sum()
    assert missed <= miss


def test_power__more_observations_catch_less():
    evidence = make()
    found = [evidence.power(np.array([n, n]), math.log(1e7)) for n in (10, 1000, 100_000)]
    assert found[0] > found[1] > found[2]


def repetitions(left, right, times):
    """Yield (probability, first, second) of all outcomes of pairs whose places have laws of their own."""
    laws = [law for pair in zip(left, right, strict=True) for law in pair]
    for outcomes in itertools.product(*(range(len(law)) for law in laws * times)):
        probability = math.prod(law[x] for law, x in zip(laws * times, outcomes, strict=True))
        table = np.array(outcomes).reshape(times, len(left), 2)
        yield probability, table[:, :, 0], table[:, :, 1]


@pytest.mark.parametrize(
    ("left", "right", "times"),
    [
        (((0.5, 0.5), (0.9, 0.1)), ((0.3, 0.7), (1.0, 0.0)), 2),
        (((0.1, 0.9), (0.9, 0.1)), ((0.1, 0.9), (0.9, 0.1)), 2),
        (((0.2, 0.8),), ((0.6, 0.4),), 3),
    ],
)
def test_exchange__has_mean_one_for_all_laws_of_the_places_after_every_past(left, right, times):
    past = np.random.default_rng(1).integers(2, size=(2, 3, 5))
    mean = 0.0
    for probability, first, second in repetitions(left, right, times):
        evidence = ExchangeEvidence(1, 2)
        evidence.add(np.zeros(5, dtype=int), past[0], past[1])
        before = evidence.log_e[0]
        evidence.add(np.zeros(2, dtype=int), first, second)
        mean += probability * math.exp(evidence.log_e[0] - before)
    assert mean == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("together", [False, True])
def test_exchange__has_mean_one_for_pairs_with_places_in_common(together):
    """Rows 0, 1, 2 in the pairs (0, 1) and (1, 2); those with a negative outcome are left out."""
    laws = [{0: 0.3, 1: 0.7}, {0: 0.5, 1: 0.2, -1: 0.3}, {0: 0.6, 1: 0.4}] * 3
    mean = 0.0
    for outcomes in itertools.product(*laws):
        probability = math.prod(law[x] for law, x in zip(laws, outcomes, strict=True))
        rows = np.array(outcomes).reshape(3, 3)
        evidence = ExchangeEvidence(1, 2)
        for part in (slice(0, 2),) if together else (slice(0, 1), slice(1, 2)):
            first, second = rows[:, :2][:, part], rows[:, 1:][:, part]
            evidence.add(np.zeros(first.shape[1], dtype=int), first, second)
        mean += probability * math.exp(evidence.log_e[0])
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_exchange__ever_exceeds_its_threshold_with_probability_at_most_alpha():
    laws, alpha = ((0.6, 0.4), (0.2, 0.8)), 0.4
    alarm = 0.0
    for sequence in itertools.product(range(2), repeat=8):
        evidence, over = ExchangeEvidence(1, 2), False
        for step in np.array(sequence).reshape(2, 2, 2):
            evidence.add(np.zeros(1, dtype=int), step[:, :1], step[:, 1:])
            over |= evidence.log_e[0] >= -math.log(alpha)
        alarm += over * math.prod(laws[i % 2][x] for i, x in enumerate(sequence))
    assert alarm <= alpha


def test_exchange__equal_outcomes_are_found_and_the_laws_of_the_places_do_not_matter():
    rng = np.random.default_rng(8)
    # Even places nearly always have 0, odd ones 2: as one table, the pairs are far from a product.
    places = np.array([[0.96, 0.02, 0.02], [0.02, 0.02, 0.96]])
    ways = np.zeros(200, dtype=int)
    for equal in (False, True):
        evidence = ExchangeEvidence(1, 3)
        for _ in range(10):
            first, second = np.zeros((2, 4, 200), dtype=int)
            for place in range(200):
                law = places[place % 2] if not equal else np.full(3, 1 / 3)
                first[:, place], second[:, place] = rng.choice(3, p=law, size=(2, 4))
            evidence.add(ways, first, first if equal else second)
        assert (evidence.log_e[0] > math.log(1e100)) == equal
        assert abs(np.trace(evidence.expected(0)) - (1 / 3 if equal else 0.93)) < 0.05
    assert evidence.counts.sum() == 10 * 4 * 200
    assert evidence.exchanged.sum() == 10 * 12 * 200


def test_places__have_mean_at_most_one_for_every_common_law():
    for law in ((0.5, 0.5), (0.9, 0.1), (1.0, 0.0)):
        mean = 0.0
        for outcomes in itertools.product(range(2), repeat=8):
            counts = np.zeros((2, 2), dtype=np.int64)
            np.add.at(counts, (np.arange(8) % 2, np.array(outcomes)), 1)
            mean += math.prod(law[x] for x in outcomes) * math.exp(log_places(counts))
        assert mean <= 1.0 + 1e-9


def test_places__one_that_is_always_the_same_is_found():
    counts = np.tile([40, 30, 20, 10], (8, 1))
    assert log_places(counts) < 0
    counts[3] = [0, 0, 100, 0]
    assert log_places(counts) > math.log(1e20)
    assert log_places(counts[:1]) == 0.0


def test_exchange__expects_of_each_way_what_it_saw():
    rng = np.random.default_rng(3)
    evidence = ExchangeEvidence(2, 2)
    for _ in range(20):
        first, second = rng.integers(2, size=(2, 2, 16))
        # Ways by turns: in one the outcomes are independent, in the other always unlike.
        ways = np.arange(16) % 2
        second[:, ways == 1] = 1 - first[:, ways == 1]
        evidence.add(ways, first, second)
    assert evidence.log_e[1] > 30
    assert evidence.log_e[0] < 5
