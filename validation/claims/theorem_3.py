"""Theorem 3: expected rejections of batch speculative decoding, equation (22), losslessness, monotonicity."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from specsim import Batch, ModelPair
from specsim.algorithms import Algorithm
from specsim.validation.builders import law_check, lossless_check, mean_check, per_step_check
from specsim.validation.claims.plans import lossless_at_size
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import large_pairs, paper_pairs, small_trees, thirds, tiny_pairs
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Exact values on independent tokens with draft (2/3, 1/3), target (1/3, 2/3): rejections and calls.
KNOWN = {
    (2, 2): (Fraction(43, 81), Fraction(11, 9)),
    (3, 2): (Fraction(605, 729), Fraction(124, 81)),
    (4, 2): (Fraction(7414, 6561), Fraction(1334, 729)),
    (2, 3): (Fraction(331, 729), Fraction(31, 27)),
    (3, 3): (Fraction(14383, 19683), Fraction(1060, 729)),
    (4, 3): (Fraction(538258, 531441), Fraction(34066, 19683)),
}


def _drafts(effort: Effort) -> tuple[int, ...]:
    return effort.pick(quick=(1, 2, 3), standard=(1, 2, 3, 4), deep=(1, 2, 3, 4, 5))


def _rejections(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in tiny_pairs(effort.name):
        for drafts in _drafts(effort):
            outcomes = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts))
            where = f"{drafts} drafts on {pair.name}"
            yield equal(
                f"E[rejections], {where}",
                theory.batch_rejections(pair, drafts, exact=True),
                outcomes.expected_rejections(),
            )
            yield equal(
                f"E[R_n] by the recursion without normalisation, {where}",
                theory.batch_rejections_by_recursion(pair, drafts, exact=True),
                outcomes.rejections_by_step(),
            )
        yield equal(
            f"one draft is Theorem 1, {pair.name}",
            theory.batch_rejections(pair, 1, exact=True),
            theory.theorem_1_rejections(pair, exact=True),
        )


def _known_values(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for (horizon, drafts), (rejections, calls) in KNOWN.items():
        pair = thirds(horizon)
        where = f"draft (2/3, 1/3), target (1/3, 2/3), horizon {horizon}, {drafts} drafts"
        yield equal(f"E[rejections], {where}", theory.batch_rejections(pair, drafts, exact=True), rejections)
        yield equal(
            f"E[calls], {where}",
            theory.expected_target_calls(pair, Batch(drafts=drafts), exact=True),
            calls,
        )


def _batch_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    short, long = paper_pairs()
    for drafts in effort.pick(quick=(4, 50), standard=(2, 4, 5, 50, 500), deep=(2, 4, 5, 50, 500, 2000)):
        yield short, Batch(drafts=drafts)
    for drafts in effort.pick(quick=(2,), standard=(2, 5, 20), deep=(2, 5, 10, 20, 50, 200)):
        yield long, Batch(drafts=drafts)
    for number, pair in enumerate(large_pairs(effort.name)):
        yield pair, Batch(drafts=2 + number % 4)


def _mean_and_variance(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> tuple[float, float]:
    theory = witnesses.theory
    return theory.batch_rejections(pair, algorithm.drafts), theory.rejection_variance(pair, algorithm)


def _by_step(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> object:
    return witnesses.theory.batch_rejections_by_recursion(pair, algorithm.drafts)


def _equation_22(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        for drafts in _drafts(effort):
            outcomes = witnesses.enumerate_outcomes(pair, Batch(drafts=drafts))
            masses = witnesses.theory.batch_rejection_masses(pair, drafts, exact=True)
            for position in range(1, pair.horizon + 1):
                yield equal(
                    f"f on all prefixes of length {position}, {drafts} drafts on {pair.name}",
                    masses[position - 1],
                    outcomes.rejected_prefix_masses(position),
                )


def _base_case(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for horizon, wrong in ((2, Fraction(17, 27)), (3, Fraction(226, 243)), (4, Fraction(2690, 2187))):
        pair = thirds(horizon)
        truth = witnesses.enumerate_outcomes(pair, Batch(drafts=2)).expected_rejections()
        zero = theory.batch_rejections(pair, 2, base_case=0, exact=True)
        yield equal(f"f(empty) = 1, horizon {horizon}", theory.batch_rejections(pair, 2, exact=True), truth)
        yield equal(f"value with f(empty) = 0, horizon {horizon}", zero, wrong)
        yield counterexample(
            f"draft (2/3, 1/3), target (1/3, 2/3), two drafts, horizon {horizon}",
            zero != truth,
            f"equation (22) without a printed base case: read as 0 (nothing was rejected yet) it gives "
            f"{zero} expected rejections, enumeration gives {truth}; f(empty) = 1 is right, the first "
            "position is a root",
            printed=zero,
            exact=truth,
        )
    for tiny in tiny_pairs(effort.name):
        law = theory.target_law(tiny, horizon=1, exact=True)
        first = theory.batch_rejection_masses(tiny, 2, exact=True)[0]
        yield equal(
            f"the first position is a root: f(x_1) on {tiny.name}",
            witnesses.enumerate_outcomes(tiny, Batch(drafts=2)).rejected_prefix_masses(1),
            first,
        )
        yield decided(
            f"f(x_1) is at most the target's law on {tiny.name}",
            all(mass <= top for mass, top in zip(first, law, strict=True)),
        )


def _base_case_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    yield paper_pairs()[0], Batch(drafts=4)


def _without_base(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> float:
    return float(witnesses.theory.batch_rejections(pair, algorithm.drafts, base_case=0))


def _output_laws(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        target = witnesses.theory.target_law(pair, exact=True)
        algorithms = [Batch(drafts=drafts) for drafts in _drafts(effort)]
        algorithms += [
            Batch(drafts=2, draft_length=1, bonus=False),
            Batch(drafts=3, draft_length=2, bonus=True),
        ]
        for algorithm in algorithms:
            yield equal(
                f"law of the sequence, {algorithm.label} on {pair.name}",
                witnesses.enumerate_outcomes(pair, algorithm).output_law(),
                target,
            )


def _lossless_trees(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for pair in small_trees(effort.name):
        yield pair, Batch(drafts=2)
        yield pair, Batch(drafts=3, draft_length=2, bonus=True)


def _lossless_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    variants = (Batch(drafts=2), Batch(drafts=5), Batch(drafts=3, draft_length=4, bonus=False))
    for number, pair in enumerate((*paper_pairs(), *large_pairs(effort.name))):
        yield pair, variants[number % 3]


def _monotone(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in tiny_pairs(effort.name):
        values = [
            witnesses.enumerate_outcomes(pair, Batch(drafts=drafts)).expected_rejections()
            for drafts in _drafts(effort)
        ]
        values += [theory.batch_rejections(pair, drafts, exact=True) for drafts in range(len(values) + 1, 12)]
        values.append(theory.expected_rejections(pair, Batch(drafts=math.inf), exact=True))
        yield decided(
            f"E[rejections] does not grow with the drafts (1..11, then infinitely many) on {pair.name}",
            all(later <= earlier for earlier, later in pairwise(values)),
            observed=", ".join(f"{float(value):.6g}" for value in values),
            expected="non-increasing",
        )
    for pair in paper_pairs():
        counts = (1, 2, 4, 5, 10, 50, 200, 1000, math.inf)
        floats = [theory.expected_rejections(pair, Batch(drafts=drafts)) for drafts in counts]
        # Neighbouring values differ by at least 0.005, far above rounding.
        yield decided(
            f"strictly fewer rejections with more drafts on {pair.name}",
            all(earlier - later > 1e-6 for earlier, later in pairwise(floats)),
            observed=", ".join(f"{value:.6g}" for value in floats),
            expected="decreasing",
        )


def _one_draft(witnesses: Witnesses, pair: ModelPair, algorithm: Any) -> float:
    return float(witnesses.theory.batch_rejections(pair, max(1, algorithm.drafts // 2)))


def _more_drafts(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    pair = paper_pairs()[0]
    for drafts in effort.pick(quick=(2, 4), standard=(2, 4, 50), deep=(2, 4, 50, 500)):
        yield pair, Batch(drafts=drafts)


def _batch_lengths(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Compare two drafts on the thirds, horizon 4, for draft lengths 1, 2, 3 and unlimited."""
    pair = thirds(4)
    expected = {
        1: (Fraction(8, 9), Fraction(4)),
        2: (Fraction(6994, 6561), Fraction(1754, 729)),
        3: (Fraction(7162, 6561), Fraction(1586, 729)),
        None: (Fraction(7414, 6561), Fraction(1334, 729)),
    }
    for length, (rejections, calls) in expected.items():
        algorithm = Batch(drafts=2, draft_length=length, bonus=False)
        outcomes = witnesses.enumerate_outcomes(pair, algorithm)
        yield equal(f"E[rejections], draft length {length}", outcomes.expected_rejections(), rejections)
        yield equal(f"E[calls], draft length {length}", outcomes.expected_target_calls(), calls)
        yield equal(
            f"E[calls] by theory, draft length {length}",
            witnesses.theory.expected_target_calls(pair, algorithm, exact=True),
            calls,
        )
    unlimited = expected[None][0]
    yield counterexample(
        "draft (2/3, 1/3), target (1/3, 2/3), two drafts, horizon 4",
        expected[1][0] != unlimited and len({value for value, _ in expected.values()}) == 4,
        f"Theorem 3 gives {unlimited}; with draft length 1, 2, 3 there are "
        f"{expected[1][0]}, {expected[2][0]}, {expected[3][0]} expected rejections: more rounds, more roots",
        printed=unlimited,
        exact=expected[1][0],
    )


