"""What is stated about the coupling by shared Gumbel noise."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from specsim import get_rule
from specsim.theory import RationalPair
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, Verdict, decided, equal
from specsim.validation.instances import ROWS_OF_NODES
from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute_rule_in_theory
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


def accepted(witnesses: Witnesses, rule: str, target: Any, draft: Any, drafts: int) -> Fraction:
    """Return the probability that one of several drafts of one token is accepted."""
    pair = RationalPair.independent(target, draft, horizon=1)
    algorithm = get_rule(rule)(drafts=drafts, draft_length=1)
    rejected: Fraction = witnesses.theory.expected_rejections(pair, algorithm, exact=True)
    return 1 - rejected


def _printed(target: Any, draft: Any, drafts: int) -> Fraction:
    """Return ``sum_i K / sum_j (max(T_j / T_i, D_j / D_i) + (K - 1) T_j / T_i)`` over tokens of both rows."""
    found = Fraction(0)
    for t, d in zip(target, draft, strict=True):
        if t and d:
            below = sum(max(a / t, b / d) for a, b in zip(target, draft, strict=True))
            found += Fraction(drafts) / (below + (drafts - 1) / t)
    return found


def _acceptance(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for target, draft in ROWS_OF_NODES:
        name = f"T = {', '.join(map(str, target))}; D = {', '.join(map(str, draft))}"
        chance = accepted(witnesses, "gumbel", target, draft, 1)
        yield equal(f"one draft, {name}", chance, _printed(target, draft, 1))
        for drafts in range(2, effort.pick(quick=3, standard=4, deep=5)):
            chance, least = (
                accepted(witnesses, "gumbel", target, draft, drafts),
                _printed(target, draft, drafts),
            )
            yield decided(
                f"{drafts} drafts, {name}", chance >= least, observed=chance, expected=f">= {least}"
            )


CLAIMS = (
    Claim(
        id="daliri2024.gumbel",
        title="Drafts with the target's Gumbel noise are accepted as the formula says",
        statement=(
            "One draft is accepted with probability sum_i 1 / sum_j max(T_j / T_i, D_j / D_i); one of K with "
            "at least sum_i K / sum_j (max(T_j / T_i, D_j / D_i) + (K - 1) T_j / T_i)."
        ),
        source="2408.07978; lists: 2506.05632",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("acceptance at a node", _acceptance),),
        mutants=("theory-gumbel-is-minhash",),
    ),
)

MUTANTS = (
    Mutant(
        name="theory-gumbel-is-minhash",
        description="Where theory is asked for Gumbel noise, it computes the coupling by random points.",
        cite="2408.07978",
        apply=substitute_rule_in_theory("gumbel", "minhash", "expected_rejections"),
    ),
)
