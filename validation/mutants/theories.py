"""Wrong theory: formulas with the mistakes that the paper invites or makes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from specsim.algorithms import Batch
from specsim.validation.mutants.model import Mutation, defined, mutant


def formula(*names: str) -> Callable[[Callable[..., Any]], Mutation]:
    """Return what replaces theory functions by ``change(theory, *arguments)``."""

    def mutation(change: Callable[..., Any]) -> Mutation:
        return lambda right: right.replace_theory(**dict.fromkeys(names, partial(change, right.theory)))

    return mutation


def formulas(change: Callable[[Any], dict[str, Callable[..., Any]]]) -> Mutation:
    """Return the mutation that replaces theory functions by those in ``change(theory)``, by name."""
    return lambda right: right.replace_theory(**change(right.theory))


@mutant(formulas, cite="2411.00841, Figures 2b, 2c and 5")
def theory_batch_shifted(theory: Any) -> Any:
    """Theorem 3 pairs the mass rejected at a step with the rows of the same step."""

    def expected(pair: Any, algorithm: Any, **options: Any) -> Any:
        to_horizon = isinstance(algorithm, Batch) and algorithm.draft_length is None
        if to_horizon and algorithm.drafts != float("inf"):
            return theory.shifted_batch_rejections(pair, int(algorithm.drafts), **options)
        return theory.expected_rejections(pair, algorithm, **options)

    def shifted(pair: Any, drafts: int, *, base_case: Any = 1, **options: Any) -> Any:
        return theory.shifted_batch_rejections(pair, drafts, **options)

    return {"batch_rejections": shifted, "expected_rejections": expected}


@mutant(formulas, cite="2411.00841, Theorem 3: the base case is not printed")
def theory_empty_base_case(theory: Any) -> Any:
    """Theorem 3 starts from f(empty prefix) = 0."""
    return _with_option(theory, ("batch_rejections", "batch_rejection_masses"), base_case=0)


@mutant(formulas, cite="2411.00841, Proposition 1 (2) and (3)")
def theory_limit_without_support(theory: Any) -> Any:
    """The limit of many drafts forgets tokens that the draft never proposes."""
    names = ("batch_limit_rejections", "batch_limit_rejection_masses")
    return _with_option(theory, names, support_term=False)


def _with_option(theory: Any, names: tuple[str, ...], **fixed: Any) -> dict[str, Callable[..., Any]]:
    def function(name: str) -> Callable[..., Any]:
        return lambda *arguments, **options: getattr(theory, name)(*arguments, **(options | fixed))

    return {name: function(name) for name in names}


@mutant(formulas, cite="the usual shortcut from a rejection rate per token to a law")
def theory_independent_rejections(theory: Any) -> Any:
    """The number of rejections has the law of independent indicators."""

    def law(pair: Any, algorithm: Any, *, exact: bool = False, **options: Any) -> Any:
        found = np.array([Fraction(1) if exact else 1.0])
        for rate in theory.rejections_by_step(pair, algorithm, exact=exact, **options):
            found = np.convolve(found, np.array([1 - rate, rate]))
        return found

    def variance(pair: Any, algorithm: Any, **options: Any) -> Any:
        return sum(rate * (1 - rate) for rate in theory.rejections_by_step(pair, algorithm, **options))

    return {"rejection_law": law, "rejection_variance": variance}


@mutant(formulas, cite="2411.00841, Algorithm 4 as printed is biased")
def theory_everything_unbiased(theory: Any) -> Any:
    """Every algorithm is said to emit the target's law."""
    return {
        "output_law": lambda pair, algorithm, **options: theory.target_law(pair, **options),
        "output_marginals": lambda pair, algorithm, **options: theory.target_marginals(pair, **options),
    }


@mutant(formula("output_law"), cite="a law read with its last entry first")
def theory_sequences_reversed(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """Sequences are numbered from the other end."""
    return theory.output_law(pair, algorithm, **options)[::-1]


@mutant(formula("theorem_1_rejections"), cite="2411.00841, proof of Theorem 5: factors 1/2 are missing")
def theory_tv_without_half(theory: Any, pair: Any, **options: Any) -> Any:
    """Theorem 1 sums L1 distances instead of total variation distances."""
    return 2 * theory.theorem_1_rejections(pair, **options)


@mutant(formula("expected_target_calls"), cite="2411.00841, section 2")
def theory_calls_are_rejections(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """Expected target calls are the expected rejections."""
    return theory.expected_rejections(pair, algorithm, **options)


@mutant(formula("expected_target_calls"), cite="2411.00841, section 2: the last position may be rejected")
def theory_one_call_more(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """Expected target calls are the expected rejections plus one."""
    return theory.expected_rejections(pair, algorithm, **options) + 1


@mutant(
    formula("rejections_by_step"),
    cite="2411.00841: loops start at n = 0 although the first token is x_1",
    kills=("specsim.laws-speculative", "specsim.laws-k-seq"),
)
def theory_steps_shifted(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """Rejection probabilities belong to the step before."""
    return np.roll(theory.rejections_by_step(pair, algorithm, **options), 1)


@mutant(
    formula("accepted_length_law"),
    cite="2211.17192: a constant acceptance rate",
    kills=("specsim.laws-speculative",),
)
def theory_first_round_is_every_round(theory: Any, pair: Any, algorithm: Any, **options: Any) -> Any:
    """The accepted length of any round has the law of the first round's."""
    return theory.first_accepted_length_law(pair, algorithm, **options)


MUTANTS = defined(globals())
