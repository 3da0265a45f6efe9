"""The tables of the alias engine hold exactly the masses of the collapsed law."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    OverAcceptance,
    RejectionBased,
    Speculative,
    paper_pair,
    random_pair,
)
from specsim.engines.alias.kernels.rejections import step_plain
from specsim.engines.alias.tables import Layout, build_tables, collapse, column_bits, pack, unpack
from specsim.engines.lockstep.plans import prepare

UNIT = 2**32


def banks(pair, algorithm):
    """Integer masses of (token, kind) per step, row and kind, as read back from the tables."""
    plan = prepare(algorithm, pair, pair.horizon)
    layout = Layout.of(pair, plan)
    tables = build_tables(pair, plan, layout, 0, pair.horizon)
    steps = len(tables.entries)
    masses = unpack(tables.entries.reshape(steps * layout.rows, -1), layout.bits)
    halves = masses.reshape(steps, layout.rows, 2, -1)
    assert not halves[..., pair.tokens :].any()
    return layout, halves[..., : pair.tokens].astype(object)


def exact_rows(pair, step, context):
    index = 0 if pair.stationary else step
    return [int(w) for w in pair.target_weights[index, context]], [
        int(w) for w in pair.draft_weights[index, context]
    ]


@given(st.lists(st.integers(0, 2**34), min_size=1, max_size=40), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_pack__holds_any_masses_exactly(cuts, spare):
    points = sorted({0, UNIT, *(cut for cut in cuts if cut <= UNIT)})
    masses = [high - low for low, high in pairwise(points)]
    masses += [0] * (cuts[0] % 3)
    bits = column_bits(len(masses)) + spare
    row = np.array([masses], np.uint64)
    assert np.array_equal(unpack(pack(row, bits), bits)[0, : len(masses)], row[0])
    assert unpack(pack(row, bits), bits).sum() == UNIT


@pytest.mark.parametrize("bits", [1, 2, 4, 11])
def test_pack__extreme_rows(bits):
    columns = 2**bits
    equal = np.full(columns, UNIT // columns, np.uint64)
    single = np.zeros(columns, np.uint64)
    single[columns // 2] = UNIT
    nearly = np.ones(columns, np.uint64)
    nearly[0] = UNIT - columns + 1
    one_short = equal.copy()
    one_short[:2] += np.array([1, -1]).astype(np.uint64)
    rows = np.stack([equal, single, nearly, one_short])
    assert np.array_equal(unpack(pack(rows, bits), bits), rows)


def test_pack__refuses_a_row_with_another_sum():
    rows = np.array([[2**31, 2**31], [2**31, 2**31 - 1]], np.uint64)
    with pytest.raises(RuntimeError, match="row 1"):
        pack(rows, 1)


@pytest.mark.parametrize(
    "pair",
    [
        paper_pair(50),
        random_pair(contexts=64, horizon=2, seed=1),
        random_pair(contexts=5, tokens=300, horizon=3, seed=2, family="sparse"),
        random_pair(contexts=9, horizon=4, seed=3, family="near-equal"),
        random_pair(contexts=3, tokens=17, horizon=9, seed=4, family="disjoint", stationary=True),
        random_pair(contexts=1, tokens=1, horizon=2, seed=4),
    ],
    ids=lambda pair: pair.name,
)
def test_speculative_tables__hold_the_masses_of_algorithm_1(pair):
    layout, masses = banks(pair, Speculative(draft_length=3))
    assert layout.root == 0
    assert layout.bonus == pair.contexts
    assert len(masses) == (1 if pair.stationary else pair.horizon)
    for step in range(len(masses)):
        for context in range(pair.contexts):
            target, draft = exact_rows(pair, step, context)
            accepted, rejected = masses[step, context]
            assert list(accepted) == [min(t, d) for t, d in zip(target, draft, strict=True)]
            assert list(rejected) == [max(t - d, 0) for t, d in zip(target, draft, strict=True)]
            accepted, rejected = masses[step, layout.bonus + context]
            assert list(accepted) == target
            assert not any(rejected)


def test_autoregressive_tables__hold_the_target():
    pair = paper_pair(3)
    layout, masses = banks(pair, Autoregressive())
    assert layout.rows == pair.contexts
    assert np.array_equal(masses[:, :, 0], pair.target_weights.astype(object))
    assert not masses[:, :, 1].any()


def collapsed(accept, residual):
    """Exact masses, times 2^32, from (drafted and accepted) probabilities and a residual law."""
    rejection = 1 - sum(accept)
    return [value * UNIT for value in accept], [rejection * value * UNIT for value in residual]


def assert_rounded(masses, exact):
    accepted, rejected = exact
    assert int(masses.sum()) == UNIT
    for got, wanted in zip([*masses[0], *masses[1]], [*accepted, *rejected], strict=True):
        assert abs(got - wanted) < 1 + Fraction(1, 1000)
        assert wanted != 0 or got == 0


@pytest.mark.parametrize("residual", ["optimal", "target", "draft"])
@pytest.mark.parametrize("epsilon", [0, 0.03, Fraction(1, 7)])
def test_over_acceptance_tables__round_each_mass_by_less_than_one(epsilon, residual):
    pair = random_pair(contexts=6, horizon=3, seed=7, family="dirichlet")
    _, masses = banks(pair, OverAcceptance(epsilon=epsilon, residual=residual))
    for step in range(3):
        for context in range(6):
            target, draft = ([Fraction(w, UNIT) for w in row] for row in exact_rows(pair, step, context))
            accept = [min(d, t + Fraction(epsilon)) for t, d in zip(target, draft, strict=True)]
            part = [max(t - d, 0) for t, d in zip(target, draft, strict=True)]
            law = {"target": target, "draft": draft}.get(residual) or [value / sum(part) for value in part]
            assert_rounded(masses[step, context], collapsed(accept, law))


def test_rejection_based_tables__exact_masses_stay_exact():
    pair = random_pair(contexts=3, horizon=2, seed=5)
    acceptance = np.array([[[0.5, 0.25, 1.0]] * 3])
    residual = np.array([[[0.0, 0.5, 0.5]] * 3])
    _, masses = banks(pair, RejectionBased(acceptance=acceptance, residual=residual))
    for step in range(2):
        for context in range(3):
            _, draft = exact_rows(pair, step, context)
            accept = [Fraction(d, UNIT) * Fraction(a) for d, a in zip(draft, (0.5, 0.25, 1.0), strict=True)]
            assert_rounded(masses[step, context], collapsed(accept, [0, Fraction(1, 2), Fraction(1, 2)]))


def algorithm_4(target, draft, drafts, subtractions):
    """First position of a batch round by the published recursion, in rationals."""
    current, reach = target, Fraction(1)
    accept = [Fraction(0)] * len(target)
    for _ in range(drafts):
        taken = [min(c, d) for c, d in zip(current, draft, strict=True)]
        accept = [a + reach * t for a, t in zip(accept, taken, strict=True)]
        reach *= 1 - sum(taken)
        if reach == 0:
            return accept, [Fraction(0)] * len(target)
        current = normalised(current, draft)
    for _ in range(subtractions - drafts):
        current = normalised(current, draft)
    return accept, [reach * c for c in current]


def normalised(current, draft):
    part = [max(c - d, 0) for c, d in zip(current, draft, strict=True)]
    return [value / sum(part) for value in part]


@pytest.mark.parametrize("family", ["uniform", "sparse", "equal-rows", "disjoint"])
@pytest.mark.parametrize(
    ("algorithm", "subtractions"),
    [
        (Batch(drafts=2), 2),
        (Batch(drafts=9), 9),
        (BatchAsPrinted(drafts=2, slip="extra-subtraction"), 3),
        (BatchAsPrinted(drafts=1, slip="extra-subtraction"), 2),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_batch_tables__round_the_masses_of_a_root(algorithm, subtractions, family):
    pair = random_pair(contexts=5, horizon=2, seed=6, family=family)
    layout, masses = banks(pair, algorithm)
    assert layout.root == 5
    for step in range(2):
        for context in range(5):
            target, draft = ([Fraction(w, UNIT) for w in row] for row in exact_rows(pair, step, context))
            accept, reject = algorithm_4(target, draft, algorithm.drafts, subtractions)
            wanted = [value * UNIT for value in accept], [value * UNIT for value in reject]
            assert_rounded(masses[step, 5 + context], wanted)
            accepted = [min(t, d) * UNIT for t, d in zip(target, draft, strict=True)]
            assert list(masses[step, context, 0]) == accepted


def test_batch_of_one__needs_no_rows_of_its_own():
    pair = paper_pair(2)
    layout, masses = banks(pair, Batch(drafts=1))
    assert layout.rows == pair.contexts
    assert np.array_equal(masses, banks(pair, Speculative())[1])


def test_collapse__mixes_exact_and_rounded_rows():
    thresholds = np.array([[2**62, 2**61], [2**62 + 1, 0], [2**63 - 2**31, 2**31]], np.uint64)
    residual = np.array([[0, 2**30], [3, 0], [0, 0]], np.uint64)
    accepted, rejected = collapse(thresholds, residual)
    assert np.array_equal(accepted, [[2**31, 2**30], [2**31, 0], [2**32 - 1, 1]])
    assert np.array_equal(rejected, [[0, 2**30], [2**31, 0], [0, 0]])


def test_step__compares_the_upper_bits_with_the_threshold(compiled):
    bits = 4
    masses = np.zeros((1, 16), np.uint64)
    masses[0, [0, 1, 8, 9]] = [2**28 + 7, 5, 2**31, 2**32 - 2**31 - 2**28 - 12]
    entries = pack(masses, bits)[0]
    for column in range(16):
        threshold, alias = int(entries[column]) >> bits, int(entries[column]) & 15
        for fraction in {0, max(threshold - 1, 0), threshold, 2**28 - 1}:
            words = np.array([fraction << bits | column], np.uint32)
            row, token, rejections = (np.zeros(1, np.uint32) for _ in range(3))
            compiled(step_plain)(words, entries, np.uint32(bits), np.uint32(100), row, token, rejections)
            atom = column if fraction < threshold else alias
            assert (token[0], rejections[0]) == (atom & 7, atom >> 3)
            assert row[0] == (atom & 7) + 100 * (atom >> 3)


@pytest.mark.parametrize(("tokens", "bits"), [(1, 4), (7, 4), (8, 4), (9, 5), (64, 7), (2**17, 18)])
def test_columns__are_at_least_two_per_token(tokens, bits):
    assert column_bits(2 * tokens, 4) == bits
