"""What is stated about PEARL: losslessness, its time, its best draft length, and when it pays."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from specsim import Clock, ModelPair, Speculative, paper_pair, random_pair
from specsim.validation.assertions import Assertion, ProbabilityTest
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
from specsim.validation.instances import row_pair, sticky_pair, thirds, tiny
from specsim.validation.mutants.model import Mutant, defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.systems import (
    SystemRequest,
    assert_mean_time,
    compare_times,
    distance,
    simulating,
    text_law,
)
from specsim.validation.witnesses import Witnesses

#: Drafting is the longer part of some rounds and the call of others, and it matters where a round starts.
CLOCK = Clock(
    draft=Fraction(2, 5), overhead=Fraction(1, 10), token=Fraction(1, 10), free=2, context=Fraction(1, 10)
)
ROUNDING = 1e-9
#: Half of the tokens are accepted, independently.
HALF = Fraction(1, 2)


def _time(outcome: Any, longest: int, horizon: int) -> Fraction:
    """Return the time of an outcome by `CLOCK`, round by round."""
    total = Fraction(0)
    for mode, start in outcome.rounds:
        known = min(horizon, start + (longest - 1 if mode else 0))
        drafted = min(longest, horizon - known)
        total += max(drafted * CLOCK.draft_time(1, 1, start), CLOCK.target_time(known - start + 1, 1, start))
        total += CLOCK.overhead_time()
    return total


def _enumerated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for number, pair in enumerate(tiny(effort)):
        longest = 1 + number % 3
        where = f"{longest} drafted, {pair.name}"
        law = theory.enumerate_pearl(pair, longest)
        output = text_law(law, pair.tokens, pair.horizon)
        times: dict[Fraction, Fraction] = {}
        for outcome, probability in law.items():
            time = _time(outcome, longest, pair.horizon)
            times[time] = times.get(time, Fraction(0)) + probability
        yield equal(f"law of the text, {where}", output, list(theory.target_law(pair, exact=True)))
        found = theory.pearl_time_law(pair, longest, CLOCK, exact=True)
        yield from compare_times(found, times, where)
        mean = sum(time * probability for time, probability in times.items())
        yield equal(f"E[time], {where}", theory.expected_pearl_time(pair, longest, CLOCK, exact=True), mean)


def _simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    theory = witnesses.theory
    for pair, longest in ((paper_pair(20), 4), (sticky_pair(), 3)):
        request = SystemRequest(
            pair=pair,
            algorithm=Speculative(draft_length=longest),
            loop="simulate_pearl",
            arguments=(pair, longest, CLOCK),
            system=f"PEARL, {longest} drafted",
        )
        law = theory.pearl_time_law(pair, longest, CLOCK)
        mean = float(theory.expected_pearl_time(pair, longest, CLOCK))
        yield assert_mean_time(request, law, mean, effort)
        for name, expected, observe in (
            ("tokens by position", theory.target_marginals(pair), lambda runs: runs.tokens.sum(axis=1)),
            (
                "rejections by position",
                theory.rejections_by_step(pair, Speculative()),
                lambda runs: runs.rejections,
            ),
        ):
            yield Assertion(
                label=f"{name}, {request.label}",
                request=request,
                test=ProbabilityTest(expected),
                observe=observe,
                discrepancy=0.04 * effort.discrepancy_factor,
            )


def _long_runs(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    clock = Clock(draft=Fraction(3, 10), overhead=Fraction(1, 20), token=Fraction(1, 10))
    for seed in range(effort.pick(quick=2, standard=6, deep=30)):
        pair = random_pair(contexts=3, horizon=4, family="dirichlet", seed=600 + seed, stationary=True)
        for longest in (1, 2, 5):
            long, short = (
                theory.expected_pearl_time(pair, longest, clock, horizon=horizon) for horizon in (400, 300)
            )
            found = theory.stationary_pearl_speed_up(pair, longest, clock)
            yield near(f"{longest} drafted on {pair.name}", found, 100 / (long - short), 1e-8)
    # Rows that are alike: every token is accepted with the same probability, whatever came before.
    pair = row_pair((0.25, 0.75), (0.75, 0.25), horizon=4, name="quarters")
    for longest in (1, 2, 3, 7):
        formula_value = theory.constant_acceptance_pearl_tokens(HALF, longest)
        yield near(
            f"one acceptance, {longest} drafted",
            theory.stationary_pearl_speed_up(pair, longest, Clock()),
            float(formula_value),
            ROUNDING,
        )


def periodic_pair(period: int) -> ModelPair:
    """Return a pair that accepts ``period - 1`` tokens and rejects the next, for ever."""
    rows = [[[0.5, 0.5]] * (period - 1) + [row] for row in ([0.0, 1.0], [1.0, 0.0])]
    return ModelPair.from_probabilities(
        [rows[0]],
        [rows[1]],
        initial=[1.0] + [0.0] * (period - 1),
        next_context=np.repeat((np.arange(period)[:, None] + 1) % period, 2, axis=1),
        horizon=4,
        name=f"every {period}th token rejected",
    )


def _best_length(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for ratio in range(2, effort.pick(quick=8, standard=16, deep=40)):
        for twentieths in range(1, 20, 3):
            rate = Fraction(twentieths, 20)
            speeds = [
                theory.constant_acceptance_pearl_tokens(rate, longest) / max(Fraction(longest, ratio), 1)
                for longest in range(1, 3 * ratio)
            ]
            yield equal(f"acceptance {rate}, a call is {ratio} steps", 1 + speeds.index(max(speeds)), ratio)
    pair, clock = periodic_pair(7), Clock(draft=Fraction(1, 5))
    at_ratio, longer = (theory.stationary_pearl_speed_up(pair, longest, clock) for longest in (5, 6))
    yield counterexample(
        "a chain that rejects every 7th token, a call is 5 steps",
        longer > at_ratio + ROUNDING,
        f"5 drafted are {at_ratio:.4f} times as fast as plain decoding, 6 are {longer:.4f}: one round "
        "in mode 1 for a cycle instead of two",
        printed=f"{at_ratio:.6f}",
        exact=f"{longer:.6f}",
    )


def _against_speculative(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for number, pair in enumerate(tiny(effort)):
        longest = 2 + number % 3
        rounds = theory.pearl_rounds(pair, longest, exact=True).sum()
        calls = theory.expected_target_calls(pair, Speculative(draft_length=longest), exact=True)
        yield decided(
            f"rounds and calls, {longest} drafted, {pair.name}",
            rounds <= 2 * calls,
            observed=rounds,
            expected=f"at most twice {calls}",
        )
    for seed in range(effort.pick(quick=2, standard=8, deep=40)):
        pair = random_pair(contexts=3, horizon=4, family="peaked", seed=650 + seed, stationary=True)
        for longest in (2, 5):
            clock = Clock(draft=Fraction(1, longest))
            pearl = theory.stationary_pearl_speed_up(pair, longest, clock)
            other = theory.stationary_speed_up(pair, Speculative(draft_length=longest), clock)
            yield decided(
                f"{longest} drafted, a call is {longest} steps, {pair.name}",
                pearl >= other - ROUNDING,
                observed=f"{pearl:.6f}",
                expected=f"at least {other:.6f}",
            )
    pearl = theory.constant_acceptance_pearl_tokens(HALF, 10)
    best, length = max(
        (theory.constant_acceptance_tokens(HALF, k) / (1 + Fraction(k, 10)), k) for k in range(1, 20)
    )
    yield counterexample(
        "acceptance 1/2, a call is 10 steps",
        best > pearl,
        f"PEARL with 10 drafted, its best length, is {pearl} = {float(pearl):.4f} times as fast as plain "
        f"decoding; speculative decoding with {length} is {best} = {float(best):.4f} times as fast",
        printed=pearl,
        exact=best,
    )
    equal_lengths = (
        theory.constant_acceptance_pearl_tokens(HALF, 4),
        theory.constant_acceptance_tokens(HALF, 4),
    )
    yield counterexample(
        "acceptance 1/2, 4 drafted by both, a call is 20 steps",
        equal_lengths[1] / Fraction(6, 5) > equal_lengths[0],
        f"PEARL is {equal_lengths[0]} times as fast as plain decoding, speculative decoding "
        f"{equal_lengths[1] / Fraction(6, 5)} times",
        printed=equal_lengths[0],
        exact=equal_lengths[1] / Fraction(6, 5),
    )


def _authors_code(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    pair = thirds(3)
    target = list(witnesses.theory.target_law(pair, exact=True))
    for name, options, printed in (
        ("the coin of a round in mode 0 is thrown again in the next", {"shared_coin": True}, Fraction(4, 27)),
        ("tokens that wait at the end are not tested", {"tested_end": False}, Fraction(8, 27)),
    ):
        found = distance(text_law(witnesses.theory.enumerate_pearl(pair, 3, **options), 2, 3), target)
        yield counterexample(
            f"{name}: draft (2/3, 1/3), target (1/3, 2/3), 3 tokens, 3 drafted",
            found == printed,
            f"the law of the text is {found} in total variation from the target's",
            printed=0,
            exact=found,
        )


@mutant(formula("enumerate_pearl"), cite="the authors' code of 2024: generators are seeded by position")
def theory_pearl_shares_a_coin(theory: Any, *arguments: Any, **options: Any) -> Any:
    """The first test after a round in mode 0 throws the coin of that round again."""
    return theory.enumerate_pearl(*arguments, **{**options, "shared_coin": "tested_end" not in options})


@mutant(formula("enumerate_pearl"), cite="the authors' code of 2024: the loop ends at the length with drafts")
def theory_pearl_end_untested(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Tokens that wait when the text is long enough are emitted without a test."""
    return theory.enumerate_pearl(*arguments, **{**options, "tested_end": False})


