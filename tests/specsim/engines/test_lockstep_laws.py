"""The engine against the exact law of the eager decoder in tests/naive.py, outcome by outcome."""

from collections import Counter, defaultdict
from dataclasses import replace
from fractions import Fraction
from math import log, sqrt

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Speculative,
    simulate,
)
from specsim.engines.lockstep import chain_tables, engine as lockstep, plans, tables

RUNS = 60_000
NAMES = [
    "fixture A",
    "markov",
    "zeros",
    "prefix",
    "prefix with zeros",
    "two atoms",
    "scaled residual",
    "equal rows",
    "disjoint",
    "point masses",
    "same point mass",
    "one token",
]


def outcomes(dataset):
    """Counts by (tokens, rejected positions)."""
    horizon, tokens = dataset.sizes["step"], dataset.sizes["token"]
    values = dataset.outcome_count.values
    counts = Counter()
    for path, rejected in np.argwhere(values):
        digits = tuple(int(path) // tokens ** (horizon - 1 - n) % tokens for n in range(horizon))
        positions = tuple(n for n in range(horizon) if rejected >> n & 1)
        counts[digits, positions] += int(values[path, rejected])
    return counts


def of_run(law, function):
    """Law of a function of the outcome."""
    image = defaultdict(Fraction)
    for outcome, probability in law.items():
        image[function(outcome)] += probability
    return image


def all_violations(dataset, law, violations):
    """Compare everything that a result holds with an exact law."""
    horizon, runs = dataset.sizes["step"], int(dataset.attrs["runs"])
    found = violations(outcomes(dataset), of_run(law, lambda o: (o.tokens, o.rejected)))
    for variable, function in {
        "rejection_count": lambda o: len(o.rejected),
        "target_call_count": lambda o: len(o.rounds),
        "first_accepted_length_count": lambda o: o.rounds[0],
    }.items():
        counts = dict(enumerate(map(int, dataset[variable].values)))
        found += [f"{variable} {text}" for text in violations(counts, of_run(law, function))]
    for step in range(horizon):
        got = int(dataset.rejections_by_step.values[step])
        expected = of_run(law, lambda o, step=step: step in o.rejected)
        found += [f"step {step} {t}" for t in violations({True: got, False: runs - got}, expected)]
        counts = dict(enumerate(map(int, dataset.token_count.values[step])))
        expected = of_run(law, lambda o, step=step: o.tokens[step])
        found += [f"step {step} token {t}" for t in violations(counts, expected)]
    # Sums over runs of numbers in [0, horizon] and of their squares: Hoeffding, 1e-9 in all.
    for power, variable in ((1, "accepted_length_count"), (2, "accepted_length_square_sum")):
        band = horizon**power * sqrt(log(4 * (horizon + 1) / 1e-9) / (2 * runs))
        for length in range(horizon + 1):
            expected = sum(p * o.rounds.count(length) ** power for o, p in law.items())
            mean = int(dataset[variable].values[length]) / runs
            if abs(mean - float(expected)) > band or (expected == 0) != (mean == 0):
                found.append(f"{variable}[{length}] {mean}, expected {float(expected)}")
    return found


def rule_arguments(algorithm, pair):
    """Arguments of the naive decoder for a descriptor."""

    def row(table, step):
        return table[0 if len(table) == 1 else step]

    def exact(step, context):
        index = 0 if pair.stationary else step
        return [
            [Fraction(int(w), 2**32) for w in weights[index, context]]
            for weights in (pair.target_weights, pair.draft_weights)
        ]

    if isinstance(algorithm, Autoregressive):
        return {"draft_length": 0}
    if isinstance(algorithm, BatchAsPrinted):
        return {"drafts": algorithm.drafts, "slip": algorithm.slip}
    common = {"draft_length": algorithm.draft_length, "bonus": algorithm.bonus}
    if isinstance(algorithm, Batch):
        return {**common, "drafts": algorithm.drafts}
    if isinstance(algorithm, OverAcceptance):

        def accept(step, context, token):
            target, draft = exact(step, context)
            return min(Fraction(1), (target[token] + Fraction(algorithm.epsilon)) / draft[token])

        def residual(step, context):
            target, draft = exact(step, context)
            if algorithm.residual != "optimal":
                return target if algorithm.residual == "target" else draft
            part = [max(t - d, Fraction(0)) for t, d in zip(target, draft, strict=True)]
            return [value / sum(part) for value in part]

        return {**common, "accept": accept, "residual": residual}
    if isinstance(algorithm, RejectionBased):
        return {
            **common,
            "accept": lambda step, context, token: Fraction(row(algorithm.acceptance, step)[context][token]),
            "residual": lambda step, context: [
                Fraction(value) for value in row(algorithm.residual, step)[context]
            ],
        }
    return common


def check(pair, algorithm, horizon, naive, violations, seed=1):
    dataset = simulate(pair, algorithm, runs=RUNS, seed=seed, horizon=horizon, threads=1, outcomes=True)
    arguments = rule_arguments(algorithm, pair)
    decoder = naive.verify_blocks if isinstance(algorithm, BlockVerification) else naive.decode
    law = naive.exact_law(lambda choose: decoder(choose, pair, horizon, **arguments))
    assert sum(law.values()) == 1
    return all_violations(dataset, law, violations)


ALGORITHMS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=1, bonus=False),
    Speculative(draft_length=2),
    Batch(drafts=1),
    Batch(drafts=2),
    Batch(drafts=2, draft_length=1, bonus=True),
    OverAcceptance(epsilon=0.125),
    OverAcceptance(epsilon=Fraction(1, 16), residual="target", draft_length=1, bonus=False),
    OverAcceptance(epsilon=0.0625, residual="draft"),
    BlockVerification(),
    BlockVerification(draft_length=2),
]


