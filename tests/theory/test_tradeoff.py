"""Bias against rejections at one position, with vertex searches in rationals as reference."""

import random
from fractions import Fraction as F
from itertools import combinations

import numpy as np
import pytest

from specsim.errors import InputError, TooLargeError
from specsim.theory.statements.residual_sets import optimal_residuals
from specsim.theory.statements.theorem_4 import (
    front_excess,
    loss,
    over_acceptance,
    over_acceptance_loss,
    over_acceptance_losses,
    rejection_probability,
    total_variation,
    written_law,
)
from specsim.theory.statements.theorem_5 import pareto_front

TARGET_B = (F(1, 2), F(3, 10), F(3, 20), F(1, 20))
DRAFT_B = (F(1, 5), F(9, 20), F(1, 10), F(1, 4))


def random_row(rng, tokens):
    while True:
        weights = [rng.choice((0, 0, 1, 2, 3, 5)) for _ in range(tokens)]
        if sum(weights):
            return tuple(F(w, sum(weights)) for w in weights)


def instances(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        tokens = rng.randint(1, 4)
        target, draft = random_row(rng, tokens), random_row(rng, tokens)
        kind = rng.randrange(4)
        if kind == 0:
            accept = tuple(F(rng.randint(0, 6), 6) for _ in range(tokens))
        else:
            # Below, at and above the threshold, respectively.
            accept = []
            for t, d in zip(target, draft, strict=True):
                least = min(F(1), t / d) if d else F(1)
                share = F(rng.randint(0, 4), 4)
                accept.append(
                    least * share if kind == 1 else least if kind == 2 else least + (1 - least) * share
                )
        yield target, draft, tuple(accept)


def distance(one, other):
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2


def naive_loss(target, draft, accept, residual):
    rejection = sum(d * (1 - a) for a, d in zip(accept, draft, strict=True))
    return distance(target, [a * d + rejection * r for a, d, r in zip(accept, draft, residual, strict=True)])


def searched_loss(target, draft, accept):
    """Smallest loss over all residuals, by search over every vertex of the arrangement of its kinks.

    The loss is piecewise linear in r with kinks at r = 0 and r = Z, so a minimiser has all but one
    coordinate there.
    """
    tokens = len(target)
    rejection = sum(d * (1 - a) for a, d in zip(accept, draft, strict=True))
    if rejection == 0:
        return distance(target, draft), []
    kinks = [(F(0), (t - a * d) / rejection) for t, a, d in zip(target, accept, draft, strict=True)]
    best, where = None, []
    for free in range(tokens):
        rest = [x for x in range(tokens) if x != free]
        for choice in range(2 ** len(rest)):
            r = [F(0)] * tokens
            for bit, x in enumerate(rest):
                r[x] = kinks[x][choice >> bit & 1]
            r[free] = 1 - sum(r)
            if min(r) < 0:
                continue
            value = naive_loss(target, draft, accept, r)
            if best is None or value < best:
                best, where = value, []
            if value == best:
                where.append(tuple(r))
    return best, where


def test_over_acceptance_loss__equals_vertex_search():
    positive = 0
    for target, draft, accept in instances(250, 1):
        value = over_acceptance_loss(target, draft, accept, exact=True)
        best, where = searched_loss(target, draft, accept)
        assert value == best
        positive += value > 0
        found = optimal_residuals(target, draft, accept, exact=True)
        assert found.loss == value
        for r in where:
            assert found.contains(r)
        if where:
            corners = {tuple(v) for v in found.vertices()}
            assert corners == set(where)
            assert found.is_unique == (len(corners) == 1)
        assert loss(target, draft, accept, found.example(), exact=True) == value
        assert over_acceptance_loss(target, draft, accept) == pytest.approx(float(value), abs=1e-12)
    assert positive > 50


def test_optimal_residuals__contains_exactly_the_optimal_laws():
    rng = random.Random(2)
    inside = outside = 0
    for target, draft, accept in instances(300, 3):
        found = optimal_residuals(target, draft, accept, exact=True)
        for residual in [random_row(rng, len(target)), tuple(found.example())]:
            optimal = loss(target, draft, accept, residual, exact=True) == found.loss
            assert found.contains(residual) == optimal
            inside += optimal
            outside += not optimal
    assert inside > 100
    assert outside > 100


def test_optimal_residuals__convex():
    for target, draft, accept in instances(60, 4):
        corners = optimal_residuals(target, draft, accept, exact=True).vertices()
        middle = sum(corners) / F(len(corners))
        assert loss(target, draft, accept, middle, exact=True) == over_acceptance_loss(
            target, draft, accept, exact=True
        )


def test_optimal_residuals__printed_remark_fails_on_two_tokens():
    # "Several optimal laws above the threshold" (remark after Theorem 4) is false here.
    found = optimal_residuals((F(1, 2), F(1, 2)), (F(4, 5), F(1, 5)), (F(9, 10), F(1)), exact=True)
    assert list(found.excess) == [F(-11, 4), F(15, 4)]
    assert found.loss > 0
    assert found.is_unique
    assert [list(v) for v in found.vertices()] == [[0, 1]]
    floats = optimal_residuals([0.5, 0.5], [0.8, 0.2], [0.9, 1])
    assert floats.is_unique
    assert [v.tolist() for v in floats.vertices()] == [[0.0, 1.0]]


def test_optimal_residuals__several_with_three_tokens():
    found = optimal_residuals(
        (F(1, 2), F(1, 2), F(0)), (F(1, 4), F(1, 4), F(1, 2)), (1, 1, F(1, 2)), exact=True
    )
    assert not found.is_unique
    assert len(found.vertices()) == 2


def test_optimal_residuals__nothing_rejected():
    found = optimal_residuals(TARGET_B, DRAFT_B, (1, 1, 1, 1), exact=True)
    assert found.excess is None
    assert found.rejection == 0
    assert found.loss == F(7, 20) == total_variation(TARGET_B, DRAFT_B, exact=True)
    assert found.contains((1, 0, 0, 0))
    assert not found.is_unique
    assert len(found.vertices()) == 4
    assert list(found.example()) == [F(1, 4)] * 4


def test_optimal_residuals__speculative_decoding_is_unique():
    accept = over_acceptance(TARGET_B, DRAFT_B, 0, exact=True)
    found = optimal_residuals(TARGET_B, DRAFT_B, accept, exact=True)
    assert found.is_unique
    assert found.loss == 0
    assert list(found.example()) == [F(6, 7), 0, F(1, 7), 0]


def test_optimal_residuals__relaxed_acceptance_keeps_the_residual():
    for target, draft, _ in instances(150, 5):
        spare = [max(t - d, F(0)) for t, d in zip(target, draft, strict=True)]
        for epsilon in (F(0), F(1, 20), F(1, 7)):
            accept = over_acceptance(target, draft, epsilon, exact=True)
            found = optimal_residuals(target, draft, accept, exact=True)
            if found.rejection > 0:
                assert list(found.example()) == [v / sum(spare) for v in spare]


def test_optimal_residuals__too_many_corners():
    tokens = 40
    row = np.full(tokens, 1 / tokens)
    draft = np.r_[1.0, np.zeros(tokens - 1)]
    with pytest.raises(TooLargeError, match="39 tokens"):
        optimal_residuals(row, draft, np.full(tokens, 0.5)).vertices()


def test_theorem_5__identity_and_converse():
    equal = above = 0
    for target, draft, accept in instances(400, 6):
        tv = distance(target, draft)
        total = rejection_probability(draft, accept, exact=True) + over_acceptance_loss(
            target, draft, accept, exact=True
        )
        excess = front_excess(target, draft, accept, exact=True)
        assert total == tv + excess
        relaxed = all(a >= min(F(1), t / d) for t, d, a in zip(target, draft, accept, strict=True) if d)
        assert (total == tv) == relaxed
        assert total >= tv
        equal += relaxed
        above += not relaxed
    assert equal > 100
    assert above > 100


def test_theorem_5__without_the_halves_fails():
    # The printed proof drops the factors one half; the identity is then false.
    accept = over_acceptance(TARGET_B, DRAFT_B, F(1, 20), exact=True)
    rejection = rejection_probability(DRAFT_B, accept, exact=True)
    left = [t - a * d for t, a, d in zip(TARGET_B, accept, DRAFT_B, strict=True)]
    printed = sum(abs(v) for v in left) - rejection
    tv = total_variation(TARGET_B, DRAFT_B, exact=True)
    assert rejection + printed / 2 == tv
    assert rejection + printed != tv
    assert rejection + printed != 2 * tv


def test_over_acceptance_losses__fixture_b():
    expected = {
        F(0): (F(7, 20), F(0), F(1, 8), F(49, 200)),
        F(1, 20): (F(1, 4), F(1, 10), F(3, 16), F(11, 40)),
        F(1, 10): (F(3, 20), F(1, 5), F(101, 400), F(61, 200)),
        F(1, 5): (F(0), F(7, 20), F(7, 20), F(7, 20)),
    }
    for epsilon, values in expected.items():
        found = over_acceptance_losses(TARGET_B, DRAFT_B, epsilon, exact=True)
        assert (found.rejection, found.optimal, found.target, found.draft) == values
        floats = over_acceptance_losses(
            [float(t) for t in TARGET_B], [float(d) for d in DRAFT_B], float(epsilon)
        )
        assert floats.target == pytest.approx(float(values[2]), abs=1e-12)


def test_over_acceptance_losses__ordering():
    for target, draft, _ in instances(300, 7):
        found = over_acceptance_losses(target, draft, F(1, 11), exact=True)
        assert found.optimal <= found.target <= found.draft
        assert found.rejection == sum(max(d - t - F(1, 11), F(0)) for t, d in zip(target, draft, strict=True))


def corners_of_acceptance(draft, rejection):
    """Vertices of the accepted masses {0 <= g <= D, sum g = 1 - rejection}."""
    tokens = len(draft)
    for size in range(tokens + 1):
        for full in combinations(range(tokens), size):
            rest = 1 - rejection - sum((draft[x] for x in full), F(0))
            if rest == 0:
                yield [draft[x] if x in full else F(0) for x in range(tokens)]
            for last in range(tokens):
                if last not in full and 0 < rest <= draft[last]:
                    g = [draft[x] if x in full else F(0) for x in range(tokens)]
                    g[last] = rest
                    yield g


def test_pareto_front__band_equals_search_over_vertices():
    short = 0
    for target, draft, _ in instances(120, 8):
        front = pareto_front(target, draft, exact=True)
        tv = front.total_variation
        for rejection in (F(0), F(1, 6), F(1, 2), F(1)):
            low, high = front.band(rejection)
            # The bias is convex in (g, w), so it is largest in a vertex; w = rejection at a single token.
            biases = []
            for g in corners_of_acceptance(draft, rejection):
                for x in range(len(draft)):
                    o = [v + (rejection if y == x else 0) for y, v in enumerate(g)]
                    biases.append(distance(o, target))
            assert high == max(biases)
            assert high <= tv + rejection
            assert low == max(tv - rejection, 0)
            assert min(biases) >= low
            short += high < tv + rejection
            assert front.attains(low, rejection)
            assert front.attains((low + high) / 2, rejection)
            assert not front.attains(high + F(1, 10**9), rejection)
            if low:
                assert not front.attains(low - F(1, 10**9), rejection)
    assert short > 20


def test_pareto_front__members_lie_on_it():
    for target, draft, _ in instances(100, 9):
        front = pareto_front(target, draft, exact=True)
        tv = front.total_variation
        for bias in (F(0), tv / 3, tv):
            acceptance, residual = front.member(bias)
            rejection = rejection_probability(draft, acceptance, exact=True)
            assert loss(target, draft, acceptance, residual, exact=True) == bias
            assert rejection == front.smallest_rejection(bias) == tv - bias
            written = written_law(draft, acceptance, residual, exact=True)
            assert list(written) == [
                t + (bias / tv) * (d - t) if tv else t for t, d in zip(target, draft, strict=True)
            ]
    with pytest.raises(InputError, match="at most TV"):
        front.member(F(2))


def test_pareto_front__attained_region_is_not_all_above_the_line():
    front = pareto_front(TARGET_B, DRAFT_B, exact=True)
    assert front.ends == ((0, F(7, 20)), (F(7, 20), 0))
    # Nothing rejected: the draft's bias is the only one.
    assert front.attains(F(7, 20), 0)
    assert not front.attains(F(1, 2), 0)
    assert front.dominates(F(1, 2), 0)
    assert not front.dominates(F(1, 10), F(1, 10))


def test_pareto_front__float_agrees():
    front = pareto_front([float(t) for t in TARGET_B], [float(d) for d in DRAFT_B])
    exact = pareto_front(TARGET_B, DRAFT_B, exact=True)
    for rejection in (0.0, 0.1, 0.35, 0.7, 1.0):
        assert front.band(rejection) == pytest.approx([float(v) for v in exact.band(F(rejection))], abs=1e-12)
    assert front.attains(0.25, 0.1)
    wide = pareto_front(np.full(20, 0.05), np.r_[0.5, np.full(19, 0.5 / 19)])
    with pytest.raises(TooLargeError, match="sets of 20 tokens"):
        wide.largest_bias(0.9)
    assert wide.largest_bias(0.25) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], [0.5, 0.5]), "target_row sums to 1.1"),
        (([0.5, 0.5], [0.5, 0.25, 0.25]), "differ in length"),
        (([1.5, -0.5], [0.5, 0.5]), r"target_row\[0\] is 1.5"),
        (([-0.5, 1.0], [0.5, 0.5]), r"target_row\[0\] is -0.5"),
        (([float("nan"), 1.0], [0.5, 0.5]), r"target_row\[0\] is nan"),
        (([], []), "at least one number"),
        (("ab", [0.5, 0.5]), "flat sequence"),
        (([[0.5], [0.5]], [0.5, 0.5]), r"target_row\[0\] is \[0.5\]"),
        (([True, 0], [0.5, 0.5]), r"target_row\[0\] is True"),
    ],
)
def test_rows__bad_input(arguments, message):
    for function in (total_variation, pareto_front):
        with pytest.raises(InputError, match=message):
            function(*arguments)


def test_rows__bad_acceptance_epsilon_and_inexact_rows():
    with pytest.raises(InputError, match=r"acceptance\[1\] is 1.5; give a number in \[0, 1\]"):
        over_acceptance_loss([0.5, 0.5], [0.5, 0.5], [1, 1.5])
    with pytest.raises(InputError, match="epsilon is -1"):
        over_acceptance([0.5, 0.5], [0.5, 0.5], -1)
    with pytest.raises(InputError, match="epsilon is inf"):
        over_acceptance_losses([0.5, 0.5], [0.5, 0.5], float("inf"))
    with pytest.raises(InputError, match="give Fractions"):
        total_variation([0.1] * 10, [0.1] * 10, exact=True)
    with pytest.raises(InputError, match="residual sums to"):
        loss([0.5, 0.5], [0.5, 0.5], [1, 1], [0.5, 0.25])
    with pytest.raises(InputError, match="rejection is 2"):
        pareto_front([0.5, 0.5], [0.5, 0.5]).largest_bias(2)
    with pytest.raises(InputError, match="exact is 1"):
        total_variation([0.5, 0.5], [0.5, 0.5], exact=1)  # type: ignore[call-overload]
