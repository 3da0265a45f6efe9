"""Wrong statement functions and enumerations: one or more for each published statement."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.algorithms import (
    Algorithm,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    RejectionBased,
    Speculative,
)
from specsim.pairs import ModelPair
from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute
from specsim.validation.mutants.theories import formula, formulas
from specsim.validation.witnesses import Overlay, Witnesses


def enumeration(
    kind: type[Algorithm], change: Callable[[Any], Algorithm]
) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that enumerates ``change(algorithm)`` wherever `kind` is asked for."""

    def apply(witnesses: Witnesses) -> Witnesses:
        def enumerate_outcomes(pair: Any, algorithm: Algorithm, **options: Any) -> Any:
            if isinstance(algorithm, kind):
                algorithm = change(algorithm)
            return witnesses.enumerate_outcomes(pair, algorithm, **options)

        return witnesses.replace(enumerate_outcomes=enumerate_outcomes)

    return apply


def _without_last_call(witnesses: Witnesses) -> Witnesses:
    def enumerate_outcomes(pair: Any, algorithm: Algorithm, **options: Any) -> Any:
        outcomes = witnesses.enumerate_outcomes(pair, algorithm, **options)
        law: dict[Any, Any] = {}
        for outcome, mass in outcomes.law.items():
            counted = outcome._replace(calls=outcome.rejected.bit_count())
            law[counted] = law.get(counted, 0) + mass
        return dataclasses.replace(outcomes, law=law)

    return witnesses.replace(enumerate_outcomes=enumerate_outcomes)


def _token_wise(algorithm: BlockVerification) -> Algorithm:
    return Speculative(draft_length=algorithm.draft_length, bonus=algorithm.bonus)


def _to_the_horizon(algorithm: Algorithm) -> Algorithm:
    if algorithm.plain or algorithm.structure(99).depth == 99:
        return algorithm
    finite = {field.name for field in dataclasses.fields(algorithm)} & {"draft_length", "tree"}  # type: ignore[arg-type]
    return dataclasses.replace(algorithm, **dict.fromkeys(finite))  # type: ignore[type-var]


def _swapped(pair: Any) -> Any:
    """Return the pair with its two models exchanged: the total variation stays, the prefixes change."""
    return ModelPair.from_probabilities(
        pair.draft,
        pair.target,
        initial=pair.initial,
        next_context=pair.next_context,
        horizon=pair.horizon,
        name=pair.name,
    )


def _from_draft(theory: Any, pair: Any, **options: Any) -> Any:
    return theory.theorem_1_rejections(_swapped(pair), **options)


def _from_draft_by_step(theory: Any, pair: Any, **options: Any) -> Any:
    return theory.theorem_1_rejections_by_step(_swapped(pair), **options)


def _more(name: str) -> Callable[..., Any]:
    return lambda theory, pair, drafts, **options: getattr(theory, name)(pair, drafts + 1, **options)


def _fewest_best(theory: Any, pair: Any, drafts: Any, **options: Any) -> Any:
    return theory.batch_rejections(pair, max(1, 13 - drafts), **options)


