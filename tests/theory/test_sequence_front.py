"""The sequence-level front: exact values, certificates, tampering, and independent programmes."""

import dataclasses
import itertools
import json
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim.algorithms import OverAcceptance, RejectionBased, Speculative
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.pairs.families import random_pair, random_prefix_pair
from specsim.theory import enumerate_outcomes
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.certificates.checker import CertificateError, certificate_from_json, check_certificate
from specsim.theory.statements.lower_bounds import lower_bound
from specsim.theory.statements.remark_6 import sequence_front
from specsim.theory.statements.sequence_identity import over_acceptance_identity
from specsim.theory.statements.theorem_5 import pareto_front

THIRDS = ((F(1, 3), F(2, 3)), (F(2, 3), F(1, 3)))


def fixture_a(horizon):
    return RationalPair.independent(*THIRDS, horizon=horizon)


def rows_along(pair, outputs):
    """Float rows of target and draft for every prefix of the outputs, by walking the contexts."""
    found = {}
    for root, output in outputs:
        context = root
        for n, x in enumerate(output):
            table = n if len(pair.target) > 1 else 0
            found[(root, *output[: n + 1])] = (
                float(pair.target[table][context][x]),
                float(pair.draft[table][context][x]),
            )
            context = int(pair.next_context[context][x])
    return found


def reference_value(pair, horizon, bias):
    """Front by another programme: leaf masses only, absolute values as two inequalities, the bias capped."""
    from scipy.optimize import linprog

    roots = [c for c in range(pair.contexts) if pair.initial[c] > 0]
    outputs = [(c, x) for c in roots for x in itertools.product(range(pair.tokens), repeat=horizon)]
    rows = rows_along(pair, outputs)
    prefixes = list(rows)
    leaves = [(c, *x) for c, x in outputs]

    def indicator(prefix):
        return np.array([float(leaf[: len(prefix)] == prefix) for leaf in leaves])

    flows = np.array([indicator(p) - rows[p][1] * indicator(p[:-1]) for p in prefixes])
    target = []
    for leaf in leaves:
        mass = float(pair.initial[leaf[0]])
        for n in range(2, len(leaf) + 1):
            mass *= rows[leaf[:n]][0]
        target.append(mass)
    count, inner = len(leaves), len(prefixes)
    zero, one = np.zeros, np.eye
    a_ub = np.block(
        [
            [flows, -one(inner), zero((inner, count))],
            [-flows, -one(inner), zero((inner, count))],
            [one(count), zero((count, inner)), -one(count)],
            [-one(count), zero((count, inner)), -one(count)],
            [zero((1, count + inner)), np.full((1, count), 0.5)],
        ]
    )
    b_ub = np.concatenate([zero(2 * inner), target, -np.array(target), [bias]])
    a_eq = np.array([np.r_[indicator((c,)), zero(inner + count)] for c in roots])
    found = linprog(
        np.r_[zero(count), np.full(inner, 0.5), zero(count)],
        A_ub=a_ub,
        b_ub=b_ub,
        A_eq=a_eq,
        b_eq=[float(pair.initial[c]) for c in roots],
        method="highs-ipm",
    )
    return found.fun


def test_sequence_front__fixture_a():
    values = {
        1: ("1/3", "1/4", "1/6", "1/12", "0"),
        2: ("2/3", "1/2", "1/3", "1/6", "0"),
        3: ("1", "52/81", "1/3", "13/108", "0"),
    }
    joint = {1: F(1, 3), 2: F(1, 3), 3: F(13, 27)}
    for horizon, expected in values.items():
        pair = fixture_a(horizon)
        front = sequence_front(pair, exact=True)
        tv = front.joint_total_variation
        assert tv == joint[horizon]
        assert tuple(str(front.rejections_at(tv * k / 4)) for k in range(5)) == expected
        assert front.gap == 0
        assert front.is_linear == (horizon < 3)
        assert check_certificate(pair, front.certificate)
    assert [round(float(F(v)), 6) for v in values[3]] == [1, 0.641975, 0.333333, 0.12037, 0]