@mutant(formula("enumerate_pearl"), cite="a repair that is taken for granted")
def theory_pearl_always_tested(theory: Any, pair: Any, draft_length: int, **options: Any) -> Any:
    """The options for the authors' code are ignored."""
    return theory.enumerate_pearl(pair, draft_length)


@mutant(formula("pearl_rounds"), cite="a call for every token until a draft has passed")
def theory_pearl_counts_tokens(theory: Any, pair: Any, draft_length: int, **options: Any) -> Any:
    """Every rejection costs a round in addition to those of the tokens."""
    return theory.pearl_rounds(pair, 1, **options) + theory.pearl_rounds(pair, draft_length, **options)


@mutant(formula("expected_pearl_time"), cite="one device for both models")
def theory_pearl_devices_in_turn(
    theory: Any, pair: Any, draft_length: int, clock: Any, **options: Any
) -> Any:
    """A round takes its draft steps and then its call."""
    rounds = theory.pearl_rounds(pair, draft_length, **options)
    calls = clock.target_time(1) + draft_length * clock.draft_time(1) + clock.overhead_time()
    return rounds.sum() * (calls if options.get("exact") else float(calls))


@mutant(formula("constant_acceptance_pearl_tokens"), cite="estimates that forget the rounds in mode 0")
def theory_pearl_never_begins_again(theory: Any, acceptance: Any, draft_length: int) -> Any:
    """A rejection costs no additional round."""
    return theory.constant_acceptance_tokens(acceptance, draft_length - 1)


