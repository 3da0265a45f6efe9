"""Target calls and rejections."""

from collections.abc import Iterator
from fractions import Fraction

from specsim import Batch, ModelPair, OverAcceptance, Speculative, random_pair
from specsim.algorithms import Algorithm
from specsim.validation.builders import law_check, mean_check
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    equal,
)
from specsim.validation.instances import large_pairs, paper_pairs, thirds, tiny_pairs
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

ALGORITHMS = (Speculative(), Batch(drafts=2), Batch(drafts=3), OverAcceptance(epsilon=0.125))


def _identity(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        last = 1 << (pair.horizon - 1)
        for algorithm in ALGORITHMS:
            outcomes = witnesses.enumerate_outcomes(pair, algorithm)
            where = f"{algorithm.label} on {pair.name}"
            yield equal(
                f"calls of every outcome, {where}",
                [outcome.calls for outcome in outcomes.law],
                [
                    outcome.rejected.bit_count() + (0 if outcome.rejected & last else 1)
                    for outcome in outcomes.law
                ],
            )
            yield equal(
                f"E[calls] from rejections, {where}",
                witnesses.theory.calls_from_rejections(pair, algorithm, exact=True),
                witnesses.theory.expected_target_calls(pair, algorithm, exact=True),
            )


def _identity_simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Compare totals: the identity holds run by run, so any simulation obeys it to the last unit."""
    runs = effort.pick(quick=2000, standard=100_000, deep=5_000_000)
    pairs = (paper_pairs()[0], random_pair(contexts=5, horizon=9, family="sparse", seed=701))
    for pair in pairs:
        for algorithm in ALGORITHMS:
            tallies = witnesses.simulate(pair, algorithm, runs=runs, seed=701)
            calls = sum(int(n) * k for k, n in enumerate(tallies["target_call_count"].values))
            rejections = sum(int(n) * k for k, n in enumerate(tallies["rejection_count"].values))
            last = int(tallies["rejections_by_step"].values[-1])
            yield equal(
                f"calls of {runs} runs, {algorithm.label} on {pair.name}", calls, rejections + runs - last
            )


def _at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for number, pair in enumerate((*paper_pairs(), *large_pairs(effort.name))):
        yield pair, (Speculative(), Batch(drafts=2 + number % 4))[number % 2]


def _mean_calls(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> tuple[float, float]:
    law = [float(value) for value in witnesses.theory.target_call_law(pair, algorithm)]
    center = sum(calls * value for calls, value in enumerate(law))
    variance = sum((calls - center) ** 2 * value for calls, value in enumerate(law))
    return float(witnesses.theory.calls_from_rejections(pair, algorithm)), variance


def _printed(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for horizon, algorithm, rejections, calls in (
        (2, Speculative(), Fraction(2, 3), Fraction(4, 3)),
        (4, Speculative(), Fraction(4, 3), Fraction(2)),
        (3, Batch(drafts=2), Fraction(605, 729), Fraction(124, 81)),
    ):
        pair = thirds(horizon)
        outcomes = witnesses.enumerate_outcomes(pair, algorithm)
        where = f"{algorithm.label}, horizon {horizon}"
        yield equal(f"E[rejections], {where}", outcomes.expected_rejections(), rejections)
        yield equal(f"E[calls] enumerated, {where}", outcomes.expected_target_calls(), calls)
        yield equal(
            f"E[calls] by theory, {where}", theory.expected_target_calls(pair, algorithm, exact=True), calls
        )
        yield counterexample(
            f"draft (2/3, 1/3), target (1/3, 2/3), {where}",
            outcomes.expected_target_calls() != rejections,
            f"{rejections} expected rejections but {calls} expected target calls: a run whose last token is "
            "not rejected needs one call more than it has rejections",
            printed=rejections,
            exact=calls,
        )
    same = random_pair(contexts=2, horizon=3, family="equal-rows", density=1.0, seed=7)
    outcomes = witnesses.enumerate_outcomes(same, Speculative())
    yield counterexample(
        "draft equal to target, horizon 3",
        (outcomes.expected_rejections(), outcomes.expected_target_calls()) == (0, 1),
        "with equal rows nothing is rejected and one call is made; horizon / rejections is undefined, "
        "tokens per call is the horizon",
        printed=0,
        exact=1,
    )


def _printed_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    yield paper_pairs()[0], Speculative()
    yield paper_pairs()[0], Batch(drafts=4)


def _rejections(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> float:
    return float(witnesses.theory.expected_rejections(pair, algorithm))


CLAIMS = (
    Claim(
        id="yin2024.calls-identity",
        title="Target calls from rejections",
        statement="calls = rejections + 1{last token not rejected}, run by run, for drafts to the horizon.",
        source="2411.00841, section 2, corrected",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("every outcome", _identity),
            ExactCheck("totals of simulations", _identity_simulated),
            mean_check(
                "mean at size",
                _at_size,
                statistic="expected_target_calls",
                discrepancy=0.1,
                expected=_mean_calls,
            ),
            law_check("law of target calls", _at_size, statistic="target_call_law", discrepancy=0.04),
        ),
        mutants=("last-round-forgotten", "theory-calls-are-rejections", "theory-one-call-more"),
    ),
    Claim(
        id="yin2024.calls-equal-rejections",
        title="Target calls equal rejections",
        statement="The number of target calls is the number of rejections.",
        source="2411.00841, section 2 (inference time, acceleration rate)",
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("one call more", _printed),
            mean_check(
                "simulation",
                _printed_cases,
                statistic="expected_target_calls",
                discrepancy=0.1,
                excluded=_rejections,
            ),
        ),
        mutants=("theory-calls-are-rejections", "last-round-forgotten", "enumeration-forgets-last-call"),
    ),
)
