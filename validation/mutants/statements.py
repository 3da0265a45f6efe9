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
    Speculative,
)
from specsim.pairs import ModelPair
from specsim.validation.mutants.model import Mutation, defined, mutant
from specsim.validation.mutants.substitutions import changed, substitute
from specsim.validation.mutants.theories import formula, formulas
from specsim.validation.witnesses import Overlay, Witnesses


def enumeration(kind: type[Algorithm]) -> Callable[[Callable[..., Any]], Mutation]:
    """Return what enumerates ``change(algorithm)`` wherever `kind` is asked for."""

    def mutation(change: Callable[..., Any]) -> Mutation:
        def apply(right: Witnesses) -> Witnesses:
            def enumerate_outcomes(pair: Any, algorithm: Algorithm, **options: Any) -> Any:
                changed = change(algorithm) if isinstance(algorithm, kind) else algorithm
                return right.enumerate_outcomes(pair, changed, **options)

            return right.replace(enumerate_outcomes=enumerate_outcomes)

        return apply

    return mutation


@mutant(enumeration(Algorithm), cite="2411.00841, section 2: drafts to the horizon")
def enumeration_ignores_draft_length(algorithm: Any) -> Any:
    """Enumeration drafts to the horizon whatever the draft length."""
    if algorithm.plain or algorithm.structure(99).depth == 99:
        return algorithm
    finite = {field.name for field in dataclasses.fields(algorithm)} & {"draft_length", "tree"}
    return dataclasses.replace(algorithm, **dict.fromkeys(finite))


@mutant(enumeration(BlockVerification), cite="vllm-project/vllm-ascend#7807")
def enumeration_of_blocks_token_wise(algorithm: BlockVerification) -> Any:
    """Block verification is enumerated token by token."""
    return Speculative(draft_length=algorithm.draft_length, bonus=algorithm.bonus)


@mutant(enumeration(BatchAsPrinted), cite="a counterexample computed with the wrong program")
def erratum_from_corrected_algorithm(algorithm: BatchAsPrinted) -> Any:
    """Algorithm 4 as printed is enumerated with its slips corrected."""
    return Batch(drafts=algorithm.drafts)


@mutant(formula("enumerate_outcomes"), cite="2411.00841, section 2")
def enumeration_forgets_last_call(theory: Any, pair: Any, algorithm: Algorithm, **options: Any) -> Any:
    """Enumeration counts one call for each rejection."""
    outcomes = theory.enumerate_outcomes(pair, algorithm, **options)
    law: dict[Any, Any] = {}
    for outcome, mass in outcomes.law.items():
        counted = outcome._replace(calls=outcome.rejected.bit_count())
        law[counted] = law.get(counted, 0) + mass
    return dataclasses.replace(outcomes, law=law)


@mutant(substitute(Batch), cite="2411.00841, section 2: drafts to the horizon")
def batch_draft_length_ignored(pair: ModelPair, algorithm: Batch) -> Any:
    """A batch drafts to the horizon whatever its draft length."""
    return pair, dataclasses.replace(algorithm, draft_length=None)


@mutant(formulas, cite="2411.00841 and 2211.17192 use opposite letters for draft and target")
def theory_prefixes_from_draft(theory: Any) -> Any:
    """Theorem 1 averages over prefixes drawn from the draft instead of the target."""

    def exchanged(pair: Any) -> Any:
        # The total variation stays, the prefixes change.
        return changed(pair, target=pair.draft, draft=pair.target)

    def total(pair: Any, **options: Any) -> Any:
        return theory.theorem_1_rejections(exchanged(pair), **options)

    def by_step(pair: Any, **options: Any) -> Any:
        return theory.theorem_1_rejections_by_step(exchanged(pair), **options)

    return {"theorem_1_rejections": total, "theorem_1_rejections_by_step": by_step}


@mutant(formulas, cite="2411.00841, Theorem 9: the index of the residual is misprinted")
def theory_one_draft_more(theory: Any) -> Any:
    """The closed form of the root residual iterates M times where M - 1 are needed."""

    def more(name: str) -> Callable[..., Any]:
        return lambda pair, drafts, **options: getattr(theory, name)(pair, drafts + 1, **options)

    names = ("batch_rejections", "batch_rejections_by_recursion", "batch_rejection_masses")
    return {name: more(name) for name in names}