@mutant(formula("constant_acceptance_pearl_tokens"), cite="an adaptive draft taken for an unlimited one")
def theory_pearl_cycle_is_a_round(theory: Any, acceptance: Any, draft_length: int) -> Any:
    """All tokens up to a rejection take one round."""
    return 1 / (1 - acceptance)


@mutant(formula("stationary_pearl_speed_up"), cite="a chain replaced by its acceptance rate")
def theory_pearl_by_one_acceptance(theory: Any, pair: Any, draft_length: int, clock: Any) -> Any:
    """The long run is that of one acceptance rate, the rate of long runs."""
    long, short = (float(theory.theorem_1_rejections(pair, horizon=horizon)) for horizon in (260, 190))
    tokens = theory.constant_acceptance_pearl_tokens(1 - (long - short) / 70, draft_length)
    return float(tokens) / float(
        max(draft_length * clock.draft_time(1), clock.target_time(draft_length)) + clock.overhead_time()
    )


@mutant(simulating("simulate_pearl"), cite="a carried draft that loses a token")
def pearl_carries_one_less(simulate: Any, pair: Any, draft_length: int, clock: Any, **options: Any) -> Any:
    """Rounds draft one token less than they should."""
    return simulate(pair, draft_length - 1, clock, **options)


@mutant(simulating("simulate_pearl"), cite="rows of the two devices gathered in the wrong order")
def pearl_devices_swapped(simulate: Any, pair: Any, draft_length: int, clock: Any, **options: Any) -> Any:
    """The rows of draft and target are taken for each other."""
    swapped = ModelPair.from_probabilities(
        pair.draft, pair.target, initial=pair.initial, next_context=pair.next_context, horizon=pair.horizon
    )
    return simulate(swapped, draft_length, clock, **options)


