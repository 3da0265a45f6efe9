"""What is stated about time: sums over rounds, speed-ups, static batches, constant acceptance."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from specsim import (
    Autoregressive,
    Batch,
    BlockVerification,
    Clock,
    ModelPair,
    Speculative,
    get_rule,
)
from specsim.algorithms import Algorithm
from specsim.clocks import to_ticks
from specsim.validation.assertions import Assertion, MeanTest, SimulationRequest
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    equal,
)
from specsim.validation.instances import paper_pairs, sticky_pair, thirds, tiny
from specsim.validation.mutants.model import defined, mutant
from specsim.validation.mutants.theories import formula, formulas
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: One that depends on the length of the context, so that it matters where a round starts.
CLOCK = Clock(
    draft=Fraction(1, 5), overhead=Fraction(1, 10), token=Fraction(1, 10), free=2, context=Fraction(1, 10)
)
ALGORITHMS = (
    Speculative(draft_length=1),
    Speculative(draft_length=2),
    Speculative(draft_length=2, bonus=False),
    BlockVerification(draft_length=2),
    Batch(drafts=2, draft_length=1),
    get_rule("recursive")(tree=(2, 1)),
    Autoregressive(),
)


def _time(algorithm: Algorithm, horizon: int, times: list[Fraction], outcome: Any) -> Fraction:
    """Return the time of one outcome, round by round."""
    total, start = Fraction(0), 0
    for accepted in outcome.accepted_lengths:
        total += times[start]
        whole = accepted == algorithm.structure(horizon - start).depth
        start += accepted
        # After a whole draft a token follows as a bonus, where a position is left; else as a replacement.
        start += (algorithm.whole_bonus and start < horizon) if whole else 1
    return total


def _enumerated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    most = effort.pick(quick=2, standard=4, deep=len(ALGORITHMS))
    for number, pair in enumerate(tiny(effort)):
        for shift in range(most):
            algorithm = ALGORITHMS[(number + shift) % len(ALGORITHMS)]
            times = CLOCK.round_times(algorithm, pair.horizon)
            ticks = to_ticks(times)
            law = [Fraction(0)] * (sum(ticks.counts) + 1)
            for outcome, probability in witnesses.enumerate_outcomes(pair, algorithm).law.items():
                law[int(_time(algorithm, pair.horizon, times, outcome) / ticks.unit)] += probability
            where = f"{algorithm.label} on {pair.name}"
            mean = sum(index * value for index, value in enumerate(law)) * ticks.unit
            yield equal(
                f"law of the time, {where}",
                list(witnesses.theory.time_law(pair, algorithm, CLOCK, exact=True).law),
                law,
            )
            yield equal(
                f"E[time], {where}", witnesses.theory.expected_time(pair, algorithm, CLOCK, exact=True), mean
            )


def _simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    for pair, algorithm in (
        (paper_pairs()[0], Speculative(draft_length=4)),
        (sticky_pair(), BlockVerification(draft_length=3)),
        (sticky_pair(), get_rule("recursive")(tree=(2, 2))),
    ):
        ticks = to_ticks(CLOCK.round_times(algorithm, pair.horizon))
        law = witnesses.theory.time_law(pair, algorithm, CLOCK)
        unit = float(ticks.unit)
        request = SimulationRequest(pair=pair, algorithm=algorithm)

        def observe(dataset: Any, counts: tuple[int, ...] = ticks.counts) -> int:
            rounds = dataset["round_count"].values.sum(axis=1)
            return sum(int(number) * count for number, count in zip(rounds, counts, strict=True))

        yield Assertion(
            label=f"mean time in ticks of {ticks.unit} target calls, {request.label}",
            request=request,
            test=MeanTest(
                mean=float(witnesses.theory.expected_time(pair, algorithm, CLOCK)) / unit,
                variance=float(law.variance()) / unit**2,
                low=0.0,
                high=float(sum(ticks.counts)),
                unit="ticks",
            ),
            observe=observe,
            discrepancy=0.5 / unit * effort.discrepancy_factor,
        )


def _ratio_of_expectations(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in tiny(effort)[:4]:
        algorithm = Speculative(draft_length=2)
        plain = sum(CLOCK.plain_times(pair.horizon))
        time = theory.expected_time(pair, algorithm, CLOCK, exact=True)
        yield equal(
            f"speed-up of many runs on {pair.name}",
            theory.speed_up(pair, algorithm, CLOCK, exact=True),
            plain / time,
        )
    small, algorithm, clock = thirds(4), Speculative(draft_length=3), Clock(draft=Fraction(1, 10))
    outcomes = witnesses.enumerate_outcomes(small, algorithm).law
    times = clock.round_times(algorithm, 4)
    each = {outcome: _time(algorithm, 4, times, outcome) for outcome in outcomes}
    of_means = 4 / sum(each[outcome] * probability for outcome, probability in outcomes.items())
    mean_of_ratios = sum(4 / each[outcome] * probability for outcome, probability in outcomes.items())
    yield equal(
        "mean of ratios, enumerated",
        theory.mean_speed_up(small, algorithm, clock, exact=True),
        mean_of_ratios,
    )
    yield counterexample(
        "draft (2/3, 1/3), target (1/3, 2/3), 4 tokens, 3 drafted at 1/10",
        mean_of_ratios > of_means,
        f"the mean over runs of plain time / time is {mean_of_ratios} = {float(mean_of_ratios):.4f}, but "
        "many runs "
        f"take {of_means} = {float(of_means):.4f} times less time than plain decoding",
        printed=mean_of_ratios,
        exact=of_means,
    )


def _static_batches(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    algorithm, clock = Speculative(draft_length=2), Clock(draft=Fraction(1, 5), token=Fraction(1, 100))
    for pair in tiny(effort)[: effort.pick(quick=3, standard=8, deep=99)]:
        calls = [
            (outcome.calls, probability)
            for outcome, probability in witnesses.enumerate_outcomes(pair, algorithm).law.items()
        ]
        # Two independent runs, pair by pair; no distribution function is used.
        slowest = sum(p * q * max(m, n) for m, p in calls for n, q in calls)
        cost = clock.round_time(algorithm.structure(pair.horizon), 2)
        yield equal(
            f"E[time] of a batch of two on {pair.name}",
            witnesses.theory.static_batch_time(pair, algorithm, clock, batch=2, exact=True),
            slowest * cost,
        )


def _constant_acceptance(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for length in (1, 2, 3):
        algorithm = Speculative(draft_length=length)
        same = thirds(length + 1)
        rate = 1 - theory.theorem_1_rejections(same, horizon=1, exact=True)
        yield equal(
            f"independent tokens, {length} drafted",
            theory.constant_acceptance_tokens(rate, length),
            theory.stationary_block_efficiency(same, algorithm, exact=True),
        )
    agreed, mirrored = [0.0625, 0.9375], [0.9375, 0.0625]
    cases = (
        (
            "the draft is perfect in the first context, poor in the second",
            [agreed, [0.5, 0.5]],
            mirrored,
            False,
        ),
        (
            "the draft is perfect in the first context, opposite in the second",
            [agreed, mirrored],
            agreed,
            True,
        ),
    )
    for name, target, second, over in cases:
        pair = ModelPair.from_probabilities([target], [[agreed, second]], initial=[0.5, 0.5], horizon=8)
        first = 1 - theory.stationary_accepted_length_law(pair, Speculative(draft_length=1), exact=True)[0]
        guess = theory.constant_acceptance_tokens(first, 4)
        true = theory.stationary_block_efficiency(pair, Speculative(draft_length=4), exact=True)
        yield counterexample(
            f"{name}, 4 drafted",
            guess > true if over else guess < true,
            f"from the acceptance {float(first):.4f} of a single draft the formula gives "
            f"{float(guess):.4f} tokens per call for 4, the chain has {float(true):.4f}",
            printed=f"{float(guess):.6f}",
            exact=f"{float(true):.6f}",
        )


@mutant(formula("expected_time"), cite="a time per token instead of one per round")
def theory_rounds_cost_alike(theory: Any, pair: Any, algorithm: Any, clock: Any, **options: Any) -> Any:
    """Every round costs as much as the first one: rounds cut at the end cost less, long contexts more."""
    exact = options.get("exact", False)
    calls = theory.expected_target_calls(pair, algorithm, exact=exact)
    cost = clock.round_times(algorithm, pair.horizon)[0]
    return calls * (cost if exact else float(cost))


@mutant(formula("speed_up"), cite="averages over requests of their speed-ups, in many reports")
def theory_mean_of_ratios(theory: Any, *arguments: Any, **options: Any) -> Any:
    """The speed-up is the mean over runs of plain time / time."""
    return theory.mean_speed_up(*arguments, **options)


@mutant(formulas, cite="a batch is planned by its mean sequence")
def theory_batch_without_waiting(theory: Any) -> Any:
    """A batch takes as long as its mean sequence."""

    def static(pair: Any, algorithm: Any, clock: Any, *, batch: int, **options: Any) -> Any:
        cost = clock.round_time(algorithm.structure(pair.horizon), batch)
        return theory.expected_target_calls(pair, algorithm, **options) * cost

    return {"static_batch_time": static}


@mutant(formula("constant_acceptance_tokens"), cite="calculators that leave the bonus token out")
def theory_no_bonus_in_formula(theory: Any, acceptance: Any, draft_length: int) -> Any:
    """Tokens per call of constant acceptance are counted without the bonus token."""
    return theory.constant_acceptance_tokens(acceptance, draft_length) - acceptance**draft_length


CLAIMS = (
    Claim(
        id="specsim.time-law",
        title="Time is a sum over rounds",
        statement=(
            "By a clock whose rounds cost what their start and draft structure say, E[time] is the sum over "
            "starts of the expected rounds times their cost, and the law of the time is that of a count in "
            "integer ticks; simulation, recursion and enumeration agree."
        ),
        source="docs/plan.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("enumeration", _enumerated), StatisticalCheck("simulation", _simulated)),
        mutants=("theory-rounds-cost-alike", "context-never-advances"),
    ),
    Claim(
        id="specsim.time-speed-up",
        title="The speed-up is the mean of the speed-ups of runs",
        statement="Many runs are faster than plain decoding by the mean over runs of plain time / time.",
        source="common practice; docs/plan.md",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("ratio of expectations", _ratio_of_expectations),),
        mutants=("theory-mean-of-ratios",),
    ),
    Claim(
        id="specsim.time-static-batch",
        title="A static batch waits for its slowest sequence",
        statement=(
            "A batch that ends with its slowest sequence takes the expectation of the largest number of "
            "rounds, "
            "by the power of the distribution function, times the cost of a round."
        ),
        source="docs/plan.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("two runs, outcome by outcome", _static_batches),),
        mutants=("theory-batch-without-waiting",),
    ),
    Claim(
        id="specsim.time-constant-acceptance",
        title="Tokens per call by a constant acceptance",
        statement=(
            "With a the acceptance of a single draft, K drafts emit (1 - a^(K + 1)) / (1 - a) tokens per "
            "call."
        ),
        source="2211.17192, equation 1",
        verdict=Verdict.CONDITION,
        condition="acceptances are independent, with one rate in every context",
        checks=(ExactCheck("independent tokens; chains", _constant_acceptance),),
        mutants=("theory-no-bonus-in-formula",),
    ),
)

MUTANTS = defined(globals())
