"""Fast exact chains equal plain rational recursions, whatever the shape, the numbers and the method."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim import theory
from specsim.algorithms import Speculative
from specsim.errors import TooLargeError
from specsim.pairs import UNIT, ModelPair
from specsim.pairs.families import random_pair, random_prefix_pair
from specsim.theory import step_laws
from specsim.theory.arithmetic.exact_products import Halves, Layout
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import tables_of
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.laws.laws import Laws
from specsim.theory.laws.target import rows_of, target_context_laws
from specsim.theory.statements.theorem_1 import total_variation

METHODS = [("plain", None), ("limbs", False), ("limbs", True)]


def chain(pair, horizon=None, method=None, sparse=None):
    """A chain that moves by the target and costs what exceeds it, which is not a constant per context."""
    tables = tables_of(pair)

    def rows(first, last):
        target, draft = tables.integer_rows(first, last)
        return target, np.maximum(target - draft, 0).sum(axis=-1)

    return IntegerChain(tables, tables.check_horizon(horizon), rows, method=method, sparse=sparse)


def costs_by_tokens(pair):
    """The costs of `chain`, token by token in Python integers."""
    tables = tables_of(pair)
    target, draft = tables.target_weights.tolist(), tables.draft_weights.tolist()
    after = tables.next_context.tolist()
    mass = dict(enumerate(tables.initial_weights.tolist()))
    costs = []
    for n in range(pair.horizon):
        step = tables.step_index(n)
        cost, moved = 0, {}
        for context, here in mass.items():
            for token, weight in enumerate(target[step][context]):
                cost += here * max(weight - draft[step][context][token], 0)
                there = after[context][token]
                moved[there] = moved.get(there, 0) + here * weight
        costs.append(F(cost, tables.unit ** (n + 2)))
        mass = {context: weight for context, weight in moved.items() if weight}
    return costs


def assert_equal_by_all_methods(pair):
    costs = costs_by_tokens(pair)
    methods = METHODS + [("flint", None)] * tables_of(pair).stationary
    for method, sparse in methods:
        made = chain(pair, method=method, sparse=sparse)
        assert made.by_step() == costs, (method, sparse)
        assert made.total() == sum(costs), (method, sparse)


SHAPES = [
    # contexts, tokens, horizon, stationary, family
    (1, 1, 1, True, "uniform"),
    (1, 5, 200, True, "uniform"),
    (2, 2, 200, False, "sparse"),
    (3, 3, 2, False, "disjoint"),
    (7, 7, 50, False, "peaked"),
    (7, 3, 33, False, "uniform"),
    (33, 33, 20, False, "equal-rows"),
    (40, 40, 60, True, "sparse"),
    (64, 300, 3, True, "peaked"),
    (130, 130, 7, True, "near-equal"),
    (300, 4, 20, True, "uniform"),
    (300, 300, 5, True, "disjoint"),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chain__random_pairs(shape):
    contexts, tokens, horizon, stationary, family = shape
    pair = random_pair(
        contexts=contexts,
        tokens=None if tokens == contexts else tokens,
        horizon=horizon,
        stationary=stationary,
        family=family,
        seed=contexts + horizon,
        initial="random",
    )
    assert_equal_by_all_methods(pair)


def test_chain__prefix_pair():
    assert_equal_by_all_methods(random_prefix_pair(tokens=3, horizon=5, seed=4))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_chain__extreme_weights(data):
    contexts, tokens = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    stationary = data.draw(st.booleans())
    horizon = data.draw(st.sampled_from([1, 2, 3, 7, 40]))

    def row(size):
        # Halves full of ones or zeros, and point masses.
        cuts = data.draw(
            st.lists(
                st.sampled_from([0, 1, 2**16 - 1, 2**16, 2**31, UNIT - 2**16, UNIT - 1, UNIT])
                | st.integers(0, UNIT),
                min_size=size - 1,
                max_size=size - 1,
            )
        )
        return np.diff([0, *sorted(cuts), UNIT]) / UNIT

    shape = (1 if stationary else horizon, contexts)
    target, draft = ([[row(tokens) for _ in range(contexts)] for _ in range(shape[0])] for _ in "td")
    pair = ModelPair.from_probabilities(
        target,
        draft,
        initial=row(contexts),
        next_context=np.array(
            data.draw(
                st.lists(st.integers(0, contexts - 1), min_size=contexts * tokens, max_size=contexts * tokens)
            )
        ).reshape(contexts, tokens),
        horizon=horizon,
        tolerance=0,
    )
    assert_equal_by_all_methods(pair)


def concentrated(contexts, weight, horizon):
    """All contexts lead to context 0 with `weight`: no column of the matrix can have a larger sum."""
    rows = np.zeros((contexts, contexts))
    rows[:, 0] = weight
    rows[:, -1] += UNIT - weight
    draft = np.roll(rows, 1, axis=1)
    initial = np.full(contexts, UNIT // contexts)
    initial[0] += UNIT - initial.sum()
    return ModelPair.from_probabilities(
        rows / UNIT, draft / UNIT, initial=initial / UNIT, horizon=horizon, tolerance=0
    )


@pytest.mark.parametrize("weight", [UNIT, UNIT - 1, UNIT - 2**16, 2**16 - 1, 2**31 - 1])
def test_chain__largest_columns_and_long_carries(weight):
    pair = concentrated(257, weight, 9)
    assert_equal_by_all_methods(pair)
    # UNIT - 1 to powers up to 200 fills limbs with ones.
    assert_equal_by_all_methods(concentrated(3, weight, 200))


@pytest.mark.parametrize("denominator", [3, 30, 3**9, 2**32 - 5, 3**40])
def test_chain__rationals_over_any_unit(denominator):
    third = F(denominator // 3, denominator)
    pair = RationalPair(
        target=(((third, 1 - third), (F(1), F(0))), ((F(0), F(1)), (1 - third, third))),
        draft=(((1 - third, third), (third, 1 - third)), ((F(1, denominator), 1 - F(1, denominator)),) * 2),
        next_context=((0, 1), (1, 0)),
        initial=(third, 1 - third),
        horizon=2,
    )
    costs = costs_by_tokens(pair)
    assert chain(pair).by_step() == costs
    if Layout.of(tables_of(pair).unit, 3) is None:
        assert denominator == 3**40
        return
    for sparse in (False, True):
        assert chain(pair, method="limbs", sparse=sparse).total() == sum(costs)


def test_chain__flint_of_a_unit_beyond_floats():
    tiny = F(1, 3**40)
    row = (tiny, 1 - 3 * tiny, 2 * tiny)
    pair = RationalPair(
        target=((row, row[::-1]),),
        draft=((row[::-1], row[::-1]),),
        next_context=((0, 1, 1), (1, 1, 0)),
        initial=(tiny, 1 - tiny),
        horizon=9,
    )
    assert chain(pair, method="flint").by_step() == costs_by_tokens(pair)


# The arithmetic itself: any weights up to the unit and any digits up to 2^digit_bits, more than chains need.


def products(layout, weights, digits, sparse, limbs):
    if sparse:
        rows, columns = np.nonzero(np.ones_like(weights))
        halves = Halves.sparse(weights.ravel(), (rows, columns), weights.shape, layout.low_bits)
    else:
        halves = Halves.dense((weights[:, :1], weights[:, 1:]), layout.low_bits)
    left = layout.join(*halves.rows_times(digits), limbs)
    square = layout.join(*halves.times_columns(np.repeat(digits[:, :1], weights.shape[1], axis=1)), limbs)
    return left, square


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("inner", [1, 2, 3, 64, 65, 1025, 4097])
@pytest.mark.parametrize("weight", [UNIT, UNIT - 1, 2**16 - 1])
def test_join__worst_case_is_exact(inner, weight, sparse):
    layout = Layout.of(UNIT, max(inner, 3))
    top = 1 << layout.digit_bits
    for digit in (top, top - 1):
        weights = np.full((inner, 3), weight, dtype=np.int64)
        weights[-1, -1] -= 1
        digits = np.full((4, inner), digit, dtype=np.int64)
        digits[0, 0] -= 1
        numbers = [
            sum(int(d) << (layout.digit_bits * i) for i, d in enumerate(column)) for column in digits.T
        ]
        expected = [
            sum(number * int(w) for number, w in zip(numbers, column, strict=True)) for column in weights.T
        ]
        limbs = layout.limbs(max(expected))
        left, right = products(layout, weights, digits, sparse, limbs)
        assert layout.integers(left) == expected
        assert layout.integers(right) == [numbers[0] * sum(map(int, row)) for row in weights]
        assert left.min() >= 0
        assert left.max() <= top


def test_layout__larger_digits_would_be_rounded():
    """The bound of `Layout` is needed: two more bits and float64 rounds."""
    inner = 1025
    plain = Layout.of(UNIT, inner)
    assert plain is not None
    layout = replace(plain, digit_bits=plain.digit_bits + 2)
    weights = np.full((inner, 2), UNIT - 1, dtype=np.int64)
    digits = np.full((1, inner), (1 << layout.digit_bits) - 1, dtype=np.int64)
    digits[0, ::2] -= 2
    expected = sum(int(d) * (UNIT - 1) for d in digits[0])
    halves = Halves.dense((weights,), layout.low_bits)
    joined = layout.join(*halves.rows_times(digits), layout.limbs(expected))
    assert layout.integers(joined)[0] != expected


@pytest.mark.parametrize("inner", [1, 65, 1025, 100_000])
def test_layout__fewer_passes_would_leave_large_digits(inner):
    """The number of passes is enough, and one less is not."""
    layout = Layout.of(UNIT, inner)
    assert layout is not None
    # The largest product in every limb, and all ones in its last digit.
    low = np.full((4, 1), float(2**53))
    high = np.full((4, 1), float(2**layout.digit_bits - 1))
    assert layout.join(high, low, 8).max() <= 1 << layout.digit_bits
    fewer = replace(layout, passes=layout.passes - 1)
    assert fewer.join(high, low, 8).max() > 1 << layout.digit_bits


@pytest.mark.parametrize("unit", [1, 2, 3, 30, 2**16, 2**32 - 5, UNIT, 2**40])
def test_layout__bound(unit):
    for terms in (1, 2, 17, 1024, 1025):
        layout = Layout.of(unit, terms)
        if layout is None:
            assert unit == 2**40
            continue
        half = max(unit >> layout.low_bits, (1 << layout.low_bits) - 1)
        assert terms * half << layout.digit_bits <= 2**53
        assert layout.low_bits < layout.digit_bits


def test_layout__needs_digits_wider_than_the_low_half():
    assert Layout.of(2**60, 2) is None
    assert Layout.of(UNIT, 2**21) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**700), min_size=1, max_size=5), st.sampled_from([1, 64, 5000]))
def test_layout__digits_and_integers(numbers, terms):
    layout = Layout.of(UNIT, terms)
    limbs = layout.limbs(max(numbers))
    digits = layout.digits(numbers, limbs)
    assert digits.shape == (limbs, len(numbers))
    assert digits.max() < 1 << layout.digit_bits
    assert layout.integers(digits) == numbers
    assert layout.integers(layout.digits(numbers, limbs + 3)) == numbers


# What the theory makes of it.


def by_recursion(pair, algorithm):
    return Laws(pair, algorithm, exact=True)._rounds.run().rejected.tolist()


def by_fractions(pair):
    tables = tables_of(pair)
    laws = target_context_laws(tables, pair.horizon, True)
    return [law @ total_variation(*rows_of(tables, n, True)) for n, law in enumerate(laws)]


PAIRS = [
    random_pair(contexts=6, horizon=12, seed=1),
    random_pair(contexts=9, tokens=4, horizon=8, seed=2, family="sparse", stationary=True),
    random_pair(contexts=36, horizon=4, seed=3, stationary=True),
    random_pair(contexts=5, horizon=6, seed=4, family="disjoint"),
    random_prefix_pair(tokens=2, horizon=4, seed=5),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_statements__equal_the_plain_recursions(pair):
    costs = by_fractions(pair)
    assert theory.theorem_1_rejections_by_step(pair, exact=True).tolist() == costs
    assert theory.theorem_1_rejections(pair, exact=True) == sum(costs)
    assert theory.optimal_rejections(pair, exact=True) == sum(costs)
    bound = theory.lower_bound(pair, exact=True)
    assert bound.by_step.tolist() == costs
    assert bound.value == sum(costs) == bound.certificate.value
    for algorithm in (Speculative(), Speculative(draft_length=2, bonus=False), Speculative(draft_length=99)):
        steps = by_recursion(pair, algorithm)
        assert theory.rejections_by_step(pair, algorithm, exact=True).tolist() == steps
        assert theory.expected_rejections(pair, algorithm, exact=True) == sum(steps)


def test_statements__bonus_tokens_go_through_the_recursion():
    pair = PAIRS[0]
    algorithm = Speculative(draft_length=2, bonus=True)
    rejections = theory.expected_rejections(pair, algorithm, exact=True)
    assert rejections == sum(by_recursion(pair, algorithm))
    assert rejections < theory.expected_rejections(pair, Speculative(), exact=True)


def test_expected_rejections__read_the_kernels_not_theorem_1(monkeypatch):
    """A decoder that rejects otherwise has other exact rejections: Theorem 1 is not assumed."""
    pair = PAIRS[0]

    def timid(target, draft, children):
        accept = np.minimum(target, draft) // 2
        return accept[..., None, :], target - accept

    before = theory.expected_rejections(pair, Speculative(), exact=True)
    right = step_laws.step_law_of(Speculative().rule)
    monkeypatch.setattr("specsim.theory.laws.laws.step_law_of", lambda rule: replace(right, node=timid))
    assert theory.expected_rejections(pair, Speculative(), exact=True) > before
    assert theory.theorem_1_rejections(pair, exact=True) == before


def test_method__follows_the_size():
    def method(contexts, horizon, stationary, tokens=None):
        pair = random_pair(contexts=contexts, horizon=horizon, seed=1, stationary=stationary, tokens=tokens)
        made = chain(pair)
        return made.method, made._sparse

    assert method(7, 50, False) == ("plain", False)
    assert method(16, 200, True) == ("flint", False)
    assert method(64, 20, False) == ("limbs", False)
    assert method(400, 64, True) == ("limbs", False)
    assert method(400, 64, True, tokens=3) == ("limbs", True)


def test_refusal__before_allocation():
    contexts = 20_000
    rows = np.full((contexts, 2), 0.5)
    after = np.arange(2 * contexts).reshape(contexts, 2) % contexts
    pair = ModelPair.from_probabilities(
        rows, rows, initial=np.eye(1, contexts)[0], next_context=after, horizon=8
    )
    assert chain(pair).method == "limbs"
    with pytest.raises(TooLargeError, match=r"20000 contexts.*MiB; use exact=False"):
        chain(pair, method="limbs", sparse=False)
    for method in ("plain", "limbs"):
        with pytest.raises(TooLargeError, match="horizon is 10000000"):
            chain(pair, horizon=10**7, method=method)
    small = random_pair(contexts=2, horizon=10**7, seed=1, stationary=True)
    with pytest.raises(TooLargeError, match="bits"):
        chain(small, method="flint")
