"""Remark 6: bias against rejections for whole sequences."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from specsim import ModelPair, OverAcceptance, Speculative, random_prefix_pair
from specsim.algorithms import Algorithm
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.builders import law_check, mean_check
from specsim.validation.claims.descriptors import biased_member, rows
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, Verdict, decided, equal
from specsim.validation.instances import paper_pairs, thirds
from specsim.validation.running.effort import Effort
from specsim.validation.tampering import broken_front_certificates
from specsim.validation.witnesses import Witnesses

ZERO = Fraction(0)


def _trees(effort: Effort) -> tuple[ModelPair, ...]:
    pairs = [
        random_prefix_pair(tokens=2, horizon=3, family="uniform", seed=901),
        random_prefix_pair(tokens=3, horizon=2, family="sparse", seed=902, density=0.8),
    ]
    if effort.name != "quick":
        pairs.append(random_prefix_pair(tokens=2, horizon=4, family="dirichlet", seed=903))
        pairs.append(random_prefix_pair(tokens=3, horizon=2, family="peaked", seed=904))
        pairs.append(random_prefix_pair(tokens=3, horizon=3, family="equal-rows", seed=905))
    return tuple(pairs)


def distance(one: Any, other: Any) -> Fraction:
    """Total variation distance of two exact laws."""
    return sum((abs(a - b) for a, b in zip(one, other, strict=True)), ZERO) / 2


def aimed_at(pair: RationalPair, law: list[Fraction]) -> RationalPair:
    """Return the prefix pair with the draft of `pair` (one prompt) whose target emits sequences by `law`."""
    tokens, length = pair.tokens, pair.horizon
    levels = [law]
    while len(levels[0]) > 1:
        below = levels[0]
        levels.insert(0, [sum(below[i : i + tokens], ZERO) for i in range(0, len(below), tokens)])
    target, draft, after = [], [], []
    contexts = [next(c for c, mass in enumerate(pair.initial) if mass)]
    first_of_next = 1
    for depth in range(length):
        following = []
        for node, context in enumerate(contexts):
            mass = levels[depth][node]
            children = levels[depth + 1][node * tokens : (node + 1) * tokens]
            drafted = pair.draft_row(depth, context)
            target.append(tuple(child / mass for child in children) if mass else drafted)
            draft.append(drafted)
            inner = depth + 1 < length
            after.append(tuple(first_of_next + node * tokens + x if inner else 0 for x in range(tokens)))
            following += [pair.next_context[context][x] for x in range(tokens)]
        first_of_next += len(following)
        contexts = following
    initial = (Fraction(1), *([ZERO] * (len(target) - 1)))
    return RationalPair(
        target=(tuple(target),),
        draft=(tuple(draft),),
        next_context=tuple(after),
        initial=initial,
        horizon=length,
    )


def _shape(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pairs: list[tuple[str, Any]] = [(f"thirds, horizon {n}", thirds(n)) for n in (1, 2, 3)]
    pairs += [(pair.name, pair) for pair in _trees(effort)]
    for name, pair in pairs:
        front = theory.sequence_front(pair, exact=True)
        speculative = witnesses.enumerate_outcomes(pair, Speculative())
        target = theory.target_law(pair, exact=True)
        draft = witnesses.enumerate_outcomes(pair, _accept_all(pair)).output_law()
        # Where the corners are not recovered exactly the certificate says what it leaves open.
        most = ZERO if isinstance(pair, RationalPair) else Fraction(1, 10**9)
        yield decided(
            f"certified gap of the front, {name}",
            ZERO <= front.gap <= most,
            observed=front.gap,
            expected=f"at most {most}",
        )
        yield equal(
            f"unbiased end of the front, {name}",
            [front.bias[0], front.rejections[0]],
            [ZERO, speculative.expected_rejections()],
        )
        yield equal(
            f"end without rejections, {name}",
            [front.bias[-1], front.rejections[-1]],
            [distance(draft, target), ZERO],
        )
        slopes = [
            (r1 - r0) / (b1 - b0)
            for (b0, r0), (b1, r1) in pairwise(zip(front.bias, front.rejections, strict=True))
        ]
        yield decided(
            f"convex and decreasing, {name}",
            all(a <= b for a, b in pairwise(slopes)) and all(slope < 0 for slope in slopes),
            observed=", ".join(str(round(float(slope), 4)) for slope in slopes),
            expected="increasing slopes below 0",
        )


def _accept_all(pair: Any) -> Algorithm:
    return OverAcceptance(epsilon=1.0)


def _not_linear(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    one, two, three = (theory.sequence_front(thirds(n), exact=True) for n in (1, 2, 3))
    yield equal("horizon 1 is linear (Theorem 5)", one.is_linear, True)
    yield equal("horizon 2 of the thirds is still linear", two.is_linear, True)
    yield equal("horizon 3 of the thirds is not", three.is_linear, False)
    total = three.joint_total_variation
    yield equal("joint total variation, horizon 3", total, Fraction(13, 27))
    expected = (Fraction(1), Fraction(52, 81), Fraction(1, 3), Fraction(13, 108), ZERO)
    for quarter, value in enumerate(expected):
        share = Fraction(quarter, 4)
        yield equal(f"fewest rejections at {share} of it", three.rejections_at(share * total), value)
        if 0 < quarter < 4:
            yield decided(
                f"below the chord at {share} of it",
                three.rejections_at(share * total) < 1 - share,
                observed=value,
                expected=f"below {1 - share}",
            )


def _attained(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Speculative decoding aimed at the law of a point of the front attains that point."""
    theory = witnesses.theory
    pairs: list[tuple[str, Any]] = [("thirds, horizon 3", thirds(3))]
    pairs += [(pair.name, RationalPair.from_pair(pair)) for pair in _trees(effort)]
    for name, pair in pairs:
        front = theory.sequence_front(pair, exact=True)
        target = theory.target_law(pair, exact=True)
        for share in (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)):
            bias = share * front.joint_total_variation
            law = [Fraction(value) for value in front.law_at(bias)]
            outcomes = witnesses.enumerate_outcomes(aimed_at(pair, law), Speculative())
            yield equal(
                f"output law of the aimed decoder, {share} of the bias, {name}", outcomes.output_law(), law
            )
            # With a gap of 0 the two bounds coincide, and the rejections are those of the front exactly.
            reached, rejections = distance(law, target), outcomes.expected_rejections()
            yield decided(
                f"it attains the front at {share} of the bias, {name}",
                reached <= bias
                and front.lower_bound_at(bias) <= rejections <= front.rejections_at(bias)
                and front.rejections_at(bias) - front.lower_bound_at(bias) <= front.gap,
                observed=f"bias {float(reached):.9g}, rejections {float(rejections):.9g}",
                expected=f"bias {float(bias):.9g}, rejections {float(front.rejections_at(bias)):.9g}",
            )


