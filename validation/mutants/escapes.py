"""Wrong theory that leaves a check nothing to compare, or agrees with itself: mutants that once survived."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from specsim.validation.mutants.model import defined, mutant
from specsim.validation.mutants.theories import formula, formulas
from specsim.validation.witnesses import Overlay


@mutant(formulas, cite="a check by round trip", kills=("yin2024.lemma-1",))
def lemma_1_both_doubled(theory: Any) -> Any:
    """Lemma 1 is written with e twice as large, in both directions: they undo each other."""

    def doubled(target: Any, draft: Any, acceptance: Any) -> Any:
        return 2 * theory.epsilon_from_acceptance(target, draft, acceptance)

    def halved(target: Any, draft: Any, epsilon: Any) -> Any:
        return theory.acceptance_from_epsilon(target, draft, np.asarray(epsilon) / 2)

    return {"epsilon_from_acceptance": doubled, "acceptance_from_epsilon": halved}


@mutant(
    formula("optimal_residuals"), cite="a check that visits what it is given", kills=("yin2024.theorem-4",)
)
def corners_missing(theory: Any, *rows: Any, **options: Any) -> Any:
    """One corner of the optimal set is listed."""
    found = theory.optimal_residuals(*rows, **options)
    return Overlay(found, vertices=lambda: found.vertices()[:1])


@mutant(
    formula("pareto_front"),
    cite="a predicate asked where it is true only",
    kills=("yin2024.theorem-5-converse",),
)
def front_attains_all(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    """Every point is said to be attained, those below the front too."""
    return Overlay(theory.pareto_front(target, draft, **options), attains=lambda bias, rejection: True)


@mutant(formula("pareto_front"), cite="a bound that nothing attains", kills=("yin2024.figure-4-region",))
def band_too_wide(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    """The largest bias at a rejection probability is taken as TV plus it."""
    front = theory.pareto_front(target, draft, **options)

    def band(rejection: Any) -> tuple[Any, Any]:
        return front.smallest_bias(rejection), front.total_variation + rejection

    return Overlay(front, band=band)


@mutant(formula("sequence_front"), cite="a bound that nothing attains", kills=("yin2024.remark-6",))
def sequence_bound_zero(theory: Any, pair: Any, **options: Any) -> Any:
    """The lower bound of the front of whole sequences is 0."""
    return Overlay(theory.sequence_front(pair, **options), lower_bound_at=lambda bias: Fraction(0))


@mutant(
    formula("over_acceptance_losses"), cite="a formula tested on one example", kills=("yin2024.listing-uno",)
)
def losses_zero_off_the_fixture(theory: Any, target: Any, draft: Any, epsilon: Any, **options: Any) -> Any:
    """The biases of the three decoders are right on rows of four tokens only."""
    found = theory.over_acceptance_losses(target, draft, epsilon, **options)
    if len(target) == 4:
        return found
    return Overlay(found, optimal=Fraction(0), target=Fraction(0), draft=Fraction(0))


@mutant(
    formula("support_condition"),
    cite="a guard that is never open",
    kills=("yin2024.proposition-1-2", "yin2024.proposition-1-3"),
)
def support_condition_never(theory: Any, pair: Any) -> Any:
    """No pair is said to meet the support condition, so that its statement is never compared."""
    return False


MUTANTS = defined(globals())
