"""Theorem 2 with its lemmas: the lower bound inside the rejection-based family, certificate, scope."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from specsim import BlockVerification, ModelPair, RejectionBased, Speculative, random_pair
from specsim.algorithms import Algorithm
from specsim.pairs.row_families import Family
from specsim.validation.assertions import Assertion
from specsim.validation.builders import assert_quantity, mean_check
from specsim.validation.claims import descriptors
from specsim.validation.claims.plans import lossless_at_size
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import dyadic_fixture, paper_pairs, thirds, tiny_pairs
from specsim.validation.running.effort import Effort
from specsim.validation.tampering import broken_rejection_certificates
from specsim.validation.witnesses import Witnesses


def _random_members(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for number, pair in enumerate(tiny_pairs(effort.name)):
        bound = theory.lower_bound(pair, exact=True).value
        target = theory.target_law(pair, exact=True)
        for seed in range(effort.pick(quick=3, standard=12, deep=100)):
            member = theory.random_unbiased_member(pair, 1000 * number + seed)
            outcomes = witnesses.enumerate_outcomes(pair, member)
            where = f"member {seed} on {pair.name}"
            yield equal(f"law of the sequence, {where}", outcomes.output_law(), target)
            rejections = outcomes.expected_rejections()
            yield decided(
                f"E[rejections] is at least the bound, {where}",
                rejections >= bound,
                observed=rejections,
                expected=f"at least {float(bound):.6g}",
            )
            yield equal(
                f"E[rejections] is the sum of refused draft mass, {where}",
                theory.member_rejections(pair, member.acceptance),
                rejections,
            )


def _attained(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        bound = witnesses.theory.lower_bound(pair, exact=True).value
        for algorithm in (Speculative(), descriptors.speculative_member(pair)):
            yield equal(
                f"E[rejections] of {type(algorithm).__name__} attains the bound on {pair.name}",
                witnesses.enumerate_outcomes(pair, algorithm).expected_rejections(),
                bound,
            )


def _members_at_size(effort: Effort) -> Iterator[ModelPair]:
    yield paper_pairs()[0]
    yield random_pair(contexts=5, horizon=24, family="sparse", seed=501)
    if effort.name != "quick":
        yield random_pair(contexts=12, horizon=60, family="dirichlet", seed=502)


def _simulated_members(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    """Random unbiased members in simulation: rejections as computed, and the bound missed from above."""
    for seed, pair in enumerate(_members_at_size(effort)):
        member = witnesses.theory.random_unbiased_member(pair, seed, resolution=4)
        bound = float(witnesses.theory.lower_bound(pair).value)

        def expected(w: Witnesses, p: ModelPair, a: Algorithm) -> tuple[float, float]:
            assert isinstance(a, RejectionBased)
            return float(w.theory.member_rejections(p, a.acceptance)), float(
                w.theory.rejection_variance(p, a)
            )

        yield assert_quantity(
            witnesses,
            effort,
            pair,
            member,
            "expected_rejections",
            discrepancy=0.1,
            expected=expected,
            excluded=bound,
            label="random unbiased member",
        )


def _member_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    import specsim.theory as theory

    for seed, pair in enumerate(_members_at_size(effort)):
        yield pair, theory.random_unbiased_member(pair, seed, resolution=4)


def _acceptances(effort: Effort, count: int) -> Iterator[tuple[ModelPair, Any, Any, Any]]:
    """One-step pairs with random acceptances in 16ths, as rationals."""
    families: tuple[Family, ...] = ("uniform", "dirichlet", "sparse", "equal-rows", "disjoint")
    for seed in range(count * effort.pick(quick=1, standard=4, deep=40)):
        tokens = 2 + seed % 3
        pair = random_pair(
            contexts=tokens, horizon=1, family=families[seed % 5], seed=600 + seed, initial="point"
        )
        target, draft = descriptors.rows(pair)
        sixteenths = np.random.RandomState(seed).randint(0, 17, size=target.shape)
        acceptance = np.array([Fraction(int(k), 16) for k in sixteenths.ravel()], dtype=object)
        yield pair, target, draft, acceptance.reshape(target.shape)


def _threshold(target: Any, draft: Any) -> Any:
    """min(1, T / D), and 1 where nothing is drafted."""
    cap = np.empty(target.shape, dtype=object)
    for index, value in np.ndenumerate(draft):
        cap[index] = min(Fraction(1), target[index] / value) if value else Fraction(1)
    return cap


def _lemma_1(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair, target, draft, acceptance in _acceptances(effort, 30):
        drafted = draft > 0
        epsilon = theory.epsilon_from_acceptance(target, draft, acceptance)
        # Written out here: two functions that undo each other could both be wrong.
        yield equal(f"e = a D - T on {pair.name}", epsilon, acceptance * draft - target)
        yield equal(
            f"a = min(1, (T + e) / D) on {pair.name}",
            _threshold(target + epsilon, draft)[drafted],
            acceptance[drafted],
        )
        for extra in (epsilon, acceptance):
            yield equal(
                f"theory's min(1, (T + e) / D) on {pair.name}",
                theory.acceptance_from_epsilon(target, draft, extra)[drafted],
                _threshold(target + extra, draft)[drafted],
            )


def _corollary_1(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair, target, draft, raw in _acceptances(effort, 30):
        cap = _threshold(target, draft)
        law = theory.target_law(pair, exact=True)
        below = raw * cap
        member = theory.member_from_acceptance(pair, below)
        yield equal(
            f"acceptance below min(1, T/D) with r = (T - aD) / Pr(reject) is unbiased, {pair.name}",
            witnesses.enumerate_outcomes(pair, member).output_law(),
            law,
        )
        refused = ((1 - below) * draft)[0, 0].sum()
        if refused and pair.tokens > 1:
            other = np.array(member.residual)
            first = int(np.flatnonzero(other[0, 0])[0])
            other[0, 0, first], other[0, 0, first - 1] = (
                other[0, 0, first] / 2,
                other[0, 0, first - 1] + other[0, 0, first] / 2,
            )
            changed = RejectionBased(acceptance=member.acceptance, residual=other)
            yield decided(
                f"any other residual is biased, {pair.name}",
                bool((witnesses.enumerate_outcomes(pair, changed).output_law() != law).any()),
            )
        over = raw * draft > target
        if over[0, 0].any():
            loss = theory.over_acceptance_loss(
                list(target[0, 0]), list(draft[0, 0]), list(raw[0, 0]), exact=True
            )
            yield decided(
                f"above min(1, T/D) every residual is biased: the least loss is positive, {pair.name}",
                loss > 0,
                observed=loss,
                expected="positive",
            )


def _lemma_2(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    fewer = 0
    for pair, target, draft, acceptance in _acceptances(effort, 40):
        bound = witnesses.theory.lower_bound(pair, exact=True).value
        distance = sum((max(t - d, Fraction(0)) for t, d in zip(target[0, 0], draft[0, 0], strict=True)))
        yield equal(f"the bound of one position is the distance of its rows, {pair.name}", bound, distance)
        member = RejectionBased(acceptance=acceptance, residual=target)
        rejections = witnesses.enumerate_outcomes(pair, member).expected_rejections()
        above = bool(((acceptance > _threshold(target, draft)) & (draft > 0))[0, 0].any())
        if rejections < bound:
            fewer += 1
            yield decided(
                f"fewer rejections than the bound need over-acceptance, {pair.name}",
                above,
                observed=f"E[rejections] = {float(rejections):.6g} below {float(bound):.6g}",
                expected="some acceptance above min(1, T/D)",
            )
    yield decided("members with fewer rejections than the bound were met", fewer >= 3, observed=fewer)


def _lemma_2_later(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Lead a biased member to contexts with equal rows: fewer rejections, no over-acceptance."""
    pair = ModelPair.from_probabilities(
        [[[0.25, 0.75], [0.25, 0.75]], [[0.5, 0.5], [0.0, 1.0]]],
        [[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [1.0, 0.0]]],
        initial=[1.0, 0.0],
        name="equal rows after the first token, disjoint rows after the second",
    )
    target, draft = descriptors.rows(pair)
    acceptance = _threshold(target, draft)
    residual = np.full(target.shape, Fraction(0), dtype=object)
    residual[0, :, 0] = residual[1, :, 1] = Fraction(1)
    outcomes = witnesses.enumerate_outcomes(pair, RejectionBased(acceptance=acceptance, residual=residual))
    rejections = outcomes.expected_rejections()
    bound = witnesses.theory.lower_bound(pair, exact=True).value
    yield equal(f"the bound on {pair.name}", bound, Fraction(1))
    # Distances 1/4 at the first position; 0 and 1 at the second, after the first and the second token.
    first = outcomes.output_marginals()[0]
    yield equal(
        "the same sum with prefixes from the decoder's own law", Fraction(1, 4) + first[1], rejections
    )
    yield counterexample(
        f"horizon 2, {pair.name}",
        rejections < bound,
        f"acceptance is min(1, T/D) everywhere, the residual of the first position is the first token: "
        f"{rejections} expected rejections, fewer than the bound {bound}, without over-acceptance; the "
        "decoder is biased and avoids the context whose rows differ",
        printed=f"at least {bound}",
        exact=rejections,
    )


