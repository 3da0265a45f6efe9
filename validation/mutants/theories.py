"""Wrong theory: formulas with the mistakes that the paper invites or makes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.algorithms import Batch
from specsim.validation.mutants.model import Mutant
from specsim.validation.witnesses import Witnesses


def formula(name: str, change: Callable[..., Any]) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that replaces the theory function `name` by ``change(theory, *arguments)``."""

    def apply(witnesses: Witnesses) -> Witnesses:
        theory = witnesses.theory
        return witnesses.replace_theory(
            **{name: lambda *arguments, **options: change(theory, *arguments, **options)}
        )

    return apply


def formulas(**changes: Callable[..., Any]) -> Callable[[Witnesses], Witnesses]:
    """Return a mutation that replaces several theory functions at once."""

    def apply(witnesses: Witnesses) -> Witnesses:
        for name, change in changes.items():
            witnesses = formula(name, change)(witnesses)
        return witnesses

    return apply


def _shifted(theory: Any, pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
    return theory.shifted_batch_rejections(pair, drafts, **options)


def _shifted_expectation(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    if isinstance(algorithm, Batch) and algorithm.draft_length is None and algorithm.drafts != float("inf"):
        return theory.shifted_batch_rejections(pair, int(algorithm.drafts), **options)
    return theory.expected_rejections(pair, algorithm, **options)


def _empty_base(theory: Any, pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
    return theory.batch_rejections(pair, drafts, base_case=0, **options)


def _empty_base_masses(theory: Any, pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
    return theory.batch_rejection_masses(pair, drafts, base_case=0, **options)


def _no_half(theory: Any, pair: Any, **options: Any) -> Any:
    return 2 * theory.theorem_1_rejections(pair, **options)


def _no_support_term(theory: Any, pair: Any, *, support_term: bool = True, **options: Any) -> Any:
    return theory.batch_limit_rejections(pair, support_term=False, **options)


def _no_support_term_masses(theory: Any, pair: Any, *, support_term: bool = True, **options: Any) -> Any:
    return theory.batch_limit_rejection_masses(pair, support_term=False, **options)


def _calls_are_rejections(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return theory.expected_rejections(pair, algorithm, **options)


def _one_call_more(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return theory.expected_rejections(pair, algorithm, **options) + 1


def _independent_law(theory: Any, pair: Any, algorithm: Any, *, exact: bool = False, **options: Any) -> Any:
    """Law of the sum of independent indicators with the right probability at each step."""
    steps = theory.rejections_by_step(pair, algorithm, exact=exact, **options)
    law = [Fraction(1) if exact else 1.0]
    for probability in steps:
        padded = [*law, law[0] * 0]
        law = [
            mass * (1 - probability) + (padded[count - 1] * probability if count else mass * 0)
            for count, mass in enumerate(padded)
        ]
    return np.array(law, dtype=object if exact else np.float64)


def _independent_variance(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    steps = theory.rejections_by_step(pair, algorithm, **options)
    return sum(probability * (1 - probability) for probability in steps)


def _late_steps(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return np.roll(theory.rejections_by_step(pair, algorithm, **options), 1)


def _target_output(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return theory.target_law(pair, **options)


def _target_output_marginals(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return theory.target_marginals(pair, **options)


def _accepted_per_run(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """Return the law of the first round's accepted length where that of a round picked among all is meant."""
    return theory.first_accepted_length_law(pair, algorithm, **options)


def _reversed_sequences(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    return theory.output_law(pair, algorithm, **options)[::-1]


MUTANTS = (
    Mutant(
        name="theory-sequences-reversed",
        description="Sequences are numbered from the other end.",
        cite="a law read with its last entry first",
        apply=formula("output_law", _reversed_sequences),
    ),
    Mutant(
        name="theory-batch-shifted",
        description="Theorem 3 pairs the mass rejected at a step with the rows of the same step.",
        cite="2411.00841, Figures 2b, 2c and 5",
        apply=formulas(batch_rejections=_shifted, expected_rejections=_shifted_expectation),
    ),
    Mutant(
        name="theory-empty-base-case",
        description="Theorem 3 starts from f(empty prefix) = 0.",
        cite="2411.00841, Theorem 3: the base case is not printed",
        apply=formulas(batch_rejections=_empty_base, batch_rejection_masses=_empty_base_masses),
    ),
    Mutant(
        name="theory-tv-without-half",
        description="Theorem 1 sums L1 distances instead of total variation distances.",
        cite="2411.00841, proof of Theorem 5: factors 1/2 are missing",
        apply=formula("theorem_1_rejections", _no_half),
    ),
    Mutant(
        name="theory-limit-without-support",
        description="The limit of many drafts forgets tokens that the draft never proposes.",
        cite="2411.00841, Proposition 1 (2) and (3)",
        apply=formulas(
            batch_limit_rejections=_no_support_term, batch_limit_rejection_masses=_no_support_term_masses
        ),
    ),
    Mutant(
        name="theory-calls-are-rejections",
        description="Expected target calls are the expected rejections.",
        cite="2411.00841, section 2",
        apply=formula("expected_target_calls", _calls_are_rejections),
    ),
    Mutant(
        name="theory-one-call-more",
        description="Expected target calls are the expected rejections plus one.",
        cite="2411.00841, section 2: the last position may be rejected",
        apply=formula("expected_target_calls", _one_call_more),
    ),
    Mutant(
        name="theory-independent-rejections",
        description="The number of rejections has the law of independent indicators.",
        cite="the usual shortcut from a rejection rate per token to a law",
        apply=formulas(rejection_law=_independent_law, rejection_variance=_independent_variance),
    ),
    Mutant(
        name="theory-steps-shifted",
        description="Rejection probabilities belong to the step before.",
        cite="2411.00841: loops start at n = 0 although the first token is x_1",
        apply=formula("rejections_by_step", _late_steps),
        kills=("specsim.laws-speculative", "specsim.laws-k-seq"),
    ),
    Mutant(
        name="theory-everything-unbiased",
        description="Every algorithm is said to emit the target's law.",
        cite="2411.00841, Algorithm 4 as printed is biased",
        apply=formulas(output_law=_target_output, output_marginals=_target_output_marginals),
    ),
    Mutant(
        name="theory-first-round-is-every-round",
        description="The accepted length of any round has the law of the first round's.",
        cite="2211.17192: a constant acceptance rate",
        apply=formula("accepted_length_law", _accepted_per_run),
        kills=("specsim.laws-speculative",),
    ),
)