def test_sequence_front__dyadic_neighbour_of_fixture_a():
    target, draft = [float(t) for t in THIRDS[0]], [float(d) for d in THIRDS[1]]
    pair = ModelPair.from_probabilities([target] * 2, [draft] * 2, initial=[1, 0], horizon=3)
    front = sequence_front(pair)
    expected = [1, 52 / 81, 1 / 3, 13 / 108, 0]
    tv = front.joint_total_variation
    assert [front.rejections_at(tv * k / 4) for k in range(5)] == pytest.approx(expected, abs=1e-8)
    # 52/81 and its like move with the rounding of thirds to multiples of 2^-32: exact, yet not equal.
    assert sequence_front(pair, exact=True).rejections_at(F(0)) != 1
    assert front.gap == 0


PAIRS = [
    random_pair(contexts=2, horizon=3, family="uniform", seed=1),
    random_prefix_pair(tokens=2, horizon=3, family="uniform", seed=2),
    random_prefix_pair(tokens=3, horizon=2, family="sparse", seed=3),
    random_pair(contexts=2, horizon=2, family="disjoint", seed=4),
    RationalPair(
        target=(((F(1, 2), F(0), F(1, 2)), (F(1), F(0), F(0)), (F(1, 3), F(1, 3), F(1, 3))),),
        draft=(((F(1, 2), F(1, 2), F(0)), (F(0), F(0), F(1)), (F(1, 3), F(1, 3), F(1, 3))),),
        next_context=((0, 1, 2),) * 3,
        initial=(F(1, 7), F(6, 7), F(0)),
        horizon=2,
    ),
]


@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
def test_sequence_front__against_another_programme(pair):
    front = sequence_front(pair, exact=True)
    assert front.gap == 0
    assert check_certificate(pair, front.certificate)
    tv = front.joint_total_variation
    for k in (0, 1, 3, 7, 10):
        bias = tv * k / 10
        value = front.rejections_at(bias)
        assert float(value) == pytest.approx(reference_value(pair, pair.horizon, float(bias)), abs=1e-7)
        assert front.lower_bound_at(bias) == value
    assert front.rejections_at(tv + 1) == 0 == front.lower_bound_at(tv + 1)


@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
def test_sequence_front__ends_and_convexity(pair):
    front = sequence_front(pair, exact=True)
    assert front.bias[0] == 0
    assert front.rejections[0] == lower_bound(pair, exact=True).value
    assert front.rejections[-1] == 0
    slopes = np.diff(front.rejections) / np.diff(front.bias)
    assert all(a <= b < 0 for a, b in itertools.pairwise(slopes))


def test_sequence_front__one_position_is_theorem_5():
    target, draft = (F(1, 2), F(3, 10), F(3, 20), F(1, 20)), (F(1, 5), F(9, 20), F(1, 10), F(1, 4))
    front = sequence_front(RationalPair.independent(target, draft, horizon=1), exact=True)
    single = pareto_front(target, draft, exact=True)
    assert front.is_linear
    for bias in (F(0), F(1, 10), F(7, 20)):
        assert front.rejections_at(bias) == single.smallest_rejection(bias)


def test_sequence_front__is_not_linear_in_general():
    assert not sequence_front(PAIRS[1]).is_linear


def aimed(pair, law):
    """The pair on the tree of prefixes whose target is `law` and whose draft is the pair's."""
    horizon, tokens = pair.horizon, pair.tokens
    nodes = [p for n in range(horizon) for p in itertools.product(range(tokens), repeat=n)]
    index = {p: i for i, p in enumerate(nodes)}
    outputs = list(itertools.product(range(tokens), repeat=horizon))
    mass = {p: sum(m for o, m in zip(outputs, law, strict=True) if o[: len(p)] == p) for p in nodes}
    mass.update(zip(outputs, law, strict=True))
    target, draft, following = [], [], []
    for p in nodes:
        row = [mass[(*p, x)] / mass[p] if mass[p] else F(int(x == 0)) for x in range(tokens)]
        context = int(np.flatnonzero(np.asarray(pair.initial, dtype=float))[0])
        for x in p:
            context = int(pair.next_context[context][x])
        table = len(p) if len(pair.draft) > 1 else 0
        target.append(tuple(row))
        draft.append(tuple(F(v) if isinstance(v, F) else F(float(v)) for v in pair.draft[table][context]))
        following.append(tuple(index.get((*p, x), 0) for x in range(tokens)))
    return RationalPair(
        target=(tuple(target),),
        draft=(tuple(draft),),
        next_context=tuple(following),
        initial=(F(1),) + (F(0),) * (len(nodes) - 1),
        horizon=horizon,
    )


