"""The two single-token examples of the batch improvement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from specsim import Batch, ModelPair
from specsim.algorithms import Algorithm
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.builders import per_step_check
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import row_pair
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


def _uniform_rows(size: int, part: int) -> tuple[list[Fraction], list[Fraction]]:
    target = [Fraction(1, part)] * part + [Fraction(0)] * (size - part)
    return target, [Fraction(1, size)] * size


def _uniform(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for size, part in ((2, 1), (3, 2), (4, 1), (4, 3), (6, 2), (6, 6)):
        target, draft = _uniform_rows(size, part)
        ratio = Fraction(size, part)
        pair = RationalPair.independent(target, draft, horizon=1)
        plain = 1 - 1 / ratio
        for drafts in (1, 2, 3):
            rejected = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections()
            yield equal(
                f"{drafts} drafts, {size} tokens, target on {part}",
                theory.batch_improvement_uniform(ratio, drafts),
                plain - rejected,
            )
        for many in (1, 2, 7, 40, math.inf):
            yield equal(
                f"formula against the root masses, ratio {ratio}, {many} drafts",
                theory.batch_improvement_uniform(ratio, many),
                theory.batch_improvement_of_rows(target, draft, many),
            )
        yield equal(
            f"limit for many drafts, ratio {ratio}",
            theory.batch_improvement_uniform(ratio, math.inf),
            plain,
        )
    for large in (10, 1000, 10**6):
        for drafts in (2, 5):
            value = theory.batch_improvement_uniform(large, drafts)
            leading = Fraction(drafts - 1, large)
            yield decided(
                f"about (M - 1) / ratio for a large ratio: ratio {large}, {drafts} drafts",
                0 <= leading - value <= Fraction(drafts**2, large**2),
                observed=value,
                expected=f"{leading} up to {drafts**2}/{large}^2",
            )


def _uniform_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for size, part in ((32, 4), (64, 32)):
        target, draft = _uniform_rows(size, part)
        pair = row_pair(
            tuple(float(x) for x in target),
            tuple(float(x) for x in draft),
            horizon=1,
            name=f"uniform on {size}, target on {part}",
        )
        for drafts in effort.pick(quick=(1, 5), standard=(1, 2, 5, 20), deep=(1, 2, 5, 20, 100, 1000)):
            yield pair, Batch(drafts=drafts)


def _uniform_rejection(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> list[float]:
    ratio = Fraction(pair.tokens, int((pair.target[0, 0] > 0).sum()))
    improvement = witnesses.theory.batch_improvement_uniform(ratio, algorithm.drafts)
    return [float(1 - 1 / ratio - improvement)]


def _bernoulli(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    values = [Fraction(k, 10) for k in (0, 1, 3, 5, 7, 9, 10)]
    for u in values:
        for v in values:
            pair = RationalPair.independent([1 - v, v], [1 - u, u], horizon=1)
            for drafts in (1, 2, 3):
                rejected = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections()
                yield equal(
                    f"draft Ber({u}), target Ber({v}), {drafts} drafts",
                    theory.batch_improvement_bernoulli(u, v, drafts),
                    abs(u - v) - rejected,
                )
            if u >= v:
                for drafts in (1, 4, 17):
                    yield equal(
                        f"printed |u - v| (1 - u^(M-1)), u = {u}, v = {v}, M = {drafts}",
                        theory.batch_improvement_bernoulli(u, v, drafts),
                        abs(u - v) * (1 - u ** (drafts - 1)),
                    )
            for many in (5, 64, math.inf):
                yield equal(
                    f"formula against the root masses, u = {u}, v = {v}, {many} drafts",
                    theory.batch_improvement_bernoulli(u, v, many),
                    theory.batch_improvement_of_rows([1 - v, v], [1 - u, u], many),
                )


def _bernoulli_order(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    u, v, drafts = Fraction(1, 10), Fraction(1, 2), 3
    pair = RationalPair.independent([1 - v, v], [1 - u, u], horizon=1)
    rejected = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections()
    truth = abs(u - v) - rejected
    printed = abs(u - v) * (1 - u ** (drafts - 1))
    yield equal("with 1 - u instead of u", witnesses.theory.batch_improvement_bernoulli(u, v, drafts), truth)
    yield counterexample(
        "draft Ber(1/10), target Ber(1/2), three drafts",
        printed != truth and truth == abs(u - v) * (1 - (1 - u) ** (drafts - 1)),
        f"for u < v the formula needs 1 - u instead of u: it prints {printed}, enumeration gives {truth}",
        printed=printed,
        exact=truth,
    )


def _bernoulli_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    # The curves of Figure 3, upper panel, with their first probabilities rounded to multiples of 2^-32.
    for u in (0.1, 0.65, 0.95):
        pair = row_pair((0.5, 0.5), (1 - u, u), horizon=1, name=f"draft Ber({u}), target Ber(0.5)")
        for drafts in effort.pick(quick=(2, 10), standard=(1, 2, 10, 50), deep=(1, 2, 5, 10, 50, 250)):
            yield pair, Batch(drafts=drafts)


def _bernoulli_rejection(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> list[float]:
    u, v = float(pair.draft[0, 0, 1]), float(pair.target[0, 0, 1])
    return [abs(u - v) - float(witnesses.theory.batch_improvement_bernoulli(u, v, algorithm.drafts))]


def _legend(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    half = Fraction(1, 2)
    drawn = {
        Fraction(1, 10): Fraction(40, 100),
        Fraction(2, 10): Fraction(30, 100),
        Fraction(65, 100): Fraction(15, 100),
        Fraction(85, 100): Fraction(35, 100),
        Fraction(95, 100): Fraction(45, 100),
    }
    for u, limit in drawn.items():
        yield equal(
            f"drawn limit of the curve Ber({float(u)})",
            theory.batch_improvement_bernoulli(u, half, math.inf),
            limit,
        )
    truth = theory.batch_improvement_bernoulli(Fraction(3, 10), half, math.inf)
    rightful = [theory.batch_improvement_bernoulli(Fraction(k, 10), half, math.inf) for k in (4, 6)]
    pair = RationalPair.independent([half, half], [Fraction(7, 10), Fraction(3, 10)], horizon=1)
    plain = witnesses.enumerate_outcomes(pair, Batch(drafts=1)).expected_rejections()
    yield equal("the limit is the total variation distance of Ber(0.3) and Ber(0.5)", truth, plain)
    yield counterexample(
        "curve labelled Ber(0.3), target Ber(0.5)",
        truth == Fraction(1, 5) and rightful == [Fraction(1, 10)] * 2,
        f"the curve is drawn with the limit 0.10; Ber(0.3) has the limit {truth}, and 0.10 belongs to "
        "Ber(0.4) or Ber(0.6)",
        printed=Fraction(1, 10),
        exact=truth,
    )


CLAIMS = (
    Claim(
        id="yin2024.example-uniform",
        title="Batch improvement, uniform rows",
        statement=(
            "For a draft uniform on V and a target uniform on V' in V with |V|/|V'| = r, the improvement is "
            "(1 - 1/r) - (1 - 1/r)^M, which tends to 1 - 1/r for many drafts and vanishes for large r."
        ),
        source="2411.00841, section 3.3, first example, and Figure 3",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration and limits", _uniform),
            per_step_check("simulation", _uniform_cases, discrepancy=0.005, expected=_uniform_rejection),
        ),
        mutants=("one-draft-fewer", "uniform-exponent-shifted"),
    ),
    Claim(
        id="yin2024.example-bernoulli",
        title="Batch improvement, Bernoulli rows",
        statement="For a draft Ber(u) and a target Ber(v) the improvement is |u - v| (1 - u^(M-1)).",
        source="2411.00841, section 3.3, second example, and Figure 3",
        verdict=Verdict.CONDITION,
        condition="u >= v; for u < v with 1 - u instead of u",
        checks=(
            ExactCheck("enumeration", _bernoulli),
            ExactCheck("u < v", _bernoulli_order),
            per_step_check("simulation", _bernoulli_cases, discrepancy=0.005, expected=_bernoulli_rejection),
        ),
        mutants=("one-draft-fewer", "bernoulli-exponent-shifted", "bernoulli-side-ignored"),
    ),
    Claim(
        id="yin2024.figure-3-legend",
        title="The legend Ber(0.3) of Figure 3",
        statement="With target Ber(0.5) the curve of the draft Ber(0.3) tends to 0.10.",
        source="2411.00841, Figure 3, right, upper panel",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("limits of the six curves", _legend),),
        mutants=("bernoulli-limit-as-drawn",),
    ),
)
