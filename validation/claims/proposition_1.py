"""Proposition 1: batch speculative decoding with ever more drafts."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from specsim import Batch, ModelPair
from specsim.algorithms import Algorithm
from specsim.validation.builders import mean_check, per_step_check
from specsim.validation.claims.descriptors import rows
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import late_difference, paper_pairs, row_pair, tiny_pairs
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


def outside_support(horizon: int) -> ModelPair:
    """Return independent tokens with draft (1, 0) and target (1/2, 1/2)."""
    return row_pair((0.5, 0.5), (1.0, 0.0), horizon=horizon, name=f"outside the support, horizon {horizon}")


def outside_support_where_nothing_leads() -> ModelPair:
    """Return a pair whose target leaves the draft's support only in a context that it never reaches."""
    inside, outside = ((1.0, 0.0), (0.5, 0.5)), ((0.0, 1.0), (1.0, 0.0))
    return ModelPair.from_probabilities(
        [inside[0], outside[0]],
        [inside[1], outside[1]],
        initial=[1.0, 0.0],
        horizon=3,
        name="outside the support where nothing leads",
    )


def sixteenths(horizon: int) -> ModelPair:
    """Return independent tokens with draft (15/16, 1/16) and target (1/16, 15/16)."""
    return row_pair(
        (0.0625, 0.9375), (0.9375, 0.0625), horizon=horizon, name=f"sixteenths, horizon {horizon}"
    )