def on_all_pairs():
    """The fast tests have every algorithm on one pair, and three algorithms on every pair."""
    for name in NAMES:
        for algorithm in ALGORITHMS:
            fast = name == "markov" or algorithm in (Speculative(), Batch(drafts=2), BlockVerification())
            marks = [] if fast else [pytest.mark.slow]
            yield pytest.param(name, algorithm, id=f"{name}-{algorithm.label}", marks=marks)


@pytest.mark.parametrize(("name", "algorithm"), list(on_all_pairs()))
def test_outcomes__have_the_exact_law(name, algorithm, pairs, naive, violations):
    horizon = 2 if isinstance(algorithm, Batch) else pairs[name].horizon
    assert check(pairs[name], algorithm, horizon, naive, violations) == []


@pytest.mark.parametrize("name", ["fixture A", "markov", "zeros"])
@pytest.mark.parametrize(
    "algorithm",
    [
        Batch(drafts=3),
        BatchAsPrinted(drafts=2, slip="inside-loop"),
        BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    ],
    ids=lambda algorithm: algorithm.label,
)
def test_batches__have_the_exact_law(name, algorithm, pairs, naive, violations):
    horizon = 1 if name == "zeros" else 2
    assert check(pairs[name], algorithm, horizon, naive, violations) == []


def test_batch__walks_by_plain_rules_after_its_root(naive, violations):
    rows = np.array([[0.25, 0.75], [0.75, 0.25]])
    pair = ModelPair.from_probabilities(rows, rows[::-1], initial=[1, 0], horizon=3)
    assert check(pair, Batch(drafts=2, draft_length=2, bonus=False), 3, naive, violations) == []


@pytest.mark.parametrize("exact", [False, True])
def test_rejection_based__any_acceptance_and_residual(exact, pairs, naive, violations):
    generator = np.random.default_rng(3)
    pair = pairs["markov"]
    acceptance = generator.integers(0, 8, (3, 2, 2)) / 7
    acceptance[0, 0] = [0, 1]
    residual = np.stack([numbers := generator.integers(0, 7, (2, 2)) / 6, 1 - numbers], axis=-1)[:1]
    if exact:
        to_fraction = np.vectorize(lambda value: Fraction(value).limit_denominator(42), otypes=[object])
        acceptance, residual = to_fraction(acceptance), to_fraction(residual)
    for draft_length in (None, 2):
        algorithm = RejectionBased(
            acceptance=acceptance,
            residual=residual,
            draft_length=draft_length,
            bonus=draft_length is not None,
        )
        assert check(pair, algorithm, 3, naive, violations) == []


