"""The population engine has the law of single runs, at any number of runs."""

import math

import numpy as np
import pytest
from scipy import stats

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    InputError,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Speculative,
    paper_pair,
    random_pair,
    random_prefix_pair,
    simulate,
    theory,
)

RUNS = 10**12
ALGORITHMS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=3),
    Speculative(draft_length=1, bonus=False),
    OverAcceptance(epsilon=0.1, residual="draft", draft_length=2, bonus=True),
    Batch(drafts=3),
    Batch(drafts=2, draft_length=2, bonus=True),
    BatchAsPrinted(drafts=2, slip="extra-subtraction"),
]
PAIRS = [
    paper_pair(8),
    random_pair(contexts=3, horizon=5, family="sparse", seed=4),
    random_pair(contexts=3, horizon=5, family="equal-rows", density=0.5, seed=5, stationary=True),
    random_pair(contexts=4, horizon=4, family="disjoint", seed=6),
    random_prefix_pair(tokens=3, horizon=3, family="uniform", seed=7),
]
LAWS = {
    "rejections_by_step": theory.rejections_by_step,
    "rejection_count": theory.rejection_law,
    "target_call_count": theory.target_call_law,
    "first_accepted_length_count": theory.first_accepted_length_law,
    "token_count": theory.output_marginals,
    "transition_count": theory.transition_marginals,
}


def sigmas(counts: np.ndarray, probabilities: np.ndarray, runs: int) -> np.ndarray:
    """Deviations in standard errors of cells with enough expected runs; impossible cells must be empty."""
    counts, probabilities = counts.ravel(), np.asarray(probabilities, float).ravel()
    impossible = probabilities < 1e-15
    assert not counts[impossible].any()
    variance = runs * probabilities * (1 - probabilities)
    cells = ~impossible & (variance > 100)
    return (counts[cells] - runs * probabilities[cells]) / np.sqrt(variance[cells])


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.label)
def test_laws_agree_with_theory(algorithm):
    for pair in PAIRS:
        result = simulate(pair, algorithm, runs=RUNS, seed=3, engine="population")
        for name, law in LAWS.items():
            deviations = sigmas(result[name].values, law(pair, algorithm), RUNS)
            assert np.abs(deviations).max(initial=0) < 7, (pair.name, name)
        expected = theory.accepted_length_counts(pair, algorithm)
        # A run has at most `horizon` rounds, so a count per run has a standard deviation below that.
        error = np.abs(result["accepted_length_count"].values / RUNS - expected)
        assert error.max() < 7 * pair.horizon / math.sqrt(RUNS)


def test_rejection_based_tables():
    pair = random_pair(contexts=3, horizon=4, family="uniform", seed=8)
    acceptance = np.full((1, 3, 3), 0.75)
    algorithm = RejectionBased(acceptance=acceptance, residual=np.full((1, 3, 3), 1 / 3))
    result = simulate(pair, algorithm, runs=RUNS, seed=3, engine="population")
    deviations = sigmas(result["rejection_count"].values, theory.rejection_law(pair, algorithm), RUNS)
    assert np.abs(deviations).max() < 7


def test_a_wrong_residual_is_seen():
    pair = paper_pair(8)
    result = simulate(
        pair, OverAcceptance(epsilon=0, residual="target"), runs=RUNS, seed=3, engine="population"
    )
    deviations = sigmas(result["token_count"].values, theory.target_marginals(pair), RUNS)
    assert np.abs(deviations).max() > 1000


def test_deviations_are_calibrated_over_seeds():
    pair, algorithm, runs = paper_pair(6), Batch(drafts=2), 10**9
    probabilities = theory.rejections_by_step(pair, algorithm)
    deviations = np.concatenate(
        [
            sigmas(
                simulate(pair, algorithm, runs=runs, seed=seed, engine="population")[
                    "rejections_by_step"
                ].values[[0, 5]],
                probabilities[[0, 5]],
                runs,
            )
            for seed in range(100)
        ]
    )
    # Fixed seeds, so this cannot fail by chance: the level only says how far from normal it may be.
    assert stats.kstest(deviations, "norm").pvalue > 1e-3
    assert 0.9 < deviations.std() < 1.1


def test_few_runs_agree_with_single_runs():
    pair, algorithm, runs = paper_pair(5), Speculative(draft_length=2), 40_000
    population = simulate(pair, algorithm, runs=runs, seed=1, engine="population")
    literal = simulate(pair, algorithm, runs=runs, seed=1)
    for name in ("rejection_count", "target_call_count"):
        table = np.stack([population[name].values, literal[name].values])
        assert stats.chi2_contingency(table[:, table.sum(axis=0) > 10]).pvalue > 1e-6


def test_cost_and_counts_at_the_largest_number_of_runs():
    pair = paper_pair(50)
    result = simulate(pair, Speculative(), runs=10**15, seed=1, engine="population")
    mean = float((result["rejection_count"] * result["rejections"]).sum()) / 10**15
    deviation = math.sqrt(theory.rejection_variance(pair, Speculative()) / 10**15)
    assert abs(mean - theory.expected_rejections(pair, Speculative())) < 7 * deviation
    assert "accepted_length_square_sum" not in result


def test_same_seed_same_counts():
    first, again, other = (
        simulate(paper_pair(4), Batch(drafts=2), runs=10**10, seed=seed, engine="population")
        for seed in (1, 1, 2)
    )
    assert first.identical(again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"per_run": True}, "per_run"),
        ({"outcomes": True}, "outcomes"),
        ({"runs": 2**53 + 1}, "runs"),
        ({"algorithm": BlockVerification(draft_length=2)}, "block-verification"),
        ({"algorithm": Batch(drafts=math.inf)}, "drafts"),
        ({"pair": random_pair(contexts=64, horizon=512, family="uniform", seed=1, stationary=True)}, "draws"),
    ],
)
def test_what_it_cannot_do_is_refused(changes, words):
    request = {"pair": paper_pair(4), "algorithm": Speculative(), "runs": 10, **changes}
    pair, algorithm = request.pop("pair"), request.pop("algorithm")
    with pytest.raises(InputError, match=words):
        simulate(pair, algorithm, seed=1, engine="population", **request)


def test_tokens_of_probability_zero__are_never_drawn():
    """At the most runs that there can be, rounded laws leave some over on almost every row."""
    generator = np.random.default_rng(5)
    for _ in range(40):
        rows = generator.random((2, 12, 12)) * (generator.random((2, 12, 12)) < 0.5)
        rows[..., generator.integers(11)] += 0.01
        rows[..., 11] = 0
        rows /= rows.sum(axis=-1, keepdims=True)
        initial = np.append(np.full(11, 1 / 11), 0)
        pair = ModelPair.from_probabilities(*rows, initial=initial, horizon=2, tolerance=1e-6)
        for algorithm in (Speculative(), Batch(drafts=3)):
            result = simulate(pair, algorithm, runs=2**53, seed=1, engine="population")
            counts = result["transition_count"].values
            assert not counts[:, pair.target[0] == 0].any()
            assert not counts[0, pair.initial == 0].any()
