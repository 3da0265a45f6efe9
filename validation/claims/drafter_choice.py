"""What is stated about choosing a drafter: the printed pair of shapes, break-even, likelihood."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from specsim import Clock, ModelPair, Speculative, blended_draft, chain, random_pair
from specsim.clocks import to_ticks
from specsim.validation.assertions import Assertion, MeanTest, SimulationRequest
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    decided,
    equal,
    near,
)
from specsim.validation.instances import row_pair, tiny
from specsim.validation.mutants.model import defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Tokens per round, milliseconds of a draft step, tokens per second: 12 wide layers, and 24 narrow ones, of
#: 1.3 billion parameters each.
WIDE = (Fraction("3.70"), Fraction("6.69"), Fraction("32.59"))
DEEP = (Fraction("3.81"), Fraction("13.13"), Fraction("23.10"))
#: Half a unit of the last digit printed.
HALF = Fraction(1, 200)

TARGET = (8 / 16, 7 / 16, 1 / 16)
#: Of higher likelihood, and of higher acceptance.
LIKELY, ACCEPTED = (11 / 16, 4 / 16, 1 / 16), (512 / 1024, 511 / 1024, 1 / 1024)
#: Nearer to the target in both respects.
NEAREST = (33 / 64, 27 / 64, 4 / 64)


@cache
def _pair(draft: tuple[float, ...], name: str, horizon: int) -> ModelPair:
    return row_pair(TARGET, draft, horizon=horizon, name=f"drafter {name}")


def _seconds(printed: tuple[Fraction, ...]) -> tuple[Fraction, Fraction, Fraction]:
    """Return tokens per round, milliseconds of a step, tokens per millisecond."""
    return printed[0], printed[1], printed[2] / 1000


def _corners(printed: tuple[Fraction, ...]) -> Iterator[tuple[Fraction, ...]]:
    return itertools.product(*((value - HALF, value + HALF) for value in printed))


def _printed(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    # The solution is monotone in every number, so that its extremes are at the corners of the rounding.
    found = [
        witnesses.theory.implied_round(_seconds(wide), _seconds(deep), exact=True)
        for wide, deep in itertools.product(_corners(WIDE), _corners(DEEP))
    ]
    lengths = [length for length, _ in found]
    inside = [n for n in range(1, 30) if min(lengths) <= n <= max(lengths)]
    yield equal("whole draft lengths that the printed digits allow", inside, [8])
    shared = []
    for name, printed in (("wide", WIDE), ("deep", DEEP)):
        calls = [tokens / rate * 1000 - 8 * step for tokens, step, rate in _corners(printed)]
        shared.append((min(calls), max(calls)))
        yield near(f"milliseconds of a target call, {name}", float(sum(calls) / len(calls)), 60.0, 0.2)
    low, high = max(low for low, _ in shared), min(high for _, high in shared)
    yield decided(
        "one time of a target call serves both",
        low <= high,
        observed=f"{float(low):.2f} to {float(high):.2f} ms",
    )
    for name, (tokens, step, rate) in (("wide", WIDE), ("deep", DEEP)):
        milliseconds = Clock(draft=step / 60).round_time(chain(8)) * 60
        yield near(f"tokens per second, {name}", float(tokens * 1000 / milliseconds), float(rate), 0.05)


def _break_even(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for seed in range(effort.pick(quick=2, standard=6, deep=40)):
        base = random_pair(contexts=3, horizon=9, family="uniform", seed=seed, stationary=True)
        for length, share in ((1, 0.25), (4, 0.75)):
            algorithm = Speculative(draft_length=length)
            better = blended_draft(base, share)
            tokens, others = (
                theory.stationary_block_efficiency(pair, algorithm, exact=True) for pair in (better, base)
            )
            step = theory.break_even_draft(tokens, others, Fraction(1, 10), draft_length=length, exact=True)
            where = f"{length} drafted, {better.name}"
            slower = theory.stationary_speed_up(base, algorithm, Clock(draft=Fraction(1, 10)), exact=True)
            at, below, above = (
                theory.stationary_speed_up(better, algorithm, Clock(draft=step * factor), exact=True)
                for factor in (1, Fraction(99, 100), Fraction(101, 100))
            )
            yield equal(f"as fast at the break-even, {where}", at, slower)
            yield decided(f"order on either side, {where}", above < slower < below)


def _texts(
    pair: ModelPair, context: int, step: int, mass: float, logs: float
) -> Iterator[tuple[float, float]]:
    """Yield the probability of every text of the target from here on, with its draft log-probability."""
    if step == pair.horizon:
        yield mass, logs
        return
    row = pair.step_index(step)
    for token in range(pair.tokens):
        target, draft = (float(rows[row, context, token]) for rows in (pair.target, pair.draft))
        if target:
            more = math.log(draft) if draft else -math.inf
            yield from _texts(
                pair, int(pair.next_context[context, token]), step + 1, mass * target, logs + more
            )


def _likelihood(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny(effort):
        total = 0.0
        for start, probability in enumerate(pair.initial.tolist()):
            if probability:
                total += sum(mass * logs for mass, logs in _texts(pair, start, 0, probability, 0.0))
        found = witnesses.theory.draft_log_likelihood(pair)
        if math.isinf(total):
            yield decided(f"log-likelihood on {pair.name}", found == total, observed=found, expected=total)
        else:
            yield near(f"log-likelihood on {pair.name}", found, total / pair.horizon, 1e-9)


def _order(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pairs = {name: _pair(row, name, 4) for name, row in (("A", LIKELY), ("B", ACCEPTED), ("C", NEAREST))}
    # The target's row in sixteenths: likelihoods to the power of 16, in rationals.
    powers = {
        name: math.prod(Fraction(p) ** n for p, n in zip(pair.draft[0, 0].tolist(), (8, 7, 1), strict=True))
        for name, pair in pairs.items()
    }
    for cost, first, second in (
        ((Fraction(1, 10),) * 2, "A", "B"),
        ((Fraction(1, 2), Fraction(1, 10)), "C", "B"),
    ):
        speed = []
        for name, draft in zip((first, second), cost, strict=True):
            algorithm, clock = Speculative(draft_length=2), Clock(draft=draft)
            outcomes = witnesses.enumerate_outcomes(pairs[name], algorithm)
            rounds = outcomes.round_counts().sum(axis=1).tolist()
            times = clock.round_times(algorithm, 4)
            time = sum(count * each for count, each in zip(rounds, times, strict=True))
            speed.append(theory.speed_up(pairs[name], algorithm, clock, exact=True))
            yield equal(f"speed-up with {name} at {draft}, enumerated", speed[-1], 4 / time)
        yield counterexample(
            f"target (8, 7, 1)/16: {first} at {cost[0]} against {second} at {cost[1]} per draft step",
            powers[first] > powers[second] and speed[0] < speed[1],
            f"{first} has the higher likelihood (KL divergence {_divergence(powers[first]):.4f} against "
            f"{_divergence(powers[second]):.4f}), but a speed-up of {float(speed[0]):.4f} against "
            f"{float(speed[1]):.4f}",
            printed=f"{first} is faster",
            exact=f"{second} is faster",
        )


def _divergence(power: Fraction | int) -> float:
    return sum(t * math.log(t) for t in TARGET) - math.log(power) / 16


def _times(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    algorithm, clock = Speculative(draft_length=4), Clock(draft=Fraction(1, 10))
    pairs = [_pair(LIKELY, "A", 20), _pair(ACCEPTED, "B", 20)]
    ticks = to_ticks(clock.round_times(algorithm, 20))
    unit = float(ticks.unit)
    means = [float(witnesses.theory.expected_time(pair, algorithm, clock)) / unit for pair in pairs]

    def observe(dataset: Any) -> int:
        rounds = dataset["round_count"].values.sum(axis=1)
        return sum(int(number) * count for number, count in zip(rounds, ticks.counts, strict=True))

    for pair, mean, other in zip(pairs, means, means[::-1], strict=True):
        yield Assertion(
            label=f"mean time of {pair.name}, in ticks of {ticks.unit} target calls",
            request=SimulationRequest(pair=pair, algorithm=algorithm),
            test=MeanTest(
                mean=mean,
                variance=float(witnesses.theory.time_law(pair, algorithm, clock).variance()) / unit**2,
                low=0.0,
                high=float(sum(ticks.counts)),
                excluded=other,
                unit="ticks",
            ),
            observe=observe,
            discrepancy=0.2 / unit * effort.discrepancy_factor,
        )


@mutant(formula("implied_round"), cite="engines that run one draft step more than they use")
def theory_one_more_draft_step(theory: Any, *drafters: Any, **options: Any) -> Any:
    """A round of K drafted tokens takes K + 1 draft steps."""
    length, call = theory.implied_round(*drafters, **options)
    return length - 1, call


@mutant(formula("break_even_draft"), cite="costs compared without the target call")
def theory_break_even_by_tokens(theory: Any, tokens: Any, others: Any, draft: Any, **_: Any) -> Any:
    """A draft step may cost more in the proportion of the tokens per round."""
    return tokens / others * draft


@mutant(formula("speed_up"), cite="2402.01528: drafters ranked by tokens per target call")
def theory_speed_up_without_draft_steps(
    theory: Any, pair: Any, algorithm: Any, clock: Any, **options: Any
) -> Any:
    """The speed-up is the number of tokens per target call."""
    return theory.block_efficiency(pair, algorithm, **options)


@mutant(formula("draft_log_likelihood"), cite="an entropy of the draft instead of a cross-entropy")
def theory_likelihood_of_own_texts(theory: Any, pair: Any, **options: Any) -> Any:
    """The likelihood is that of the draft's own texts."""
    swapped = ModelPair.from_probabilities(
        pair.draft, pair.draft, initial=pair.initial, next_context=pair.next_context, horizon=pair.horizon
    )
    return theory.draft_log_likelihood(swapped, **options)