def test_rejection_based__stationary_pair_with_tables_per_step(naive, violations):
    rows = [[0.25, 0.75], [0.5, 0.5]]
    pair = ModelPair.from_probabilities(rows, rows[::-1], initial=[0.5, 0.5], horizon=3)
    acceptance = np.array([[[1.0, 0.5]] * 2, [[0.25, 0.0]] * 2, [[0.0, 1.0]] * 2])
    residual = np.array([[[0.5, 0.5]] * 2])
    algorithm = RejectionBased(acceptance=acceptance, residual=residual)
    assert check(pair, algorithm, 3, naive, violations) == []


def fixture_a(horizon):
    return ModelPair.from_probabilities(
        [[1 / 3, 2 / 3]] * 2, [[2 / 3, 1 / 3]] * 2, initial=[0.5, 0.5], horizon=horizon
    )


def fixture_b(horizon):
    return ModelPair.from_probabilities(
        [[0.50, 0.30, 0.15, 0.05]] * 4, [[0.20, 0.45, 0.10, 0.25]] * 4, initial=[0.25] * 4, horizon=horizon
    )


def mean(dataset, variable, dim):
    values = dataset[variable].values
    numbers = np.arange(len(values))
    first = (values * numbers).sum() / values.sum()
    second = (values * numbers**2).sum() / values.sum()
    return first, sqrt((second - first**2) / values.sum())


