"""What is stated about a draw from the target for every child."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from specsim import get_rule
from specsim.theory import RationalPair
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, Verdict, equal
from specsim.validation.instances import FOUR_TOKENS, ROWS_OF_NODES
from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute_rule_in_theory
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


def _bias(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for target, draft in ROWS_OF_NODES:
        pair = RationalPair.independent(target, draft, horizon=1)
        rows = list(zip(target, draft, strict=True))
        missed = 1 - sum((t * d for t, d in rows), start=Fraction(0))
        for drafts in (1, 2, 3):
            algorithm = get_rule("naive-draws")(drafts=drafts, draft_length=1)
            law = witnesses.theory.output_law(pair, algorithm, exact=True)
            distance = sum(abs(a - b) for a, b in zip(law, target, strict=True)) / 2
            later = sum(missed**k for k in range(1, drafts))
            gained = (
                sum(abs(t * (d * (1 + later) + missed ** (drafts - 1) * (1 - d) - 1)) for t, d in rows) / 2
            )
            if (target, draft, drafts) == (*FOUR_TOKENS, 2):
                yield equal("2 drafts, the printed rows", distance, Fraction(9, 160))
            yield equal(f"{drafts} drafts, distance from T = {', '.join(map(str, target))}", distance, gained)


CLAIMS = (
    Claim(
        id="specsim.naive-draws-bias",
        title="One target draw per branch is biased from two branches on",
        statement=(
            "With m = 1 - sum T D the output has T (D (1 + m + ... + m^(K-1)) + m^(K-1) (1 - D)), which is T "
            "for K = 1 alone, unless D is the same for all tokens of T: 9/160 away from T for K = 2 on the "
            "rows (1/2, 3/10, 3/20, 1/20) and (1/5, 9/20, 1/10, 1/4)."
        ),
        source="foundation-model-stack/fms-extras#12",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("bias", _bias),),
        mutants=("theory-naive-draws-is-match",),
    ),
)

MUTANTS = (
    Mutant(
        name="theory-naive-draws-is-match",
        description="Where theory is asked for a draw per child, it computes one draw for all.",
        cite="foundation-model-stack/fms-extras#12",
        apply=substitute_rule_in_theory("naive-draws", "match", "output_law"),
    ),
)