@pytest.mark.parametrize("pair", [fixture_a(3), PAIRS[1]], ids=["fixture A", "prefix"])
def test_sequence_front__is_attained_by_speculative_decoding_aimed_at_its_law(pair):
    front = sequence_front(pair, exact=True)
    tv = front.joint_total_variation
    start = sequence_front(pair, exact=True).law_at(0)
    for bias in (F(0), tv / 3, tv * F(4, 5), tv):
        law = front.law_at(bias)
        outcomes = enumerate_outcomes(aimed(pair, list(law)), Speculative())
        assert list(outcomes.output_law()) == list(law)
        assert sum(abs(law - start)) / 2 <= bias
        assert outcomes.expected_rejections() == front.rejections_at(bias)


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_sequence_front__no_member_is_below(numbers):
    pair = fixture_a(2)
    front = sequence_front(pair, exact=True)
    # A member that depends on the position and on the first token: contexts of the tree of prefixes.
    tree = aimed(pair, [F(1, 9), F(2, 9), F(2, 9), F(4, 9)])
    accept = np.array([F(k, 4) for k in numbers[:6]], dtype=object).reshape(1, 3, 2)
    first = [F(k, 4) for k in numbers[6:9]]
    residual = np.array([[f, 1 - f] for f in first], dtype=object).reshape(1, 3, 2)
    outcomes = enumerate_outcomes(tree, RejectionBased(acceptance=accept, residual=residual))
    bias = sum(abs(outcomes.output_law() - front.law_at(0))) / 2
    assert outcomes.expected_rejections() >= front.rejections_at(bias)


def test_sequence_front__over_acceptance_is_above_it():
    pair = fixture_a(3)
    front = sequence_front(pair, exact=True)
    strictly = 0
    for epsilon in (F(1, 20), F(1, 10), F(1, 5)):
        found = over_acceptance_identity(pair, epsilon, exact=True)
        best = front.rejections_at(found.joint_bias)
        assert found.rejections >= best
        strictly += found.rejections > best
    assert strictly


def test_sequence_front__equal_models_and_horizon():
    pair = RationalPair.independent(THIRDS[0], THIRDS[0], horizon=3)
    front = sequence_front(pair, exact=True)
    assert list(front.bias) == list(front.rejections) == [0]
    assert front.is_linear
    assert front.rejections_at(F(1, 2)) == front.lower_bound_at(F(1, 2)) == 0
    assert check_certificate(pair, front.certificate)
    assert list(sequence_front(fixture_a(5), horizon=2, exact=True).rejections) == [F(2, 3), 0]
    shorter = sequence_front(fixture_a(5), horizon=3)
    assert check_certificate(fixture_a(5), shorter.certificate)


def test_sequence_front__resolution_leaves_a_certified_gap():
    pair = random_pair(contexts=3, horizon=3, family="uniform", seed=7)
    coarse = sequence_front(pair, exact=True, resolution=F(1, 50))
    assert 0 < coarse.gap < F(1, 25)
    assert check_certificate(pair, coarse.certificate)
    fine = sequence_front(pair, exact=True, resolution=F(1, 1000))
    assert fine.gap < F(1, 500)
    assert len(fine.bias) > len(coarse.bias)
    for k in range(11):
        bias = coarse.joint_total_variation * k / 10
        assert coarse.lower_bound_at(bias) <= fine.rejections_at(bias)
        assert fine.lower_bound_at(bias) <= fine.rejections_at(bias) <= coarse.rejections_at(bias)


def test_sequence_front__rounded_solutions_still_enclose_it(monkeypatch):
    # When exact recovery fails (here: always), rounded points and lines are kept, and stay true.
    from specsim.theory.statements import prefix_programs

    exact = sequence_front(PAIRS[1], exact=True)
    monkeypatch.setattr(prefix_programs, "solve_near", lambda equations, guesses: None)
    front = sequence_front(PAIRS[1], exact=True)
    assert 0 < front.gap < F(1, 10**8)
    assert check_certificate(PAIRS[1], front.certificate)
    for k in range(11):
        bias = exact.joint_total_variation * k / 10
        assert front.lower_bound_at(bias) <= exact.rejections_at(bias) <= front.rejections_at(bias)