def _certificates(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in (*tiny_pairs(effort.name), *paper_pairs()[: effort.pick(quick=1, standard=2, deep=2)]):
        bound = theory.lower_bound(pair, exact=True)
        certificate = bound.certificate
        yield equal(f"value of the certificate on {pair.name}", certificate.value, bound.value)
        yield equal(
            f"the bound is C(D, T) on {pair.name}",
            bound.value,
            theory.theorem_1_rejections(pair, exact=True),
        )
        yield decided(f"certificate accepted, {pair.name}", _accepted(theory, pair, certificate))
        yield decided(
            f"certificate read back from JSON accepted, {pair.name}",
            _accepted(theory, pair, certificate.to_json()),
        )
        for name, tampered in broken_rejection_certificates(pair, certificate):
            yield decided(
                f"certificate with {name} refused, {pair.name}",
                _refused(theory, pair, tampered),
            )


def _refused(theory: Any, pair: Any, certificate: Any) -> bool:
    """Say whether the checker itself refuses; any other failure is a fault of the checker."""
    try:
        theory.check_certificate(pair, certificate)
    except theory.CertificateError:
        return True
    except Exception:
        return False
    return False


def _accepted(theory: Any, pair: ModelPair, certificate: Any) -> bool:
    try:
        return bool(theory.check_certificate(pair, certificate))
    except ValueError:
        return False


def _block_beats(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for horizon, value in ((2, Fraction(5, 9)), (3, Fraction(7, 9)), (4, Fraction(79, 81))):
        pair = thirds(horizon)
        bound = Fraction(horizon, 3)
        outcomes = witnesses.enumerate_outcomes(pair, BlockVerification())
        rejections = outcomes.expected_rejections()
        yield equal(f"block verification is lossless, horizon {horizon}", outcomes.output_law(),
                    theory.target_law(pair, exact=True))  # fmt: skip
        yield equal(f"E[rejections] of block verification, horizon {horizon}", rejections, value)
        yield equal(
            f"the bound C(D, T), horizon {horizon}",
            theory.theorem_1_rejections(pair, exact=True),
            bound,
        )
        yield counterexample(
            f"draft (2/3, 1/3), target (1/3, 2/3), horizon {horizon}",
            rejections < bound,
            f"block verification (2403.10444) is lossless and rejects {rejections} tokens on average, fewer "
            f"than the bound C = {bound}: the bound holds only where acceptance looks at one drafted token",
            printed=bound,
            exact=rejections,
        )
    for tiny in tiny_pairs(effort.name):
        rejections = witnesses.enumerate_outcomes(tiny, BlockVerification()).expected_rejections()
        yield equal(
            f"E[rejections] of block verification on {tiny.name}",
            theory.expected_rejections(tiny, BlockVerification(), exact=True),
            rejections,
        )


def _block_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    yield paper_pairs()[0], BlockVerification(draft_length=2, bonus=False)
    yield dyadic_fixture(8), BlockVerification()


def _bound(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> float:
    return float(witnesses.theory.lower_bound(pair).value)


CLAIMS = (
    Claim(
        id="yin2024.theorem-2",
        title="Lower bound inside the rejection-based family",
        statement=(
            "No unbiased member of the rejection-based family has fewer expected rejections than the summed "
            "expected total variation distances, and speculative decoding attains that bound."
        ),
        source="2411.00841, Theorem 2",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("random unbiased members", _random_members),
            ExactCheck("attained", _attained),
            StatisticalCheck("random members at size", _simulated_members),
            lossless_at_size("random members are lossless at size", _member_cases, discrepancy=0.05),
        ),
        mutants=("bound-too-high", "member-residual-not-matched", "acceptance-ignored"),
    ),
    Claim(
        id="yin2024.lemma-1",
        title="Every acceptance is an over- or under-acceptance",
        statement="Any acceptance a can be written min(1, (T + e) / D), with e = a D - T.",
        source="2411.00841, Lemma 1 and equation (2)",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("random acceptances", _lemma_1),),
        mutants=("lemma-1-sign",),
    ),
    Claim(
        id="yin2024.corollary-1",
        title="Which members are unbiased",
        statement=(
            "A member is unbiased exactly when its acceptance is at most min(1, T/D) and its residual is "
            "(T - aD) / Pr(reject)."
        ),
        source="2411.00841, Corollary 1 and equations (11)-(14)",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("both directions, one step", _corollary_1),),
        mutants=("member-residual-not-matched", "loss-zero"),
    ),
    Claim(
        id="yin2024.lemma-2",
        title="Fewer rejections need over-acceptance",
        statement="A member with fewer rejections than the bound accepts above min(1, T/D) somewhere.",
        source="2411.00841, Lemma 2",
        verdict=Verdict.CONDITION,
        condition="one position, or the bound averaged over prefixes from the member's own law",
        checks=(
            ExactCheck("random members, one step", _lemma_2),
            ExactCheck("two positions, a biased member", _lemma_2_later),
        ),
        mutants=("bound-too-high",),
    ),
    Claim(
        id="yin2024.lower-bound-certificate",
        title="Certificate of the lower bound",
        statement=(
            "The bound comes with a dual solution that an independent exact checker accepts, and refuses "
            "when its value, masses, multipliers or pair are tampered with."
        ),
        source="2411.00841, Theorem 2; linear programming duality",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("accepted and refused", _certificates),),
        mutants=("certificate-tampered", "checker-accepts-all"),
    ),
    Claim(
        id="yin2024.optimality-scope",
        title="Optimal among all rejection-based methods",
        statement=(
            "Speculative decoding has the fewest expected rejections of all lossless rejection-based methods."
        ),
        source="2411.00841, text after Theorem 2",
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("block verification", _block_beats),
            mean_check("block verification simulated", _block_cases, discrepancy=0.05, excluded=_bound),
        ),
        mutants=("block-is-token-wise", "enumeration-of-blocks-token-wise"),
    ),
)
