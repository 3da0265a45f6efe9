"""The lower bound, its certificate, and a checker that accepts nothing else."""

import ast
import dataclasses
import json
from fractions import Fraction as F
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from specsim.algorithms import BlockVerification, RejectionBased, Speculative
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
from specsim.theory import enumerate_outcomes, random_unbiased_member
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.certificates import checker as certificates, formats as certificate_formats
from specsim.theory.certificates.checker import CertificateError, certificate_from_json, check_certificate
from specsim.theory.statements.lower_bounds import lower_bound

FIXTURE_A = RationalPair.independent((F(1, 3), F(2, 3)), (F(2, 3), F(1, 3)), horizon=2)


def pair_with_zeros():
    target = [[[0.5, 0.25, 0.25], [0, 1, 0], [0.125, 0.25, 0.625]], [[0, 0.5, 0.5], [0.5, 0.5, 0], [1, 0, 0]]]
    draft = [[[0.25, 0.25, 0.5], [1, 0, 0], [0.125, 0.25, 0.625]], [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 1, 0]]]
    return ModelPair.from_probabilities(target, draft, initial=[0.5, 0.25, 0.25])


def naive_bound(pair):
    """Sum over all prefixes, one by one, of the target's probability times the distance of the rows."""
    total = F(0)
    prefixes = [(c, F(float(p))) for c, p in enumerate(pair.initial)]
    for n in range(pair.horizon):
        longer = []
        for context, mass in prefixes:
            target = [F(float(v)) for v in pair.target[pair.step_index(n)][context]]
            draft = [F(float(v)) for v in pair.draft[pair.step_index(n)][context]]
            total += mass * sum(abs(t - d) for t, d in zip(target, draft, strict=True)) / 2
            longer += [(int(pair.next_context[context, x]), mass * t) for x, t in enumerate(target)]
        prefixes = longer
    return total


PAIRS = [
    pair_with_zeros(),
    random_pair(contexts=3, horizon=4, family="uniform", seed=1),
    random_prefix_pair(tokens=2, horizon=4, family="uniform", seed=2),
    random_prefix_pair(tokens=3, horizon=3, family="sparse", seed=3),
]


@pytest.mark.parametrize("pair", PAIRS, ids=range(len(PAIRS)))
def test_lower_bound__equals_sum_over_prefixes(pair):
    exact = lower_bound(pair, exact=True)
    assert exact.value == naive_bound(pair) == sum(exact.by_step)
    assert lower_bound(pair).value == pytest.approx(float(exact.value), abs=1e-14)
    assert check_certificate(pair, exact.certificate) is True
    assert exact.certificate.value == exact.value


def test_lower_bound__fixture_a_and_block_verification_beats_it():
    bound = lower_bound(FIXTURE_A, exact=True).value
    assert bound == F(2, 3)
    assert enumerate_outcomes(FIXTURE_A, Speculative()).expected_rejections() == bound
    block = enumerate_outcomes(FIXTURE_A, BlockVerification(bonus=False)).expected_rejections()
    assert block == F(5, 9) < bound


def test_lower_bound__no_unbiased_member_is_below():
    pair = random_prefix_pair(tokens=2, horizon=3, family="uniform", seed=5)
    bound = lower_bound(pair, exact=True).value
    above = 0
    for seed in range(6):
        member = random_unbiased_member(pair, seed)
        value = enumerate_outcomes(pair, member).expected_rejections()
        assert value >= bound
        above += value > bound
    assert above


def test_lower_bound__internal_randomness_does_not_help():
    # A coin flipped for each position picks one of two biased rules whose mixture is unbiased.
    target, draft = (F(1, 3), F(2, 3)), (F(2, 3), F(1, 3))
    pair = RationalPair.independent(target, draft, horizon=1)
    rng = np.random.default_rng(3)
    tried = 0
    for _ in range(300):
        rules = []
        for _ in range(2):
            a = [F(int(k), 12) for k in rng.integers(0, 13, 2)]
            r0 = F(int(rng.integers(0, 13)), 12)
            rejection = sum((1 - x) * d for x, d in zip(a, draft, strict=True))
            rules.append((rejection, a[0] * draft[0] + rejection * r0))
        (p, one), (q, other) = rules
        if (one - target[0]) * (other - target[0]) < 0:
            weight = (target[0] - other) / (one - other)
            tried += 1
            assert weight * p + (1 - weight) * q >= lower_bound(pair, exact=True).value
    assert tried > 20