@mutant(formula("limit_is_positive"), cite="2411.00841, Proposition 1 (4)")
def limit_always_positive(theory: Any, pair: Any, **options: Any) -> Any:
    """The limit of the expected rejections for many drafts is said to be positive always."""
    return True


@mutant(formula("support_condition"), cite="2411.00841, Proposition 1 (2) and (3)")
def support_of_unreached_contexts(theory: Any, pair: Any, **options: Any) -> Any:
    """The support condition looks at contexts that the target never reaches, too."""
    return not ((pair.target > 0) & (pair.draft == 0)).any()


@mutant(formula("check_certificate"), cite="a checker that was never seen to refuse")
def checker_accepts_all(theory: Any, pair: Any, certificate: Any) -> Any:
    """The checker of certificates accepts everything."""
    return True


@mutant(formulas, cite="mlx-lm#1085: acceptance by the ratio without the matching residual")
def member_residual_not_matched(theory: Any) -> Any:
    """Members under the threshold replace rejected tokens from the target row."""
    from specsim.validation.claims.descriptors import rows

    def unmatched(name: str) -> Callable[..., Any]:
        def function(pair: Any, *arguments: Any, **options: Any) -> Any:
            found = getattr(theory, name)(pair, *arguments, **options)
            return dataclasses.replace(found, residual=rows(pair)[0])

        return function

    return {name: unmatched(name) for name in ("member_from_acceptance", "random_unbiased_member")}


@mutant(formula("batch_rejections"), cite="an inverted axis of 2411.00841, Figure 2c")
def theory_fewest_drafts_best(theory: Any, pair: Any, drafts: Any, **options: Any) -> Any:
    """Theorem 3 has fewer rejections for fewer drafts."""
    return theory.batch_rejections(pair, max(1, 13 - drafts), **options)