def _never_below(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in _trees(effort):
        front = witnesses.theory.sequence_front(pair, exact=True)
        target = witnesses.theory.target_law(pair, exact=True)
        members: list[Algorithm] = [
            biased_member(pair, seed=seed) for seed in range(effort.pick(quick=6, standard=30, deep=300))
        ]
        members += [
            OverAcceptance(epsilon=epsilon, residual=residual)
            for epsilon in (0.0625, 0.25)
            for residual in ("optimal", "target")
        ]
        for share in (ZERO, Fraction(1, 3), Fraction(3, 4)):
            bias = share * front.joint_total_variation
            below = front.rejections_at(bias) - front.lower_bound_at(bias)
            yield decided(
                f"the bound is the front itself up to its gap, {share} of the bias, {pair.name}",
                ZERO <= below <= front.gap,
                observed=below,
                expected=f"at most {front.gap}",
            )
        for number, member in enumerate(members):
            outcomes = witnesses.enumerate_outcomes(pair, member)
            bias = distance(outcomes.output_law(), target)
            rejections = outcomes.expected_rejections()
            yield decided(
                f"member {number} on {pair.name} is not below the front",
                rejections >= front.lower_bound_at(bias),
                observed=rejections,
                expected=f"at least {float(front.lower_bound_at(bias)):.6g} at bias {float(bias):.6g}",
            )


def _certified(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for name, pair in (("thirds, horizon 3", thirds(3)), *((p.name, p) for p in _trees(effort))):
        certificate = theory.sequence_front(pair, exact=True).certificate
        yield decided(f"certificate accepted, {name}", _accepted(theory, pair, certificate))
        for what, tampered in broken_front_certificates(pair, certificate):
            yield decided(f"certificate with {what} refused, {name}", _refused(theory, pair, tampered))


def _refused(theory: Any, pair: Any, certificate: Any) -> bool:
    """Say whether the checker itself refuses; any other failure is a fault of the checker."""
    try:
        theory.check_certificate(pair, certificate)
    except theory.CertificateError:
        return True
    except Exception:
        return False
    return False


def _accepted(theory: Any, pair: Any, certificate: Any) -> bool:
    try:
        return bool(theory.check_certificate(pair, certificate))
    except ValueError:
        return False


def _own_prefixes(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """E[rejections] + E[sum of Loss*] = E[sum of TV], with prefixes from the decoder's own law."""
    theory = witnesses.theory
    for pair in _trees(effort):
        target_rows, draft_rows = rows(pair)
        target = theory.target_law(pair, exact=True)
        for epsilon in (Fraction(1, 16), Fraction(1, 4)):
            algorithm = OverAcceptance(epsilon=epsilon)
            outcomes = witnesses.enumerate_outcomes(pair, algorithm)
            flows = theory.transition_marginals(pair, algorithm, exact=True)
            losses = distances = ZERO
            for step in range(pair.horizon):
                index = pair.step_index(step)
                for context in range(pair.contexts):
                    mass = sum(flows[step][context], ZERO)
                    if mass:
                        t, d = list(target_rows[index, context]), list(draft_rows[index, context])
                        acceptance = theory.over_acceptance(t, d, epsilon, exact=True)
                        losses += mass * theory.over_acceptance_loss(t, d, list(acceptance), exact=True)
                        distances += mass * distance(t, d)
            yield equal(
                f"E[rejections] + E[sum of losses], epsilon {epsilon} on {pair.name}",
                outcomes.expected_rejections() + losses,
                distances,
            )
            joint = distance(outcomes.output_law(), target)
            yield decided(
                f"joint bias at most the summed losses, epsilon {epsilon} on {pair.name}",
                joint <= losses,
                observed=joint,
                expected=f"at most {float(losses):.6g}",
            )


def _at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for epsilon in effort.pick(quick=(0.05,), standard=(0.02, 0.05, 0.2), deep=(0.02, 0.05, 0.1, 0.2)):
        yield paper_pairs()[0], OverAcceptance(epsilon=epsilon)


def _losses_at_size(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> tuple[float, float]:
    """Mean rejections as summed distances minus summed losses, with prefixes from the decoder's own law."""
    theory = witnesses.theory
    flows = theory.transition_marginals(pair, algorithm)
    mean = 0.0
    for step in range(pair.horizon):
        for context in range(pair.contexts):
            target, draft = pair.target[step, context], pair.draft[step, context]
            acceptance = theory.over_acceptance(target, draft, float(algorithm.epsilon))
            mean += flows[step][context].sum() * (
                theory.total_variation(target, draft) - theory.over_acceptance_loss(target, draft, acceptance)
            )
    return mean, float(theory.rejection_variance(pair, algorithm))


CLAIMS = (
    Claim(
        id="yin2024.remark-6",
        title="The front of whole sequences",
        statement=(
            "For several tokens the front between joint bias and expected rejections is convex from "
            "speculative decoding to the draft, a line for one token, and not a line in general."
        ),
        source="2411.00841, Remark 6 (open there); derived",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("ends and convexity", _shape),
            ExactCheck("not a line", _not_linear),
            ExactCheck("attained", _attained),
            ExactCheck("no member below", _never_below),
            ExactCheck("certificates", _certified),
        ),
        mutants=("front-is-chord", "checker-accepts-all"),
    ),
    Claim(
        id="yin2024.remark-6-sums",
        title="Losses along the decoder's own prefixes",
        statement=(
            "For Decoding-OPT, E[rejections] plus the expected sum of one-step losses is the expected sum of "
            "total variation distances, all with prefixes from its own law, and bounds the joint bias."
        ),
        source="2411.00841, Remark 6; derived",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration", _own_prefixes),
            mean_check("rejections at size", _at_size, discrepancy=0.1, expected=_losses_at_size),
            law_check("tokens at every step", _at_size, statistic="output_marginals", discrepancy=0.02),
        ),
        mutants=("loss-without-half", "epsilon-ignored", "loss-zero"),
    ),
)