def test_sequence_front__refuses_what_does_not_fit():
    with pytest.raises(TooLargeError, match="2048 outputs"):
        sequence_front(fixture_a(11))
    with pytest.raises(TooLargeError, match="more than 3 corners"):
        sequence_front(fixture_a(4), max_corners=3)
    with pytest.raises(InputError, match="resolution is -1"):
        sequence_front(fixture_a(2), resolution=-1)
    with pytest.raises(InputError, match="bias is -1"):
        sequence_front(fixture_a(1)).rejections_at(-1)
    with pytest.raises(InputError, match="is unknown and no file has this name"):
        sequence_front("A")


def tampered():
    front = sequence_front(fixture_a(3), exact=True)
    good = front.certificate
    tiny = F(1, 2**64)

    def with_point(k, **change):
        points = list(good.points)
        points[k] = dataclasses.replace(points[k], **change)
        return dataclasses.replace(good, points=tuple(points))

    def with_line(k, **change):
        lines = list(good.lines)
        lines[k] = dataclasses.replace(lines[k], **change)
        return dataclasses.replace(good, lines=tuple(lines))

    law, line = good.points[1].law, good.lines[1]
    prices = line.rejection_prices
    yield "identity", dataclasses.replace(good, pair="0" * 64), "about the pair"
    yield "horizon", dataclasses.replace(good, horizon=2), "for 4 outputs"
    yield "gap hidden", dataclasses.replace(good, gap=-tiny), "gap is stated"
    yield "rejections lowered", with_point(1, rejections=good.points[1].rejections - tiny), "rejections are"
    yield "bias lowered", with_point(1, bias=good.points[1].bias - tiny), "bias is stated"
    yield "bias as float", with_point(1, bias=float(good.points[1].bias)), "must be Fraction"
    yield "law negative", with_point(1, law=(-tiny, law[0] + law[1] + tiny, *law[2:])), "negative"
    yield "law moved", with_point(1, law=(law[0] + tiny, law[1] - tiny, *law[2:])), "point 1"
    yield "law not summing to 1", with_point(1, law=(law[0] + 2 * tiny, *law[1:])), "point 1"
    yield "law cut", with_point(1, law=law[:-1]), "length 7 for 8"
    yield "intercept raised", with_line(1, intercept=line.intercept + tiny), "intercept is stated"
    yield "price", with_line(1, price=line.price + tiny), "gap is stated"
    yield "price negative", with_line(1, price=-tiny), "at least 0"
    above = (tuple(F(2) for _ in prices[0]), *prices[1:])
    yield "rejection price above 1", with_line(1, rejection_prices=above), "rejection price is not"
    flipped = ((1 - prices[0][0], *prices[0][1:]), *prices[1:])
    yield "rejection price flipped", with_line(1, rejection_prices=flipped), "intercept is stated"
    yield "rejection prices missing", with_line(1, rejection_prices=prices[:-1]), "missing"
    high = (line.price + tiny, *line.bias_prices[1:])
    yield "bias price above price", with_line(1, bias_prices=high), "bias price is not"
    yield "bias prices missing", with_line(1, bias_prices=line.bias_prices[1:]), "7 bias prices"
    yield (
        "point dropped",
        dataclasses.replace(good, points=good.points[1:], lines=good.lines[1:]),
        "starts at 0",
    )
    end = dataclasses.replace(good, points=good.points[:-1], lines=good.lines[:-1])
    yield "end dropped", end, "the front ends where none are left"
    inner = dataclasses.replace(
        good, points=(*good.points[:1], *good.points[2:]), lines=(*good.lines[:1], *good.lines[2:])
    )
    yield "corner dropped", inner, "gap is stated"
    yield "line dropped", dataclasses.replace(good, lines=good.lines[1:]), "one line between"
    yield "order", dataclasses.replace(good, points=good.points[::-1]), "increasing"


@pytest.mark.parametrize(("name", "certificate", "reason"), list(tampered()), ids=lambda v: str(v)[:25])
def test_check_certificate__rejects_tampered_fronts(name, certificate, reason):
    with pytest.raises(CertificateError, match=reason):
        check_certificate(fixture_a(3), certificate)


