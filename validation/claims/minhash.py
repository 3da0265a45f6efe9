"""What is stated about the coupling by weighted MinHash."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from specsim.validation.claims.gumbel import accepted
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, Verdict, decided, equal
from specsim.validation.instances import ROWS_OF_NODES
from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute_rule_in_theory
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


def _acceptance(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for target, draft in ROWS_OF_NODES:
        name = f"T = {', '.join(map(str, target))}; D = {', '.join(map(str, draft))}"
        rows = list(zip(target, draft, strict=True))
        both = sum((min(row) for row in rows), start=Fraction(0))
        either = sum((max(row) for row in rows), start=Fraction(0))
        # After a point of one row alone, the other model draws anew, and may draw the same token.
        by_chance = sum(((t if d > t else d) * abs(d - t) for t, d in rows), start=Fraction(0))
        chance = accepted(witnesses, "minhash", target, draft, 1)
        yield equal(name, chance, (both + by_chance) / either)
        yield decided(
            f"bound, {name}", chance >= both / either, observed=chance, expected=f">= {both / either}"
        )


CLAIMS = (
    Claim(
        id="daliri2024.minhash",
        title="Drafts from the target's random points are accepted with (1 - TV) / (1 + TV) at least",
        statement=(
            "Draft and target take the same point with probability sum min(T, D) / sum max(T, D), which is "
            "(1 - TV) / (1 + TV); they take different points with the same token with sum (T (D - T)_+ + "
            "D (T - D)_+) / sum max(T, D) besides."
        ),
        source="2408.07978",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("acceptance at a node", _acceptance),),
        mutants=("theory-minhash-is-gumbel",),
    ),
)

MUTANTS = (
    Mutant(
        name="theory-minhash-is-gumbel",
        description="Where theory is asked for random points, it computes the coupling by Gumbel noise.",
        cite="2408.07978",
        apply=substitute_rule_in_theory("minhash", "gumbel", "expected_rejections"),
    ),
)