CLAIMS = (
    Claim(
        id="yan2024.wide-and-deep",
        title="A wide drafter against a deep one of as many parameters",
        statement=(
            "Tokens per second are tokens per round over K draft steps and a target call. The printed rows "
            "(3.70 and 3.81 tokens, 6.69 and 13.13 ms, 32.59 and 23.10 tokens per second) follow from one "
            "whole K, 8, and one target call of about 60 ms; neither is printed with them."
        ),
        source="2402.01528, as secondary sources report its table",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("printed digits", _printed),),
        mutants=("theory-one-more-draft-step",),
    ),
    Claim(
        id="yan2024.break-even",
        title="When a better drafter is too slow",
        statement=(
            "A drafter is faster than another one exactly if its tokens per round exceed the other's by more "
            "than its rounds take longer."
        ),
        source="2402.01528",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("either side of the break-even", _break_even),),
        mutants=("theory-break-even-by-tokens",),
    ),
    Claim(
        id="specsim.drafter-likelihood",
        title="Drafters ranked by likelihood",
        statement="Of two drafters the one of higher likelihood on the target's texts is the faster.",
        source="common practice; 2402.01528 warns of it",
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("log-likelihood, enumerated", _likelihood),
            ExactCheck("two orders", _order),
            StatisticalCheck("simulation", _times),
        ),
        mutants=("theory-speed-up-without-draft-steps", "theory-likelihood-of-own-texts"),
    ),
)

MUTANTS = defined(globals())