def test_lower_bound__dual_meets_vertices_of_the_primal():
    # The programme of one position, solved by trying every vertex: unknowns a and w, two equations.
    target, draft = (F(1, 2), F(1, 8), F(3, 8)), (F(1, 4), F(1, 2), F(1, 4))
    best = None
    choices = [(F(0), F(1), min(F(1), t / d)) for t, d in zip(target, draft, strict=True)]
    for a0 in choices[0]:
        for a1 in choices[1]:
            for a2 in choices[2]:
                kept = [a * d for a, d in zip((a0, a1, a2), draft, strict=True)]
                if all(k <= t for k, t in zip(kept, target, strict=True)):
                    value = 1 - sum(kept)
                    best = value if best is None else min(best, value)
    pair = RationalPair.independent(target, draft, horizon=1)
    assert lower_bound(pair, exact=True).value == best == F(3, 8)


def test_lower_bound__horizon():
    pair = paper_pair(6)
    assert lower_bound(pair, horizon=3, exact=True).value == sum(lower_bound(pair, exact=True).by_step[:3])
    certificate = lower_bound(pair, horizon=3).certificate
    assert certificate.horizon == 3
    assert check_certificate(pair, certificate)
    with pytest.raises(InputError, match="horizon is 7"):
        lower_bound(pair, horizon=7)


def test_lower_bound__paper_instance():
    assert lower_bound(paper_pair(50)).value == pytest.approx(16.4049, abs=5e-5)


def test_lower_bound__refuses_what_does_not_fit():
    pair = ModelPair.from_probabilities([[0.5, 0.5]] * 2, [[0.25, 0.75]] * 2, initial=[1, 0], horizon=2**20)
    with pytest.raises(TooLargeError, match="use exact=False"):
        lower_bound(pair, exact=True)
    with pytest.raises(InputError, match="is unknown and no file has this name"):
        lower_bound("A")


def replace_at(table, index, value):
    head, *rest = index
    new = replace_at(table[head], rest, value) if rest else value
    return (*table[:head], new, *table[head + 1 :])


def tampered():
    pair = pair_with_zeros()
    good = lower_bound(pair).certificate
    zero, one = F(0), F(1)
    tiny = F(1, 2**64)

    def flip(n, c, x):
        old = good.multipliers[n][c][x]
        return dataclasses.replace(good, multipliers=replace_at(good.multipliers, (n, c, x), one - old))

    both = flip(0, 0, 2)
    more = replace_at(both.multipliers, (0, 0, 2), F(3, 2))
    yield "multiplier flipped up", flip(0, 0, 0), "differs from the dual objective"
    yield "multiplier flipped down", flip(0, 0, 2), "differs from the dual objective"
    yield "multiplier of step 2", flip(1, 2, 0), "differs from the dual objective"
    yield "multiplier above 1", dataclasses.replace(good, multipliers=more), "not in"
    below = replace_at(good.multipliers, (0, 0, 0), -one)
    yield "multiplier below 0", dataclasses.replace(good, multipliers=below), "not in"
    yield "value raised", dataclasses.replace(good, value=good.value + tiny), "differs from the dual"
    yield "value lowered", dataclasses.replace(good, value=good.value - tiny), "differs from the dual"
    yield "value as float", dataclasses.replace(good, value=float(good.value)), "differs from the dual"
    yield "identity", dataclasses.replace(good, pair="0" * 64), "about the pair"
    yield "horizon", dataclasses.replace(good, horizon=1), "each of 1 steps"
    yield "horizon beyond the rows", dataclasses.replace(good, horizon=3), "cannot have"
    moved = replace_at(good.masses, (1, 0), good.masses[1][0] + tiny)
    yield "mass", dataclasses.replace(good, masses=moved), "step 2, context 0: the mass"
    start = replace_at(good.masses, (0,), (zero, zero, one))
    yield "initial mass", dataclasses.replace(good, masses=start), "step 1, context 0: the mass"
    yield "masses dropped", dataclasses.replace(good, masses=good.masses[:1]), "each of 2 steps"
    yield (
        "context dropped",
        dataclasses.replace(good, masses=replace_at(good.masses, (1,), good.masses[1][:2])),
        ("each of 3 contexts"),
    )
    short = replace_at(good.multipliers, (1, 1), good.multipliers[1][1][:2])
    yield "row cut", dataclasses.replace(good, multipliers=short), "2 multipliers for 3 tokens"
    gone = replace_at(good.multipliers, (1,), good.multipliers[1][:2])
    yield "row missing", dataclasses.replace(good, multipliers=gone), "each of 3 contexts"


@pytest.mark.parametrize(("name", "certificate", "reason"), list(tampered()), ids=lambda v: str(v)[:25])
def test_check_certificate__rejects_tampering(name, certificate, reason):
    with pytest.raises(CertificateError, match=reason):
        check_certificate(pair_with_zeros(), certificate)