def _base_case_ignored(theory: Any, pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
    return theory.batch_rejections(pair, drafts, **options)


def _doubled_masses(theory: Any, pair: Any, drafts: int, **options: Any) -> Any:
    return [2 * level for level in theory.batch_rejection_masses(pair, drafts, **options)]


def _higher_bound(theory: Any, pair: Any, **options: Any) -> Any:
    bound = theory.lower_bound(pair, **options)
    return dataclasses.replace(bound, value=bound.value * Fraction(9, 8) + Fraction(1, 1024))


def _loose_certificate(theory: Any, pair: Any, **options: Any) -> Any:
    bound = theory.lower_bound(pair, **options)
    certificate = bound.certificate
    tampered = dataclasses.replace(certificate, value=certificate.value + Fraction(1, 2**90))
    return Overlay(bound, certificate=tampered, value=tampered.value)


def _target_residual(member: RejectionBased, pair: Any) -> RejectionBased:
    from specsim.validation.claims.descriptors import rows

    return RejectionBased(
        acceptance=member.acceptance,
        residual=rows(pair)[0],
        draft_length=member.draft_length,
        bonus=member.bonus,
    )


def _unmatched_member(theory: Any, pair: Any, acceptance: Any, **options: Any) -> Any:
    return _target_residual(theory.member_from_acceptance(pair, acceptance, **options), pair)


def _unmatched_random(theory: Any, pair: Any, seed: int, **options: Any) -> Any:
    return _target_residual(theory.random_unbiased_member(pair, seed, **options), pair)


def _wrong_sign(theory: Any, target: Any, draft: Any, acceptance: Any) -> Any:
    # The mistake can leave the range of Lemma 1, where the formula refuses; cut it there.
    return np.maximum(-theory.epsilon_from_acceptance(target, draft, acceptance), -np.asarray(target))


def _no_loss(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    return 0 * theory.over_acceptance_loss(target, draft, acceptance, **options)


def _loss_without_half(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    return 2 * theory.over_acceptance_loss(target, draft, acceptance, **options)


def _larger_set(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    """Forget that r = 0 where Z < 0: caps of 1 there."""
    found = theory.optimal_residuals(target, draft, acceptance, **options)
    if found.excess is None:
        return found
    return dataclasses.replace(found, excess=np.array([z if z >= 0 else 1 + 0 * z for z in found.excess]))


def _double_variation(theory: Any, one: Any, other: Any, **options: Any) -> Any:
    return 2 * theory.total_variation(one, other, **options)


def _no_excess(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    return 0 * theory.front_excess(target, draft, acceptance, **options)


def _whole_region(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    front = theory.pareto_front(target, draft, **options)
    return Overlay(
        front,
        attains=front.dominates,
        band=lambda rejection: (front.smallest_bias(rejection), Fraction(1)),
    )


def _swapped_losses(theory: Any, target: Any, draft: Any, epsilon: Any, **options: Any) -> Any:
    found = theory.over_acceptance_losses(target, draft, epsilon, **options)
    return dataclasses.replace(found, target=found.draft, draft=found.target)


def _chord(theory: Any, pair: Any, **options: Any) -> Any:
    front = theory.sequence_front(pair, **options)
    height, length = front.rejections[0], front.joint_total_variation

    def line(bias: Any) -> Any:
        return max(height * (1 - bias / length), 0 * height)

    return Overlay(front, is_linear=True, rejections_at=line, lower_bound_at=line)


def _uniform(theory: Any, ratio: Any, drafts: Any) -> Any:
    return theory.batch_improvement_uniform(ratio, drafts + 1)


def _bernoulli(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    return theory.batch_improvement_bernoulli(draft, target, drafts + 1)


def _bernoulli_one_sided(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    power = draft ** (drafts - 1) if drafts != math.inf else (1 if draft == 1 else 0)
    return abs(draft - target) * (1 - power)


def _drawn_limit(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    if draft == Fraction(3, 10) and target == Fraction(1, 2):
        return theory.batch_improvement_bernoulli(Fraction(4, 10), target, drafts)
    return theory.batch_improvement_bernoulli(draft, target, drafts)


def _rate_only(theory: Any, rate: Any, horizon: Any) -> Any:
    return horizon * rate


def _unshifted(theory: Any, pair: Any, drafts: int, **options: Any) -> Any:
    return theory.batch_rejections(pair, drafts, **options)


MUTANTS = (
    Mutant(
        name="theory-prefixes-from-draft",
        description="Theorem 1 averages over prefixes drawn from the draft instead of the target.",
        cite="2411.00841 and 2211.17192 use opposite letters for draft and target",
        apply=formulas(theorem_1_rejections=_from_draft, theorem_1_rejections_by_step=_from_draft_by_step),
    ),
    Mutant(
        name="theory-one-draft-more",
        description="The closed form of the root residual iterates M times where M - 1 are needed.",
        cite="2411.00841, Theorem 9: the index of the residual is misprinted",
        apply=formulas(
            batch_rejections=_more("batch_rejections"),
            batch_rejections_by_recursion=_more("batch_rejections_by_recursion"),
            batch_rejection_masses=_more("batch_rejection_masses"),
        ),
    ),
    Mutant(
        name="theory-fewest-drafts-best",
        description="Theorem 3 has fewer rejections for fewer drafts.",
        cite="an inverted axis of 2411.00841, Figure 2c",
        apply=formula("batch_rejections", _fewest_best),
    ),
    Mutant(
        name="base-case-ignored",
        description="The counterexample to f(empty) = 0 is computed with f(empty) = 1.",
        cite="2411.00841, Theorem 3: the base case is not printed",
        apply=formula("batch_rejections", _base_case_ignored),
    ),
    Mutant(
        name="theory-masses-doubled",
        description="The masses of equation (22) lack a factor 1/2.",
        cite="2411.00841, proof of Theorem 5: factors 1/2 are missing",
        apply=formula("batch_rejection_masses", _doubled_masses),
    ),
    Mutant(
        name="limit-always-positive",
        description="The limit of the expected rejections for many drafts is said to be positive always.",
        cite="2411.00841, Proposition 1 (4)",
        apply=formula("limit_is_positive", lambda theory, pair, **options: True),
    ),
    Mutant(
        name="support-of-unreached-contexts",
        description="The support condition looks at contexts that the target never reaches, too.",
        cite="2411.00841, Proposition 1 (2) and (3)",
        apply=formula(
            "support_condition",
            lambda theory, pair, **options: not ((pair.target > 0) & (pair.draft == 0)).any(),
        ),
    ),
    Mutant(
        name="bound-too-high",
        description="The lower bound lies an eighth above the summed distances.",
        cite="a bound taken from an average over the wrong prefixes",
        apply=formula("lower_bound", _higher_bound),
    ),
    Mutant(
        name="certificate-tampered",
        description="Bound and certificate state a value 2^-90 too large.",
        cite="a rounded dual solution",
        apply=formula("lower_bound", _loose_certificate),
    ),
    Mutant(
        name="checker-accepts-all",
        description="The checker of certificates accepts everything.",
        cite="a checker that was never seen to refuse",
        apply=formula("check_certificate", lambda theory, pair, certificate: True),
    ),
    Mutant(
        name="member-residual-not-matched",
        description="Members under the threshold replace rejected tokens from the target row.",
        cite="mlx-lm#1085: acceptance by the ratio without the matching residual",
        apply=formulas(member_from_acceptance=_unmatched_member, random_unbiased_member=_unmatched_random),
    ),
    Mutant(
        name="lemma-1-sign",
        description="Lemma 1 is written with e = T - a D.",
        cite="2411.00841, equation (2)",
        apply=formula("epsilon_from_acceptance", _wrong_sign),
    ),
    Mutant(
        name="loss-zero",
        description="Over-acceptance is said to lose nothing.",
        cite="2411.00841, Theorem 4",
        apply=formula("over_acceptance_loss", _no_loss),
    ),
    Mutant(
        name="loss-without-half",
        description="The smallest bias lacks its factor 1/2.",
        cite="2411.00841, proof of Theorem 5: factors 1/2 are missing",
        apply=formula("over_acceptance_loss", _loss_without_half),
    ),
    Mutant(
        name="optimal-set-too-large",
        description="Residuals may put mass where Z is negative.",
        cite="2411.00841, remark after Theorem 4",
        apply=formula("optimal_residuals", _larger_set),
    ),
    Mutant(
        name="total-variation-without-half",
        description="The distance of two rows is the L1 distance.",
        cite="2411.00841, proof of Theorem 5: factors 1/2 are missing",
        apply=formula("total_variation", _double_variation),
    ),
    Mutant(
        name="front-excess-zero",
        description="Every acceptance is said to lie on the front.",
        cite="2411.00841, Theorem 5 without its condition",
        apply=formula("front_excess", _no_excess),
    ),
    Mutant(
        name="region-all-attainable",
        description="Every point above the front is said to be attained.",
        cite="2411.00841, Figure 4",
        apply=formula("pareto_front", _whole_region),
    ),
    Mutant(
        name="losses-swapped",
        description="The biases of the two readings of Decoding-UNO are exchanged.",
        cite="2411.00841, Appendix G, listing",
        apply=formula("over_acceptance_losses", _swapped_losses),
    ),
    Mutant(
        name="front-is-chord",
        description="The front of whole sequences is taken as the straight line between its ends.",
        cite="2411.00841, Remark 6: Theorem 5 applied to several tokens",
        apply=formula("sequence_front", _chord),
    ),
    Mutant(
        name="uniform-exponent-shifted",
        description="The uniform example has the exponent M + 1.",
        cite="2411.00841, section 3.3",
        apply=formula("batch_improvement_uniform", _uniform),
    ),
    Mutant(
        name="bernoulli-exponent-shifted",
        description="The Bernoulli example has the exponent M instead of M - 1.",
        cite="2411.00841, section 3.3",
        apply=formula("batch_improvement_bernoulli", _bernoulli),
    ),
    Mutant(
        name="bernoulli-side-ignored",
        description="The Bernoulli example uses u also where u < v.",
        cite="2411.00841, section 3.3",
        apply=formula("batch_improvement_bernoulli", _bernoulli_one_sided),
    ),
    Mutant(
        name="bernoulli-limit-as-drawn",
        description="The curve of Ber(0.3) is the one drawn under its name.",
        cite="2411.00841, Figure 3, legend",
        apply=formula("batch_improvement_bernoulli", _drawn_limit),
    ),
    Mutant(
        name="constant-rate-without-last-call",
        description="Calls at a constant rejection rate are L b.",
        cite="2411.00841, Remark 2",
        apply=formula("constant_rate_calls", _rate_only),
    ),
    Mutant(
        name="shift-undone",
        description="The shifted sum is computed without its shift.",
        cite="2411.00841, Figures 2b, 2c and 5",
        apply=formula("shifted_batch_rejections", _unshifted),
    ),
    Mutant(
        name="batch-draft-length-ignored",
        description="A batch drafts to the horizon whatever its draft length.",
        cite="2411.00841, section 2: drafts to the horizon",
        apply=substitute(
            Batch, lambda pair, algorithm: (pair, dataclasses.replace(algorithm, draft_length=None))
        ),
    ),
    Mutant(
        name="enumeration-ignores-draft-length",
        description="Enumeration drafts to the horizon whatever the draft length.",
        cite="2411.00841, section 2: drafts to the horizon",
        apply=enumeration(Algorithm, _to_the_horizon),
    ),
    Mutant(
        name="enumeration-forgets-last-call",
        description="Enumeration counts one call for each rejection.",
        cite="2411.00841, section 2",
        apply=_without_last_call,
    ),
    Mutant(
        name="enumeration-of-blocks-token-wise",
        description="Block verification is enumerated token by token.",
        cite="vllm-project/vllm-ascend#7807",
        apply=enumeration(BlockVerification, _token_wise),
    ),
    Mutant(
        name="erratum-from-corrected-algorithm",
        description="Algorithm 4 as printed is enumerated with its slips corrected.",
        cite="a counterexample computed with the wrong program",
        apply=enumeration(BatchAsPrinted, lambda algorithm: Batch(drafts=algorithm.drafts)),
    ),
)