def test_check_certificate__first_context_law_is_checked():
    pair = PAIRS[4]
    good = sequence_front(pair).certificate
    law = list(good.points[0].law)
    half = len(law) // 2
    # Move a hundredth from one first context to the other, with bias and rejections stated as they are.
    source = next(i for i in range(half, len(law)) if law[i] > F(1, 100))
    law[source] -= F(1, 100)
    law[0] += F(1, 100)
    target = good.points[0].law
    bias = sum(abs(a - b) for a, b in zip(law, target, strict=True)) / 2
    points = (dataclasses.replace(good.points[0], law=tuple(law), bias=bias), *good.points[1:])
    with pytest.raises(CertificateError, match="law of the first context"):
        check_certificate(pair, dataclasses.replace(good, points=points))


def test_front_certificate__json():
    pair = fixture_a(3)
    good = sequence_front(pair).certificate
    text = good.to_json()
    assert certificate_from_json(text) == good
    assert check_certificate(pair, text)
    data = json.loads(text)
    data["points"][1]["rejections"] = "1/7"
    with pytest.raises(CertificateError, match="point 1"):
        check_certificate(pair, json.dumps(data))
    del data["lines"][0]["price"]
    with pytest.raises(CertificateError, match="incomplete"):
        certificate_from_json(json.dumps(data))


IDENTITY_PAIRS = [fixture_a(3), *PAIRS]


@pytest.mark.parametrize("pair", IDENTITY_PAIRS, ids=range(len(IDENTITY_PAIRS)))
def test_over_acceptance_identity__holds_and_matches_enumeration(pair):
    for epsilon in (0, F(1, 20), 0.25, F(3)):
        found = over_acceptance_identity(pair, epsilon, exact=True)
        assert found.rejections + found.losses == found.distances
        assert found.joint_bias <= found.losses
        outcomes = enumerate_outcomes(pair, OverAcceptance(epsilon=epsilon))
        assert outcomes.expected_rejections() == found.rejections
        if sum(1 for v in pair.initial if v) == 1:
            target = enumerate_outcomes(pair, Speculative()).output_law()
            assert sum(abs(outcomes.output_law() - target)) / 2 == found.joint_bias
        floats = over_acceptance_identity(pair, epsilon)
        for field in ("rejections", "losses", "distances", "joint_bias"):
            assert getattr(floats, field) == pytest.approx(float(getattr(found, field)), abs=1e-12)


def test_over_acceptance_identity__prefixes_are_its_own_not_the_targets():
    pair = PAIRS[1]
    found = over_acceptance_identity(pair, F(1, 5), exact=True)
    assert found.distances != lower_bound(pair, exact=True).value
    assert over_acceptance_identity(pair, 0, exact=True).distances == lower_bound(pair, exact=True).value


def test_over_acceptance_identity__large_and_bad_input():
    pair = random_pair(contexts=16, horizon=64, family="uniform", seed=5)
    found = over_acceptance_identity(pair, 0.01)
    assert found.rejections + found.losses == pytest.approx(found.distances, abs=1e-10)
    assert found.joint_bias is None
    with pytest.raises(InputError, match=r"epsilon is -0\.1"):
        over_acceptance_identity(pair, -0.1)
    big = random_pair(contexts=32, horizon=64, family="uniform", seed=5)
    with pytest.raises(TooLargeError, match="exact=False"):
        over_acceptance_identity(big, 0, exact=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": (((F(1, 2), F(1, 3)),),)}, r"target\[0, 0\] sums to 5/6"),
        ({"draft": (((0.5, 0.5),),)}, "int or Fraction"),
        ({"draft": (((F(3, 2), F(-1, 2)),),)}, "must not be negative"),
        ({"draft": (((F(1),),),)}, "differ in shape"),
        ({"draft": ()}, "empty or ragged"),
        ({"initial": (F(1, 2), F(1, 2))}, "one per context"),
        ({"next_context": ((0, 1),)}, "out of range"),
        ({"next_context": ((0,),)}, "wrong shape"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_rational_pair__bad_input(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(fixture_a(2), **change)


def test_rational_pair__from_pair():
    pair = PAIRS[1]
    exact = RationalPair.from_pair(pair)
    assert [[float(v) for v in row] for row in exact.target[0]] == pair.target[0].tolist()
    assert exact.identity == RationalPair.from_pair(pair).identity
    assert exact.identity != RationalPair.from_pair(pair, horizon=2).identity
    assert sequence_front(exact, exact=True).rejections[0] == sequence_front(pair, exact=True).rejections[0]