CLAIMS = (
    Claim(
        id="yin2024.theorem-3",
        title="Expected rejections of batch speculative decoding",
        statement=(
            "With f(empty) = 1, the corrected Algorithm 4 has sum_n E_target[TV_n] minus the improvement "
            "sum_n E_f[TV_n - B_M] expected rejections."
        ),
        source="2411.00841, Theorem 3 (Theorem 9 in Appendix D)",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration", _rejections),
            ExactCheck("known values", _known_values),
            mean_check("mean at size", _batch_at_size, discrepancy=0.1, expected=_mean_and_variance),
            per_step_check("every step", _batch_at_size, discrepancy=0.01, expected=_by_step),
            law_check("law of rejections", _batch_at_size, discrepancy=0.03),
        ),
        mutants=(
            "one-draft-fewer",
            "theory-one-draft-more",
            "theory-batch-shifted",
            "theory-empty-base-case",
            "chain-not-updated",
            "no-restart-after-rejection",
        ),
    ),
    Claim(
        id="yin2024.equation-22",
        title="Equation (22), prefix by prefix",
        statement=(
            "f(x_{1:n}) of equation (22) is the probability that x_{1:n} is emitted and position n rejected."
        ),
        source="2411.00841, Theorem 3, equation (22)",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("every prefix", _equation_22),
            law_check(
                "sequence and rejected positions in simulation",
                lambda effort: ((pair, Batch(drafts=2)) for pair in small_trees(effort.name)),
                statistic="joint_law",
                discrepancy=0.03,
            ),
        ),
        mutants=("theory-empty-base-case", "theory-one-draft-more", "one-draft-fewer", "chain-not-updated"),
    ),
    Claim(
        id="yin2024.theorem-3-base-case",
        title="Base case of Theorem 3",
        statement="Equation (22) defines f without f(empty); nothing was rejected before, so it reads as 0.",
        source="2411.00841, Theorem 3, equation (22)",
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("f(empty) = 1, not 0", _base_case),
            mean_check(
                "simulation misses f(empty) = 0",
                _base_case_at_size,
                discrepancy=0.1,
                expected=_mean_and_variance,
                excluded=_without_base,
            ),
        ),
        mutants=("base-case-ignored", "theory-empty-base-case"),
    ),
    Claim(
        id="yin2024.batch-lossless",
        title="Batch speculative decoding is lossless",
        statement="The corrected Algorithm 4 emits exactly the target's law, for every number of drafts.",
        source="2411.00841, Theorem 3 (Theorem 9 in Appendix D)",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration", _output_laws),
            lossless_check("whole law on small trees", _lossless_trees),
            lossless_at_size("tokens at every step", _lossless_at_size),
        ),
        mutants=("chain-not-updated", "batch-inside-loop", "batch-extra-subtraction"),
    ),
    Claim(
        id="yin2024.batch-monotone",
        title="More drafts, fewer rejections",
        statement="The expected rejections of batch speculative decoding do not grow with the drafts.",
        source="2411.00841, Figure 2c; derived from Theorem 3",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("many numbers of drafts", _monotone),
            mean_check(
                "simulation distinguishes neighbours",
                _more_drafts,
                discrepancy=0.1,
                expected=_mean_and_variance,
                excluded=_one_draft,
            ),
        ),
        mutants=("theory-fewest-drafts-best", "one-draft-fewer"),
    ),
    Claim(
        id="yin2024.batch-draft-length",
        title="Theorem 3 for every draft length",
        statement="Theorem 3 gives the expected rejections of batch decoding for every draft length.",
        source="2411.00841, Theorem 3 with section 2 (drafts to the horizon)",
        verdict=Verdict.CONDITION,
        condition="drafts reach to the horizon",
        checks=(
            ExactCheck("draft lengths 1, 2, 3 and unlimited", _batch_lengths),
            mean_check(
                "short drafts in simulation",
                lambda effort: ((paper_pairs()[0], Batch(drafts=3, draft_length=2, bonus=False)),),
                discrepancy=0.05,
                excluded=lambda witnesses, pair, algorithm: float(
                    witnesses.theory.batch_rejections(pair, algorithm.drafts)  # type: ignore[attr-defined]
                ),
            ),
        ),
        mutants=("batch-draft-length-ignored", "enumeration-ignores-draft-length"),
    ),
)
