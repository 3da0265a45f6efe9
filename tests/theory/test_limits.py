"""Limits: the joint bound, the optimum of a round, fixed trees, and the radius of greedy acceptance."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import minimize

from specsim import InputError, parse_algorithm, random_pair, random_prefix_pair, theory
from specsim.errors import TooLargeError, UnsupportedError
from specsim.theory.statements import round_optimum as optimum_module
from specsim.validation.counterexamples import worst_pair
from specsim.validation.instances import four_tokens, thirds

PAIRS = [
    thirds(3),
    random_pair(contexts=2, horizon=3, family="uniform", seed=1, initial="random"),
    random_prefix_pair(tokens=2, horizon=3, family="sparse", seed=5),
]


def drafted_by_hand(pair, structure, drawing, text, context):
    """Pr(some node spells the text), by adding up all drafts of independent or greedy children."""
    total = Fraction(0)
    for tokens in itertools.product(range(pair.tokens), repeat=structure.size - 1):
        chance, texts, contexts = Fraction(1), [()], [context]
        for node, token in enumerate(tokens, start=1):
            parent = structure.parents[node]
            row = pair.draft[0 if len(pair.draft) == 1 else structure.depths[parent]][contexts[parent]]
            rank = structure.children(parent).index(node)
            likeliest = sorted(range(pair.tokens), key=lambda x, row=row: (-row[x], x))
            chance *= Fraction(row[token]) if drawing == "independent" else token == likeliest[rank]
            texts.append((*texts[parent], token))
            contexts.append(int(pair.next_context[contexts[parent]][token]))
        total += chance * (text in texts)
    return total


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize(
    "spelling", ["ratio:draft_length=2", "recursive:tree=2-1", "match:tree=0.0.1,drawn=greedy"]
)
def test_joint_bound__adds_up_the_drafts(pair, spelling):
    algorithm = parse_algorithm(spelling)
    structure = algorithm.structure(pair.horizon)
    total = Fraction(0)
    for context, mass in enumerate(pair.initial):
        for length in range(1, structure.depth + 1):
            for text in itertools.product(range(pair.tokens), repeat=length):
                emitted, here = Fraction(mass), context
                for step, token in enumerate(text):
                    emitted *= Fraction(pair.target[0 if len(pair.target) == 1 else step][here][token])
                    here = int(pair.next_context[here][token])
                drafted = drafted_by_hand(pair, structure, algorithm.drawing, text, context)
                total += min(emitted, Fraction(mass) * drafted)
    assert theory.joint_bound(pair, algorithm, exact=True) == total
    assert theory.joint_bound(pair, algorithm) == pytest.approx(float(total), abs=1e-12)


def test_joint_bound__distinct_children():
    # Two distinct tokens of (.20, .45, .10, .25): token 0 is among them with .2 + .45 .2/.55 + .1 .2/.9 + ...
    algorithm = parse_algorithm("recursive-distinct:drafts=2,draft_length=1")
    rows = [Fraction(v, 20) for v in (4, 9, 2, 5)]
    chance = [
        d + sum(other * d / (1 - other) for j, other in enumerate(rows) if j != i) for i, d in enumerate(rows)
    ]
    target = [Fraction(v, 20) for v in (10, 6, 3, 1)]
    expected = sum(min(t, c) for t, c in zip(target, chance, strict=True))
    assert theory.joint_bound(four_tokens(2), algorithm, exact=True) == expected


def test_joint_bound__too_large():
    with pytest.raises(TooLargeError, match="use a shorter draft"):
        theory.joint_bound(
            random_pair(contexts=50, horizon=30, seed=1), parse_algorithm("block:draft_length=20")
        )


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("block:draft_length=2", Fraction(11, 9)),
        ("block:draft_length=3", Fraction(5, 3)),
        ("transport:drafts=2,draft_length=1", Fraction(8, 9)),
        ("traversal:tree=2-1", Fraction(131, 81)),
        ("traversal-distinct:tree=2-1", Fraction(17, 9)),
        ("traversal:tree=0.0.1", Fraction(13, 9)),
    ],
)
def test_round_optimum__values_of_thirds(spelling, value):
    found = theory.round_optimum(thirds(4), parse_algorithm(spelling))
    assert found.value == value
    assert found.attained == pytest.approx(float(value), abs=1e-8)
    assert theory.check_certificate(thirds(4), found.certificate)
    assert theory.check_certificate(thirds(4), found.certificate.to_json())


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_round_optimum__is_the_rule_that_attains_it(pair):
    for spelling in ("block:draft_length=2", "transport-distinct:drafts=2,draft_length=1"):
        algorithm = parse_algorithm(spelling)
        law = theory.first_accepted_length_law(pair, algorithm, exact=True)
        accepted = sum(count * mass for count, mass in enumerate(law))
        assert theory.round_optimum(pair, algorithm).value == accepted


def test_round_optimum__at_the_horizon_there_is_no_token_after_a_whole_draft():
    for horizon in (1, 2):
        pair = thirds(horizon)
        optimum = theory.round_optimum(pair, parse_algorithm("block:draft_length=3"))
        assert optimum.value == (Fraction(2, 3), Fraction(11, 9))[horizon - 1]


def test_round_optimum__without_exact_recovery_the_bound_is_above(monkeypatch):
    monkeypatch.setattr(optimum_module, "solve_near", lambda equations, guesses: None)
    pair, algorithm = PAIRS[1], parse_algorithm("block:draft_length=2")
    rounded = theory.round_optimum(pair, algorithm)
    monkeypatch.undo()
    exact = theory.round_optimum(pair, algorithm)
    assert 0 <= rounded.value - exact.value < 1e-6
    assert theory.check_certificate(pair, rounded.certificate)


def test_round_optimum__refusals():
    with pytest.raises(TooLargeError, match="constraints"):
        theory.round_optimum(
            random_pair(contexts=9, horizon=9, seed=1), parse_algorithm("block:draft_length=8")
        )
    with pytest.raises(UnsupportedError, match="draws its own drafts"):
        theory.round_optimum(thirds(2), parse_algorithm("gumbel:draft_length=1"))


def test_round_certificate__a_claim_too_good_is_refused():
    pair = thirds(3)
    certificate = theory.round_optimum(pair, parse_algorithm("block:draft_length=2")).certificate
    token_wise = dataclasses.replace(certificate, value=Fraction(10, 9))
    with pytest.raises(theory.CertificateError, match="the bound is stated as"):
        theory.check_certificate(pair, token_wise)


def test_best_tree__against_all_trees():
    pair = random_prefix_pair(tokens=2, horizon=3, family="dirichlet", seed=3)
    texts = [text for n in (1, 2, 3) for text in itertools.product(range(2), repeat=n)]
    mass = {}
    for text in texts:
        context, chance = int(np.flatnonzero(pair.initial)[0]), Fraction(1)
        for step, token in enumerate(text):
            chance *= Fraction(pair.target[0 if len(pair.target) == 1 else step][context][token])
            context = int(pair.next_context[context][token])
        mass[text] = chance
    for nodes in (1, 2, 3, 4, 5):
        trees = (
            chosen
            for chosen in itertools.combinations(texts, nodes)
            if all(text[:-1] in (*chosen, ()) for text in chosen)
        )
        best = max(sum(mass[text] for text in chosen) for chosen in trees)
        assert theory.best_tree(pair, nodes, exact=True) == best
        assert theory.best_tree(pair, nodes) == pytest.approx(float(best))
    assert theory.best_tree(pair, 1000) == pytest.approx(3)


def test_best_tree__grows_by_the_entropy():
    # Ten times as many nodes are ln 10 / entropy tokens more; the published term is larger.
    pair = thirds(100)
    entropy = -sum(p * np.log(p) for p in (1 / 3, 2 / 3))
    grown = theory.best_tree(pair, 10_000) - theory.best_tree(pair, 1000)
    assert grown == pytest.approx(np.log(10) / entropy, abs=0.01)
    assert theory.branching_bound(pair, 10_000) - theory.branching_bound(pair, 1000) > grown


def test_branching_bound__refusals():
    with pytest.raises(InputError, match="stationary"):
        theory.branching_bound(random_pair(contexts=2, horizon=2, seed=1), 4)
    certain = theory.RationalPair.independent([1, 0], [1, 0], horizon=2)
    with pytest.raises(InputError, match="certain"):
        theory.branching_bound(certain, 4)


def _least_divergence(target, constraints):
    def divergence(z):
        return float((target * (np.log(target) - z + np.log(np.exp(z).sum()))).sum())

    found = minimize(
        divergence,
        np.log(target),
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.fun


@pytest.mark.parametrize("seed", range(3))
def test_rejection_radius__is_the_least_divergence(seed):
    generator = np.random.default_rng(seed)
    target = generator.dirichlet(np.ones(5))
    order = np.argsort(-target)
    for width in (1, 2, 3):
        # Some `width` tokens come before the likeliest.
        best = min(
            _least_divergence(target, [{"type": "ineq", "fun": lambda z, b=list(b): z[b] - z[order[0]]}])
            for b in itertools.combinations(order[1:], width)
        )
        found = theory.rejection_radius(target, width=width)
        assert found.divergence == pytest.approx(best, abs=1e-7)
        assert sum(found.nearest >= found.nearest[order[0]] - 1e-12) > width
    accepted = set(order[: generator.integers(1, 4)].tolist())
    best = min(
        _least_divergence(target, [{"type": "ineq", "fun": lambda z, y=y: z[y] - np.delete(z, y)}])
        for y in set(range(5)) - accepted
    )
    assert theory.rejection_radius(target, accepted=accepted).divergence == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"width": 4}, "every draft row is accepted"),
        ({"accepted": [0, 1, 2, 3]}, "every draft row is accepted"),
        ({"accepted": [0], "width": 2}, "give one of them"),
    ],
)
def test_rejection_radius__refusals(options, reason):
    with pytest.raises(InputError, match=reason):
        theory.rejection_radius([0.5, 0.3, 0.15, 0.05], **options)


def test_rejection_radius__needs_a_law():
    with pytest.raises(InputError, match="not a distribution"):
        theory.rejection_radius([0.5, 0.3])


def test_worst_pair__finds_what_can_be_found():
    # Longer drafts save calls, but a position that is free after a short draft may be rejected.
    short, long = parse_algorithm("ratio:draft_length=1"), parse_algorithm("ratio:draft_length=2")

    def excess(pair):
        return theory.expected_rejections(pair, long) - theory.expected_rejections(pair, short)

    found = worst_pair(excess, tries=40, seed=1)
    assert found.excess > 0.1
    assert found.tried == 40
    assert excess(found.pair) == pytest.approx(found.excess)