@mutant(formula("batch_rejections"), cite="2411.00841, Theorem 3: the base case is not printed")
def base_case_ignored(theory: Any, pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
    """The counterexample to f(empty) = 0 is computed with f(empty) = 1."""
    return theory.batch_rejections(pair, drafts, **options)


@mutant(formula("batch_rejection_masses"), cite="2411.00841, proof of Theorem 5: factors 1/2 are missing")
def theory_masses_doubled(theory: Any, pair: Any, drafts: int, **options: Any) -> Any:
    """The masses of equation (22) lack a factor 1/2."""
    return [2 * level for level in theory.batch_rejection_masses(pair, drafts, **options)]


@mutant(formula("lower_bound"), cite="a bound taken from an average over the wrong prefixes")
def bound_too_high(theory: Any, pair: Any, **options: Any) -> Any:
    """The lower bound lies an eighth above the summed distances."""
    bound = theory.lower_bound(pair, **options)
    return dataclasses.replace(bound, value=bound.value * Fraction(9, 8) + Fraction(1, 1024))


@mutant(formula("lower_bound"), cite="a rounded dual solution")
def certificate_tampered(theory: Any, pair: Any, **options: Any) -> Any:
    """Bound and certificate state a value 2^-90 too large."""
    bound = theory.lower_bound(pair, **options)
    certificate = bound.certificate
    tampered = dataclasses.replace(certificate, value=certificate.value + Fraction(1, 2**90))
    return Overlay(bound, certificate=tampered, value=tampered.value)


@mutant(formula("epsilon_from_acceptance"), cite="2411.00841, equation (2)")
def lemma_1_sign(theory: Any, target: Any, draft: Any, acceptance: Any) -> Any:
    """Lemma 1 is written with e = T - a D."""
    # The mistake can leave the range of Lemma 1, where the formula refuses; cut it there.
    return np.maximum(-theory.epsilon_from_acceptance(target, draft, acceptance), -np.asarray(target))


@mutant(formula("over_acceptance_loss"), cite="2411.00841, Theorem 4")
def loss_zero(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    """Over-acceptance is said to lose nothing."""
    return 0 * theory.over_acceptance_loss(target, draft, acceptance, **options)


@mutant(formula("over_acceptance_loss"), cite="2411.00841, proof of Theorem 5: factors 1/2 are missing")
def loss_without_half(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    """The smallest bias lacks its factor 1/2."""
    return 2 * theory.over_acceptance_loss(target, draft, acceptance, **options)


@mutant(formula("optimal_residuals"), cite="2411.00841, remark after Theorem 4")
def optimal_set_too_large(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    """Residuals may put mass where Z is negative."""
    # Forget that r = 0 where Z < 0: caps of 1 there.
    found = theory.optimal_residuals(target, draft, acceptance, **options)
    if found.excess is None:
        return found
    return dataclasses.replace(found, excess=np.array([z if z >= 0 else 1 + 0 * z for z in found.excess]))


@mutant(formula("total_variation"), cite="2411.00841, proof of Theorem 5: factors 1/2 are missing")
def total_variation_without_half(theory: Any, one: Any, other: Any, **options: Any) -> Any:
    """The distance of two rows is the L1 distance."""
    return 2 * theory.total_variation(one, other, **options)


@mutant(formula("front_excess"), cite="2411.00841, Theorem 5 without its condition")
def front_excess_zero(theory: Any, target: Any, draft: Any, acceptance: Any, **options: Any) -> Any:
    """Every acceptance is said to lie on the front."""
    return 0 * theory.front_excess(target, draft, acceptance, **options)


@mutant(formula("pareto_front"), cite="2411.00841, Figure 4")
def region_all_attainable(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    """Every point above the front is said to be attained."""
    front = theory.pareto_front(target, draft, **options)
    return Overlay(
        front,
        attains=front.dominates,
        band=lambda rejection: (front.smallest_bias(rejection), Fraction(1)),
    )


@mutant(formula("over_acceptance_losses"), cite="2411.00841, Appendix G, listing")
def losses_swapped(theory: Any, target: Any, draft: Any, epsilon: Any, **options: Any) -> Any:
    """The biases of the two readings of Decoding-UNO are exchanged."""
    found = theory.over_acceptance_losses(target, draft, epsilon, **options)
    return dataclasses.replace(found, target=found.draft, draft=found.target)


@mutant(formula("sequence_front"), cite="2411.00841, Remark 6: Theorem 5 applied to several tokens")
def front_is_chord(theory: Any, pair: Any, **options: Any) -> Any:
    """The front of whole sequences is taken as the straight line between its ends."""
    front = theory.sequence_front(pair, **options)
    height, length = front.rejections[0], front.joint_total_variation

    def line(bias: Any) -> Any:
        return max(height * (1 - bias / length), 0 * height)

    return Overlay(front, is_linear=True, rejections_at=line, lower_bound_at=line)


@mutant(formula("batch_improvement_uniform"), cite="2411.00841, section 3.3")
def uniform_exponent_shifted(theory: Any, ratio: Any, drafts: Any) -> Any:
    """The uniform example has the exponent M + 1."""
    return theory.batch_improvement_uniform(ratio, drafts + 1)


@mutant(formula("batch_improvement_bernoulli"), cite="2411.00841, section 3.3")
def bernoulli_exponent_shifted(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    """The Bernoulli example has the exponent M instead of M - 1."""
    return theory.batch_improvement_bernoulli(draft, target, drafts + 1)


@mutant(formula("batch_improvement_bernoulli"), cite="2411.00841, section 3.3")
def bernoulli_side_ignored(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    """The Bernoulli example uses u also where u < v."""
    power = draft ** (drafts - 1) if drafts != math.inf else (1 if draft == 1 else 0)
    return abs(draft - target) * (1 - power)


@mutant(formula("batch_improvement_bernoulli"), cite="2411.00841, Figure 3, legend")
def bernoulli_limit_as_drawn(theory: Any, draft: Any, target: Any, drafts: Any) -> Any:
    """The curve of Ber(0.3) is the one drawn under its name."""
    if draft == Fraction(3, 10) and target == Fraction(1, 2):
        return theory.batch_improvement_bernoulli(Fraction(4, 10), target, drafts)
    return theory.batch_improvement_bernoulli(draft, target, drafts)


@mutant(formula("constant_rate_calls"), cite="2411.00841, Remark 2")
def constant_rate_without_last_call(theory: Any, rate: Any, horizon: Any) -> Any:
    """Calls at a constant rejection rate are L b."""
    return horizon * rate


@mutant(formula("shifted_batch_rejections"), cite="2411.00841, Figures 2b, 2c and 5")
def shift_undone(theory: Any, pair: Any, drafts: int, **options: Any) -> Any:
    """The shifted sum is computed without its shift."""
    return theory.batch_rejections(pair, drafts, **options)


MUTANTS = defined(globals())
