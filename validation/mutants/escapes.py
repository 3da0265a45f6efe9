"""Wrong theory that leaves a check nothing to compare, or agrees with itself: mutants that once survived."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.theories import formula, formulas
from specsim.validation.witnesses import Overlay


def _doubled(theory: Any, target: Any, draft: Any, acceptance: Any) -> Any:
    return 2 * theory.epsilon_from_acceptance(target, draft, acceptance)


def _halved(theory: Any, target: Any, draft: Any, epsilon: Any) -> Any:
    return theory.acceptance_from_epsilon(target, draft, np.asarray(epsilon) / 2)


def _first_corner(theory: Any, *rows: Any, **options: Any) -> Any:
    found = theory.optimal_residuals(*rows, **options)
    return Overlay(found, vertices=lambda: found.vertices()[:1])


def _attains_all(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    return Overlay(theory.pareto_front(target, draft, **options), attains=lambda bias, rejection: True)


def _wide_band(theory: Any, target: Any, draft: Any, **options: Any) -> Any:
    front = theory.pareto_front(target, draft, **options)

    def band(rejection: Any) -> tuple[Any, Any]:
        return front.smallest_bias(rejection), front.total_variation + rejection

    return Overlay(front, band=band)


def _zero_bound(theory: Any, pair: Any, **options: Any) -> Any:
    return Overlay(theory.sequence_front(pair, **options), lower_bound_at=lambda bias: Fraction(0))


def _zero_losses(theory: Any, target: Any, draft: Any, epsilon: Any, **options: Any) -> Any:
    found = theory.over_acceptance_losses(target, draft, epsilon, **options)
    if len(target) == 4:
        return found
    return Overlay(found, optimal=Fraction(0), target=Fraction(0), draft=Fraction(0))


MUTANTS = (
    Mutant(
        name="lemma-1-both-doubled",
        description="Lemma 1 is written with e twice as large, in both directions: they undo each other.",
        cite="a check by round trip",
        apply=formulas(epsilon_from_acceptance=_doubled, acceptance_from_epsilon=_halved),
        kills=("yin2024.lemma-1",),
    ),
    Mutant(
        name="corners-missing",
        description="One corner of the optimal set is listed.",
        cite="a check that visits what it is given",
        apply=formula("optimal_residuals", _first_corner),
        kills=("yin2024.theorem-4",),
    ),
    Mutant(
        name="front-attains-all",
        description="Every point is said to be attained, those below the front too.",
        cite="a predicate asked where it is true only",
        apply=formula("pareto_front", _attains_all),
        kills=("yin2024.theorem-5-converse",),
    ),
    Mutant(
        name="band-too-wide",
        description="The largest bias at a rejection probability is taken as TV plus it.",
        cite="a bound that nothing attains",
        apply=formula("pareto_front", _wide_band),
        kills=("yin2024.figure-4-region",),
    ),
    Mutant(
        name="sequence-bound-zero",
        description="The lower bound of the front of whole sequences is 0.",
        cite="a bound that nothing attains",
        apply=formula("sequence_front", _zero_bound),
        kills=("yin2024.remark-6",),
    ),
    Mutant(
        name="support-condition-never",
        description="No pair is said to meet the support condition, so that its statement is never compared.",
        cite="a guard that is never open",
        apply=formula("support_condition", lambda theory, pair: False),
        kills=("yin2024.proposition-1-2", "yin2024.proposition-1-3"),
    ),
    Mutant(
        name="losses-zero-off-the-fixture",
        description="The biases of the three decoders are right on rows of four tokens only.",
        cite="a formula tested on one example",
        apply=formula("over_acceptance_losses", _zero_losses),
        kills=("yin2024.listing-uno",),
    ),
)