@pytest.mark.parametrize(
    ("algorithm", "rejections", "calls"),
    [
        (Speculative(), "4/3", "2"),
        (Speculative(draft_length=2, bonus=False), "4/3", "70/27"),
        (Speculative(draft_length=3, bonus=False), "4/3", "62/27"),
        (Batch(drafts=2), "7414/6561", "1334/729"),
        (Batch(drafts=3), "538258/531441", "34066/19683"),
        (Batch(drafts=2, draft_length=1, bonus=False), "8/9", "4"),
        (Batch(drafts=2, draft_length=2, bonus=False), "6994/6561", "1754/729"),
        (Batch(drafts=2, draft_length=3, bonus=False), "7162/6561", "1586/729"),
        (BlockVerification(), "79/81", "16/9"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_fixture_a__horizon_4(algorithm, rejections, calls):
    dataset = simulate(fixture_a(4), algorithm, runs=200_000, seed=4, threads=1)
    for variable, dim, expected in (
        ("rejection_count", "rejections", rejections),
        ("target_call_count", "calls", calls),
    ):
        value, error = mean(dataset, variable, dim)
        assert abs(value - float(Fraction(expected))) < 6 * error + 1e-8


def test_fixture_a__law_of_the_number_of_rejections(violations):
    law = {n: Fraction(f) for n, f in enumerate(["56/243", "112/243", "7/27", "308/6561", "16/6561"])}
    counts = simulate(fixture_a(4), Batch(drafts=2), runs=200_000, seed=5, threads=1).rejection_count.values
    assert violations(dict(enumerate(map(int, counts))), law) == []


@pytest.mark.parametrize(
    ("algorithm", "rejections", "distance"),
    [
        (Batch(drafts=2), 22771 / 40000, 0.0),
        (BatchAsPrinted(drafts=2, slip="inside-loop"), 7 / 10, 33 / 980),
        (BatchAsPrinted(drafts=2, slip="extra-subtraction"), 22771 / 40000, 657 / 40000),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_fixture_b__bias_of_the_printed_readings(algorithm, rejections, distance):
    runs = 400_000
    dataset = simulate(fixture_b(2), algorithm, runs=runs, seed=6, threads=1)
    value, error = mean(dataset, "rejection_count", "rejections")
    assert abs(value - rejections) < 6 * error
    row = np.array([0.50, 0.30, 0.15, 0.05])
    output = dataset.outcome_count.values.sum(axis=1) / runs
    measured = np.abs(output - np.outer(row, row).ravel()).sum() / 2
    # The empirical law of 16 paths is within this of the true one with probability above 1 - 1e-9.
    assert abs(measured - distance) < (sqrt(16) + sqrt(2 * log(1e9))) / (2 * sqrt(runs))


def test_unlikely_tokens__weight_one_is_drawn_and_weight_zero_never():
    unit = 2.0**-32
    target = [[0.0, unit, 1 - unit, 0.0]] * 4
    draft = [[unit, 0.0, 1 - 2 * unit, unit]] * 4
    pair = ModelPair.from_probabilities(target, draft, initial=[0.25] * 4, horizon=8)
    for algorithm in (Speculative(), Batch(drafts=3), BlockVerification(), Autoregressive()):
        tokens = simulate(pair, algorithm, runs=20_000, seed=7, threads=1).token_count.values.sum(axis=0)
        assert tokens[0] == tokens[3] == 0
        assert tokens[2] > 0


def test_sparse_rows__tokens_of_target_weight_zero_are_never_emitted():
    generator = np.random.default_rng(8)
    target = generator.random((6, 9, 9)) * (generator.random((6, 9, 9)) < 0.3)
    draft = generator.random((6, 9, 9)) * (generator.random((6, 9, 9)) < 0.3)
    target[..., 4] += 0.01
    draft[..., 5] += 0.01
    target /= target.sum(-1, keepdims=True)
    draft /= draft.sum(-1, keepdims=True)
    pair = ModelPair.from_probabilities(target, draft, initial=np.full(9, 1 / 9))
    for algorithm in (
        Speculative(),
        Speculative(draft_length=2),
        Batch(drafts=4),
        BlockVerification(),
        BatchAsPrinted(drafts=3, slip="extra-subtraction"),
    ):
        dataset = simulate(pair, algorithm, runs=5_000, seed=9, threads=1)
        assert not dataset.transition_count.values[pair.target == 0].any()


MUTANTS = {
    "residual from the target": lambda plan, pair: replace(
        plan, residual=lambda steps: pair.target_weights[steps], shared=False
    ),
    "residual from the draft": lambda plan, pair: replace(
        plan, residual=lambda steps: pair.draft_weights[steps], shared=False
    ),
    "replaced by the rejected token": lambda plan, pair: replace(
        plan, residual=lambda steps: tables.positive_part(pair.draft_weights, pair.target_weights)[steps]
    ),
    "everything accepted": lambda plan, pair: replace(
        plan, thresholds=lambda steps: pair.draft_weights[steps] << np.uint64(31), shared=False
    ),
    "rows of the next step": lambda plan, pair: replace(
        plan, residual=lambda steps: excess(pair, (steps + 1) % pair.steps), shared=False
    ),
    "batch everywhere": lambda plan, pair: replace(plan, **plans._root(pair, 1, 2)),
    "one draft token per round": lambda plan, pair: replace(plan, draft_length=1),
    "bonus token without a finite draft": lambda plan, pair: replace(plan, draft_length=1, bonus=True),
}


def excess(pair, steps):
    return (np.maximum(pair.target[steps] - pair.draft[steps], 0) * 2.0**32).astype(np.uint64)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants__are_seen(mutant, pairs, naive, violations, monkeypatch):
    pair = pairs["two atoms"]
    right = plans.prepare
    monkeypatch.setattr(lockstep, "prepare", lambda *args: MUTANTS[mutant](right(*args), pair))
    assert check(pair, Speculative(), 2, naive, violations) != []


def test_shared_words__need_residuals_that_sum_to_the_rejected_weights(pairs, monkeypatch):
    pair = pairs["two atoms"]
    right = plans.prepare
    monkeypatch.setattr(
        lockstep,
        "prepare",
        lambda *args: replace(right(*args), residual=lambda steps: pair.target_weights[steps]),
    )
    with pytest.raises(RuntimeError, match="shared=False"):
        simulate(pair, Speculative(), runs=1, seed=1)


def test_positions__without_the_slide_are_seen(pairs, naive, violations, monkeypatch):
    """The offset beyond the cut alone favours the first tokens of the residual."""
    pair = pairs["two atoms"]
    right = chain_tables.chain_tables

    def wrong(*args):
        found = right(*args)
        lost = (pair.draft_weights - np.minimum(pair.draft_weights, pair.target_weights)).astype(np.uint64)
        earlier = (np.cumsum(lost, axis=2) - lost).astype(np.uint32)
        slides = found.arrays.slides.reshape(earlier.shape)
        slides -= earlier
        return found

    monkeypatch.setattr(lockstep, "chain_tables", wrong)
    assert check(pair, Speculative(), 2, naive, violations) != []