CLAIMS = (
    Claim(
        id="specsim.pearl-time",
        title="PEARL emits the target's law, and its time is a walk over two modes",
        statement=(
            "With a fresh coin for every test and no token emitted untested, the text of PEARL has the "
            "target's law and its rejections those of Theorem 1; its time, the sum over rounds of the longer "
            "of drafting and verifying, has the law of a walk over verified tokens, mode and context. "
            "Enumeration of every draft and coin, recursion and simulation agree."
        ),
        source="2408.11850; docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("enumeration", _enumerated), StatisticalCheck("simulation", _simulated)),
        mutants=(
            "theory-pearl-shares-a-coin",
            "theory-pearl-end-untested",
            "theory-pearl-devices-in-turn",
            "pearl-carries-one-less",
            "pearl-devices-swapped",
        ),
    ),
    Claim(
        id="specsim.pearl-long-run",
        title="Long runs of PEARL renew at rejections",
        statement=(
            "With A what is accepted between contexts, a cycle of PEARL has (I - A)^-1 1 tokens, one round "
            "in mode 0 and A (I - A^K)^-1 1 in mode 1; with one acceptance a there are "
            "1 / (1 - a + a / (1 + a + ... + a^(K-1))) tokens per round."
        ),
        source="2408.11850 (the system); docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("slope of the expected time; rows alike", _long_runs),),
        mutants=("theory-pearl-never-begins-again", "theory-pearl-by-one-acceptance"),
    ),
    Claim(
        id="specsim.pearl-best-length",
        title="The best draft length of PEARL is the ratio of a call to a draft step",
        statement="PEARL is fastest with as many draft steps as a target call is long.",
        source="2408.11850, as secondary sources report it",
        verdict=Verdict.CONDITION,
        condition="acceptances are independent, with one rate in every context, and the ratio is whole",
        checks=(ExactCheck("one acceptance; a chain", _best_length),),
        mutants=("theory-pearl-cycle-is-a-round", "theory-pearl-by-one-acceptance"),
    ),
    Claim(
        id="specsim.pearl-against-speculative",
        title="PEARL is faster than speculative decoding",
        statement="PEARL takes at most the time of speculative decoding at the same costs.",
        source="2408.11850, as secondary sources report it",
        verdict=Verdict.CONDITION,
        condition=(
            "both draft as many tokens as a call is long, without overhead, in long texts: two rounds of "
            "PEARL then take as long as one of the other and emit no less"
        ),
        checks=(ExactCheck("equal lengths; best lengths", _against_speculative),),
        mutants=("theory-pearl-counts-tokens", "theory-pearl-never-begins-again"),
    ),
    Claim(
        id="specsim.pearl-authors-code",
        title="The authors' code emits the target's law",
        statement="The loop of the authors' code (2024) is lossless.",
        source="2408.11850; smart-lty/ParallelSpeculativeDecoding, 1e61cc3, src/engine.py",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("a coin thrown twice; an end that is not tested", _authors_code),),
        mutants=("theory-pearl-always-tested",),
    ),
)

MUTANTS: tuple[Mutant, ...] = defined(globals())