def test_check_certificate__rejects_consistent_lie_about_feasibility():
    # Multiplier 2 with the value recomputed: arithmetic is right, but the dual solution is not feasible.
    pair = pair_with_zeros()
    good = lower_bound(pair).certificate
    gain = F(float(pair.draft[0, 0, 2] - pair.target[0, 0, 2])) * good.masses[0][0]
    lie = dataclasses.replace(
        good, multipliers=replace_at(good.multipliers, (0, 0, 2), F(2)), value=good.value + gain
    )
    with pytest.raises(CertificateError, match=r"not in \[0, 1\]"):
        check_certificate(pair, lie)


def test_check_certificate__accepts_a_weaker_bound():
    pair = pair_with_zeros()
    good = lower_bound(pair).certificate
    gain = F(float(pair.draft[0, 0, 2] - pair.target[0, 0, 2])) * good.masses[0][0]
    half = replace_at(good.multipliers, (0, 0, 2), F(1, 2))
    assert check_certificate(pair, dataclasses.replace(good, multipliers=half, value=good.value - gain / 2))


def test_check_certificate__another_pair():
    with pytest.raises(CertificateError, match="about the pair"):
        check_certificate(pair_with_zeros().with_horizon(1), lower_bound(pair_with_zeros()).certificate)


def test_check_certificate__json():
    pair = PAIRS[2]
    good = lower_bound(pair).certificate
    text = good.to_json()
    assert certificate_from_json(text) == good
    assert check_certificate(pair, text)
    data = json.loads(text)
    data["value"] = str(good.value + F(1, 2**64))
    with pytest.raises(CertificateError, match="differs"):
        check_certificate(pair, json.dumps(data))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.pop("masses"), "incomplete"),
        (lambda d: d.update(format="other"), "lacks the format"),
        (lambda d: d.update(kind="other"), "unknown kind"),
        (lambda d: d.update(value=0.5), "rational such as"),
        (lambda d: d.update(value="1/0"), "rational such as"),
        (lambda d: d.update(value="1e-3"), "rational such as"),
        (lambda d: d.update(horizon="2"), "whole number"),
        (lambda d: d.update(masses="1"), "list is needed"),
    ],
)
def test_certificate_from_json__malformed(change, reason):
    data = json.loads(lower_bound(PAIRS[0]).certificate.to_json())
    change(data)
    with pytest.raises(CertificateError, match=reason):
        certificate_from_json(json.dumps(data))


def test_certificate_from_json__not_json():
    with pytest.raises(CertificateError, match="not JSON"):
        certificate_from_json("{")


def test_certificate__json_beyond_the_digit_limit_of_int():
    value = F(3**20_000, 2**40_001)
    text = certificate_formats._text(value)
    assert certificate_formats._number(text) == value
    assert certificate_formats._number(certificate_formats._text(-value)) == -value
    pair = ModelPair.from_probabilities(
        [[0.5, 0.5], [0.3, 0.7]], [[0.25, 0.75]] * 2, initial=[1, 0], horizon=460
    )
    good = lower_bound(pair).certificate
    assert good.masses[-1][0].denominator > 10**4300
    assert check_certificate(pair, good.to_json())


def test_check_certificate__shares_no_code_with_producers():
    tree = ast.parse(Path(certificates.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in modules if name.startswith("specsim")}
    assert ours == {
        "specsim.pairs",
        "specsim.theory.certificates.formats",
        "specsim.theory.arithmetic.rational_pair",
    }
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_certificate__large_sizes():
    rng = np.random.default_rng(0)
    shape = (24, 32, 32)
    pair = ModelPair.from_probabilities(
        rng.dirichlet(np.ones(32), shape[:2]), rng.dirichlet(np.ones(32), shape[:2]), initial=np.ones(32) / 32
    )
    bound = lower_bound(pair, exact=True)
    assert check_certificate(pair, bound.certificate)
    assert float(bound.value) == pytest.approx(lower_bound(pair).value, abs=1e-12)


def test_rejection_based__every_subset_rule_is_biased_or_above():
    # Members whose acceptance is 0 or 1: unbiased ones are never below the bound (2-token exhaustive).
    pair = FIXTURE_A
    bound = lower_bound(pair, exact=True).value
    for size in range(3):
        for kept in combinations(range(2), size):
            acceptance = [[[F(int(x in kept)) for x in range(2)]]]
            for k in range(4):
                residual = [[[F(k, 3), 1 - F(k, 3)]]]
                outcomes = enumerate_outcomes(pair, RejectionBased(acceptance=acceptance, residual=residual))
                if outcomes.expected_rejections() < bound:
                    law = outcomes.output_law()
                    assert list(law) != [F(1, 9), F(2, 9), F(2, 9), F(4, 9)]