def _bounds(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in tiny_pairs(effort.name):
        laws = [theory.target_law(pair, horizon=n, exact=True) for n in range(1, pair.horizon + 1)]
        for drafts in (1, 2, 3, 8, math.inf):
            if drafts == math.inf:
                masses = theory.batch_limit_rejection_masses(pair, exact=True)
            else:
                masses = theory.batch_rejection_masses(pair, drafts, exact=True)
            inside = all(
                0 <= mass <= top
                for level, law in zip(masses, laws, strict=True)
                for mass, top in zip(level, law, strict=True)
            )
            yield decided(f"0 <= f <= target law on every prefix, {drafts} drafts on {pair.name}", inside)
        outcomes = witnesses.enumerate_outcomes(pair, Batch(drafts=2))
        for position in range(1, pair.horizon + 1):
            yield equal(
                f"f is a probability of the run, position {position}, two drafts on {pair.name}",
                theory.batch_rejection_masses(pair, 2, exact=True)[position - 1],
                outcomes.rejected_prefix_masses(position),
            )


def _root_mass(target: Any, draft: Any, drafts: int) -> Fraction:
    """B_M = s_1 ... s_M by the recursion as printed."""
    current, product = list(target), Fraction(1)
    for _ in range(drafts):
        excess = [max(t - d, Fraction(0)) for t, d in zip(current, draft, strict=True)]
        mass = sum(excess, Fraction(0))
        product *= mass
        if not mass:
            break
        current = [value / mass for value in excess]
    return product


def _worst_remainders(pair: ModelPair, drafts: int) -> list[Fraction]:
    """Largest B_M - B_infinity of any context, at every step; B_infinity = T({x: D(x) = 0})."""
    target, draft = rows(pair)
    remainders = []
    for step in range(pair.horizon):
        index = pair.step_index(step)
        remainders.append(
            max(
                _root_mass(t, d, drafts) - sum(t[d == 0], Fraction(0))
                for t, d in zip(target[index], draft[index], strict=True)
            )
        )
    return remainders


def _inside_support(pair: ModelPair) -> bool:
    """Whether the target's support is a subset of the draft's at every prefix that the target can emit."""
    target, draft = rows(pair)
    contexts = {context for context, weight in enumerate(pair.initial) if weight}
    for step in range(pair.horizon):
        index = pair.step_index(step)
        following = set()
        for context in contexts:
            for token, probability in enumerate(target[index, context]):
                if probability and not draft[index, context, token]:
                    return False
                if probability:
                    following.add(int(pair.next_context[context, token]))
        contexts = following
    return True


def _condition(theory: Any, pairs: tuple[ModelPair, ...]) -> Iterator[Comparison]:
    """Decide the condition here too: a guard that is never open would let nothing be compared."""
    pairs = (*pairs, outside_support_where_nothing_leads())
    inside = [_inside_support(pair) for pair in pairs]
    yield equal("support condition of every pair", [theory.support_condition(p) for p in pairs], inside)
    yield decided(
        "pairs inside and outside the condition",
        3 <= sum(inside) < len(pairs),
        observed=f"{sum(inside)} of {len(pairs)}",
        expected="3 or more, and not all",
    )


def _approach(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Bound the sum of |f^M - f^inf| over prefixes of length n by sum_{k<=n} max (B_M - B_inf).

    Both kernels, of accepted and of rejected prefixes, contract.
    """
    theory = witnesses.theory
    for pair in tiny_pairs(effort.name):
        limit = theory.batch_limit_rejection_masses(pair, exact=True)
        for drafts in effort.pick(quick=(4, 24), standard=(4, 32, 64), deep=(4, 32, 128)):
            masses = theory.batch_rejection_masses(pair, drafts, exact=True)
            remainders = _worst_remainders(pair, drafts)
            bound = Fraction(0)
            holds = True
            for level, there, remainder in zip(masses, limit, remainders, strict=True):
                bound += remainder
                holds = holds and sum(abs(a - b) for a, b in zip(level, there, strict=True)) <= bound
            yield decided(
                f"f with {drafts} drafts is within the vanishing remainder of its limit, {pair.name}",
                holds,
                observed=f"remainder {float(bound):.3g}",
                expected="bound kept",
            )


def _item_2(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    yield from _approach(witnesses, effort)
    yield from _condition(theory, tiny_pairs(effort.name))
    for pair in tiny_pairs(effort.name):
        if theory.support_condition(pair):
            yield equal(
                f"the printed recursion is the limit on {pair.name}",
                [list(x) for x in theory.batch_limit_rejection_masses(pair, support_term=False, exact=True)],
                [list(x) for x in theory.batch_limit_rejection_masses(pair, exact=True)],
            )
    pair = outside_support(2)
    printed = theory.batch_limit_rejection_masses(pair, support_term=False, exact=True)
    for drafts in (1, 2, 3, 4):
        masses = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).rejected_prefix_masses(1)
        yield equal(
            f"draft (1, 0), target (1/2, 1/2): f(x_1) with {drafts} drafts",
            masses,
            [Fraction(0), Fraction(1, 2)],
        )
    limit = theory.batch_limit_rejection_masses(pair, exact=True)
    yield counterexample(
        "draft (1, 0), target (1/2, 1/2)",
        list(printed[0]) != list(limit[0]) and list(limit[0]) == [0, Fraction(1, 2)],
        "the second token is never drafted, so for every number of drafts it is written after a rejection "
        f"with probability {limit[0][1]}; the printed recursion gives {printed[0][1]}",
        printed=printed[0][1],
        exact=limit[0][1],
    )


def _item_3(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    yield from _condition(theory, tiny_pairs(effort.name))
    for pair in tiny_pairs(effort.name):
        limit = theory.batch_limit_rejections(pair, exact=True)
        masses = theory.batch_limit_rejection_masses(pair, exact=True)
        yield equal(
            f"limit of E[rejections] is the sum of the masses on {pair.name}",
            limit,
            sum((sum(level, Fraction(0)) for level in masses), Fraction(0)),
        )
        yield equal(
            f"limit of E[rejections] by the law functions on {pair.name}",
            theory.expected_rejections(pair, Batch(drafts=math.inf), exact=True),
            limit,
        )
        if theory.support_condition(pair):
            yield equal(
                f"the printed formula is the limit on {pair.name}",
                theory.batch_limit_rejections(pair, support_term=False, exact=True),
                limit,
            )
    pair = outside_support(1)
    values = [
        witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections()
        for drafts in (1, 2, 3, 4)
    ]
    yield equal("draft (1, 0), target (1/2, 1/2), 1 to 4 drafts", values, [Fraction(1, 2)] * 4)
    printed = theory.batch_limit_rejections(pair, support_term=False, exact=True)
    limit = theory.batch_limit_rejections(pair, exact=True)
    yield counterexample(
        "draft (1, 0), target (1/2, 1/2), horizon 1",
        printed != limit and limit == values[-1],
        f"{limit} expected rejections for every number of drafts; the printed limit is {printed}",
        printed=printed,
        exact=limit,
    )


def _item_4(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pair = sixteenths(1)
    values = [theory.batch_rejections(pair, drafts, exact=True) for drafts in (1, 5, 20, 80, 320)]
    for drafts in (1, 2, 3, 4):
        yield equal(
            f"E[rejections] with {drafts} drafts, horizon 1",
            witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections(),
            theory.batch_rejections(pair, drafts, exact=True),
        )
    limit = theory.batch_limit_rejections(pair, exact=True)
    shown = ", ".join(f"{float(value):.3g}" for value in values)
    yield counterexample(
        "draft (15/16, 1/16), target (1/16, 15/16), horizon 1",
        limit == 0
        and values[-1] == Fraction(7, 8) * Fraction(15, 16) ** 319
        and not theory.limit_is_positive(pair),
        f"with 1, 5, 20, 80, 320 drafts {shown} expected rejections; exactly 7/8 (15/16)^(M-1), which tends "
        f"to {limit}",
        printed="a positive limit",
        exact=limit,
    )
    for case in tiny_pairs(effort.name):
        later = theory.theorem_1_rejections_by_step(case, exact=True)[1:]
        if theory.support_condition(case):
            yield equal(
                f"with the support condition: the limit is positive iff a later TV_n is, {case.name}",
                bool(theory.limit_is_positive(case)),
                bool(sum(later) > 0),
            )
    yield decided(
        "a difference at the third position alone leaves a positive limit",
        theory.batch_limit_rejections(late_difference(), exact=True) > 0,
        observed=theory.batch_limit_rejections(late_difference(), exact=True),
    )


def _many_drafts(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    drafts = effort.pick(quick=400, standard=2000, deep=20_000)
    yield paper_pairs()[0], Batch(drafts=drafts)
    yield outside_support(6), Batch(drafts=64)


def _vanishing(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for drafts in (1, 20, 80):
        yield sixteenths(1), Batch(drafts=drafts)


def _printed_limit(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> float:
    return float(witnesses.theory.batch_limit_rejections(pair, support_term=False))


CLAIMS = (
    Claim(
        id="yin2024.proposition-1-1",
        title="f is bounded by the target's law",
        statement="0 <= f(x_{1:n}) <= T(x_{1:n}) for every number of drafts, and in the limit.",
        source="2411.00841, Proposition 1 (1)",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("every prefix", _bounds),),
        mutants=("theory-empty-base-case", "theory-masses-doubled"),
    ),
    Claim(
        id="yin2024.proposition-1-2",
        title="Limit of f for ever more drafts",
        statement="f tends to (T_n - D_n)_+(x_n) [T(x_{1:n-1}) - f(x_{1:n-1})].",
        source="2411.00841, Proposition 1 (2)",
        verdict=Verdict.CONDITION,
        condition="the target's support lies in the draft's",
        checks=(ExactCheck("limit, and where the condition fails", _item_2),),
        mutants=("theory-limit-without-support", "support-of-unreached-contexts"),
    ),
    Claim(
        id="yin2024.proposition-1-3",
        title="Limit of the expected rejections",
        statement="E[rejections] tends to sum_n (E_target[TV_n] - E_f[TV_n]) with the limit f.",
        source="2411.00841, Proposition 1 (3)",
        verdict=Verdict.CONDITION,
        condition="the target's support lies in the draft's",
        checks=(
            ExactCheck("limit, and where the condition fails", _item_3),
            mean_check("many drafts", _many_drafts, discrepancy=0.1),
            mean_check(
                "simulation misses the printed limit outside the condition",
                lambda effort: ((outside_support(6), Batch(drafts=64)),),
                discrepancy=0.05,
                excluded=_printed_limit,
            ),
        ),
        mutants=("theory-limit-without-support",),
    ),
    Claim(
        id="yin2024.proposition-1-4",
        title="The limit is not zero",
        statement="For ever more drafts the expected rejections stay above a positive number.",
        source="2411.00841, Proposition 1 (4)",
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("counterexample, and when it holds", _item_4),
            per_step_check("simulation", _vanishing, discrepancy=0.02),
        ),
        mutants=("limit-always-positive", "theory-one-draft-more"),
    ),
)
