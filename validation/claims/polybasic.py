"""What is stated about chains of models (polybasic): losslessness, calls of models, when a third helps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from specsim import Clock, ModelPair, Speculative, model_chain, paper_pair, random_pair
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.assertions import Assertion, EmpiricalMeanTest, ProbabilityTest
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    equal,
    near,
)
from specsim.validation.instances import tiny
from specsim.validation.mutants.model import Mutant, defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.systems import SystemRequest, distance, simulating, text_law
from specsim.validation.witnesses import Witnesses

#: It matters how many tokens a call looks at, and where it starts.
CLOCK = Clock(draft=Fraction(1, 10), overhead=Fraction(1, 5), token=Fraction(1, 10), context=Fraction(1, 10))
MIDDLE = (Fraction(3, 10), Fraction(1, 5))
RULES = {True: "exact blocks", False: "whole buffers"}


def quarters(*numerators: int, horizon: int = 9) -> list[RationalPair]:
    """Return a chain of models of independent tokens, the first of two with k quarters for each k given."""
    rows = [[Fraction(number, 4), Fraction(4 - number, 4)] for number in numerators]
    return [RationalPair.independent(upper, lower, horizon=horizon) for upper, lower in pairwise(rows)]


def _chains(effort: Effort) -> Iterator[tuple[tuple[ModelPair, ...], tuple[int, ...]]]:
    """Yield tiny chains and block lengths: models between that are mixtures, and others that are not."""
    pairs = tiny(effort)
    for number, pair in enumerate(pairs[: effort.pick(quick=4, standard=len(pairs), deep=len(pairs))]):
        shape = {"contexts": pair.contexts, "tokens": pair.tokens, "horizon": pair.horizon}
        other = random_pair(**shape, family="dirichlet", seed=700 + number, stationary=pair.stationary)
        lengths = ((2, 1), (1, 2), (2, 2), (3, 1))[number % 4]
        yield model_chain(pair, other.draft if number % 2 else 0.5), lengths
    yield model_chain(pairs[1], 0.75, random_pair(contexts=2, horizon=3, seed=9).draft), (2, 1, 2)


def _added(law: Any) -> tuple[dict[Any, Fraction], Fraction]:
    """Return expected calls by model, start and tested, and the expected time."""
    calls: dict[Any, Fraction] = {}
    for outcome, probability in law.items():
        for *call, count in outcome.calls:
            calls[tuple(call)] = calls.get(tuple(call), Fraction(0)) + count * probability
    drafter = max(model for model, _, _ in calls)
    shares = (Fraction(1), *MIDDLE)
    time = Fraction(0)
    for (model, start, tested), number in calls.items():
        if model == drafter:
            time += number * CLOCK.draft_time(1, 1, start)
            continue
        time += number * shares[model] * CLOCK.target_time(tested + 1, 1, start)
        if model == 0:
            time += number * CLOCK.overhead_time()
    return calls, time


def _enumerated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for chain, lengths in _chains(effort):
        pair = chain[0]
        target = list(theory.target_law(pair, exact=True))
        for exact_blocks, rule in RULES.items():
            where = f"{rule} of {lengths}, {pair.name}"
            law = theory.enumerate_polybasic(chain, lengths, exact_blocks=exact_blocks)
            calls, time = _added(law)
            yield equal(f"law of the text, {where}", text_law(law, pair.tokens, pair.horizon), target)
            rounds = theory.polybasic_rounds(chain, lengths, exact_blocks=exact_blocks, exact=True)
            found = {place: rounds[place] for place in map(tuple, np.argwhere(rounds).tolist())}
            yield equal(f"calls that happen, {where}", sorted(found), sorted(calls))
            yield equal(
                f"E[calls], {where}",
                [found[call] for call in sorted(found)],
                [calls[call] for call in sorted(calls)],
            )
            expected = theory.expected_polybasic_time(
                chain,
                lengths,
                CLOCK,
                middle=MIDDLE[: len(lengths) - 1],
                exact_blocks=exact_blocks,
                exact=True,
            )
            yield equal(f"E[time], {where}", expected, time)


def _simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    theory = witnesses.theory
    pair = paper_pair(10)
    for chain, lengths, exact_blocks in (
        (model_chain(pair, 0.7), (3, 2), True),
        (model_chain(pair, 0.7), (3, 2), False),
        (model_chain(pair, 0.8, 0.4), (2, 2, 1), False),
    ):
        request = SystemRequest(
            pair=chain[0],
            algorithm=Speculative(draft_length=lengths[0]),
            loop="simulate_polybasic",
            arguments=(chain, lengths, CLOCK),
            options={"middle": MIDDLE[: len(lengths) - 1], "exact_blocks": exact_blocks},
            system=f"{len(lengths) + 1} models, {RULES[exact_blocks]} of {lengths}",
        )
        rounds = theory.polybasic_rounds(chain, lengths, exact_blocks=exact_blocks)
        # Each call passes a token, so that a block takes at most as many calls as it has tokens.
        most = pair.horizon * np.cumprod([1, *lengths])
        yield Assertion(
            label=f"calls of every model, {request.label}",
            request=request,
            test=EmpiricalMeanTest(
                mean=rounds.sum(axis=(1, 2)), high=most.astype(np.float64), unit="calls per run"
            ),
            observe=lambda runs: (runs.run_calls.sum(axis=1), (runs.run_calls**2).sum(axis=1)),
            discrepancy=1.0 * effort.discrepancy_factor,
        )
        for name, expected, observe in (
            ("calls of the target by start", rounds[0].sum(axis=1), lambda runs: runs.calls[0]),
            ("tokens by position", theory.target_marginals(pair), lambda runs: runs.tokens.sum(axis=1)),
        ):
            yield Assertion(
                label=f"{name}, {request.label}",
                request=request,
                test=ProbabilityTest(expected),
                observe=observe,
                discrepancy=0.03 * effort.discrepancy_factor,
            )


def _seen(law: Any, models: int) -> dict[Any, Fraction]:
    """Return the law of the text and the calls of the first models."""
    found: dict[Any, Fraction] = {}
    for outcome, probability in law.items():
        key = (outcome.tokens, tuple(call for call in outcome.calls if call[0] < models))
        found[key] = found.get(key, Fraction(0)) + probability
    return found


def _independent(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    two = quarters(1, 2, horizon=4)
    below = ((2, 3), (2, 1), (2, 4))
    for number, (one, other) in enumerate(below[: effort.pick(quick=2, standard=3, deep=3)]):
        three = [*two, *quarters(one, other, horizon=4)]
        for lengths in ((2, 1), (2, 3)):
            yield equal(
                f"text and calls of the target, drafter {number}, {lengths}",
                _listed(_seen(theory.enumerate_polybasic(three, lengths), 1)),
                _listed(_seen(theory.enumerate_polybasic(two, lengths[:1]), 1)),
            )
    three, four = quarters(1, 2, 3, horizon=3), quarters(1, 2, 3, 2, horizon=3)
    yield equal(
        "text and calls of the first two of four models",
        _listed(_seen(theory.enumerate_polybasic(four, (2, 2, 1)), 2)),
        _listed(_seen(theory.enumerate_polybasic(three, (2, 2)), 2)),
    )
    lengths_of_target = {
        lengths: 1 / theory.stationary_polybasic_rates(quarters(1, 2, 3), lengths, exact=True).calls[0]
        for lengths in ((2, 1), (2, 2))
    }
    yield equal("tokens per target call", list(lengths_of_target.values()), [Fraction(37, 16)] * 2)
    for lengths, printed in (((2, 1), Fraction(77, 32)), ((2, 2), Fraction(169, 64))):
        rates = theory.stationary_polybasic_rates(quarters(1, 2, 3), lengths, exact_blocks=False, exact=True)
        yield counterexample(
            f"whole buffers of at least 2, {lengths[1]} drafted",
            1 / rates.calls[0] == printed,
            f"the target passes {1 / rates.calls[0]} tokens per call, {Fraction(37, 16)} with exact blocks",
            printed=Fraction(37, 16),
            exact=1 / rates.calls[0],
        )


def _listed(law: dict[Any, Fraction]) -> list[Any]:
    return [part for key in sorted(law) for part in (str(key), law[key])]


def _printed_calls(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pair = random_pair(contexts=3, horizon=4, family="dirichlet", seed=720, stationary=True)
    chain = model_chain(pair, 0.6)
    for exact_blocks, rule in RULES.items():
        rates = theory.stationary_polybasic_rates(chain, (3, 2), exact_blocks=exact_blocks)
        long, short = (
            theory.polybasic_rounds(chain, (3, 2), exact_blocks=exact_blocks, horizon=horizon).sum(
                axis=(1, 2)
            )
            for horizon in (120, 80)
        )
        yield near(
            f"calls per token of long runs, {rule}", list(rates.calls), list((long - short) / 40), 1e-8
        )
        yield near(f"the target has 1 / L, {rule}", rates.calls[0], rates.printed_calls[0], 1e-9)
        kept = [calls / printed for calls, printed in zip(rates.calls, rates.printed_calls, strict=False)]
        yield near(f"calls over 1 / L are tokens passed up, {rule}", kept, list(rates.passed), 1e-9)
    for lengths, calls, printed in (
        ((2, 1), Fraction(20, 37), Fraction(4, 7)),
        ((4, 4), Fraction(448, 781), Fraction(256, 781)),
        ((8, 4), Fraction(203552, 242461), Fraction(256, 781)),
    ):
        rates = theory.stationary_polybasic_rates(quarters(1, 2, 3), lengths, exact=True)
        yield counterexample(
            f"second of three models, blocks of {lengths}",
            (rates.calls[1], rates.printed_calls[1]) == (calls, printed),
            f"{rates.calls[1]} = {float(rates.calls[1]):.4f} calls per token, not 1 / L = "
            f"{rates.printed_calls[1]} = {float(rates.printed_calls[1]):.4f}: it passes "
            f"{rates.passed[1]} = {float(rates.passed[1]):.4f} tokens for each that is emitted",
            printed=rates.printed_calls[1],
            exact=rates.calls[1],
        )


def _insertion(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    draft = Fraction(1, 20)
    two = min(
        theory.stationary_polybasic_rates(quarters(1, 3), length, exact=True).time(draft)
        for length in range(1, 9)
    )
    yield equal("two models at their best length", two, Fraction(46, 75))
    for middle, lengths, helps in ((Fraction(1, 2), (4, 4), False), (Fraction(11, 40), (2, 1), True)):
        rates = theory.stationary_polybasic_rates(quarters(1, 2, 3), lengths, exact=True)
        true, printed = (rates.time(draft, [middle], printed=choice) for choice in (False, True))
        yield counterexample(
            f"a model between that costs {middle}, blocks of {lengths}",
            (true < two, printed < two) == (helps, not helps),
            f"two models take {float(two):.4f} target calls per token at their best length, three "
            f"{float(true):.4f}; with N / L calls it would be {float(printed):.4f}",
            printed=printed,
            exact=true,
        )


def _drafter_rows(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    chain = quarters(1, 2, 3, horizon=2)
    target = list(theory.target_law(chain[0], exact=True))
    law = theory.enumerate_polybasic(chain, (2, 1), against_drafter=True)
    found = distance(text_law(law, 2, 2), target)
    yield counterexample(
        "target (1/4, 3/4), model between (1/2, 1/2), drafter (3/4, 1/4), two tokens, blocks of 2 and 1",
        found == Fraction(19, 144),
        f"the law of the text is {found} in total variation from the target's",
        printed=0,
        exact=found,
    )


@mutant(formula("enumerate_polybasic"), cite="rows of the last model kept for all tests")
def theory_polybasic_against_drafter(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Every model tests by the rows of the last one."""
    return theory.enumerate_polybasic(*arguments, **{**options, "against_drafter": True})


@mutant(formula("enumerate_polybasic"), cite="a repair that is taken for granted")
def theory_polybasic_always_right_rows(theory: Any, *arguments: Any, **options: Any) -> Any:
    """The option to test by the rows of the last model is ignored."""
    return theory.enumerate_polybasic(*arguments, **{**options, "against_drafter": False})


@mutant(formula("enumerate_polybasic"), cite="2510.26527: two rules that its summary does not distinguish")
def theory_polybasic_whole_buffers(theory: Any, *arguments: Any, **options: Any) -> Any:
    """A block is always the whole buffer."""
    return theory.enumerate_polybasic(*arguments, **{**options, "exact_blocks": False})


@mutant(formula("polybasic_rounds"), cite="2510.26527: two rules that its summary does not distinguish")
def theory_polybasic_exact_blocks(theory: Any, *arguments: Any, **options: Any) -> Any:
    """A block always has exactly its length."""
    return theory.polybasic_rounds(*arguments, **{**options, "exact_blocks": True})


@mutant(formula("stationary_polybasic_rates"), cite="an independence that is taken for granted")
def theory_polybasic_target_sees_no_drafter(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Rates of whole buffers are those of exact blocks."""
    return theory.stationary_polybasic_rates(*arguments, **{**options, "exact_blocks": True})


@mutant(formula("stationary_polybasic_rates"), cite="2510.26527, Lemma 3.1")
def theory_polybasic_n_over_l(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Every verifying model has N / L calls."""
    rates = theory.stationary_polybasic_rates(*arguments, **options)
    return type(rates)((*rates.printed_calls, rates.calls[-1]), (1,) * len(rates.passed))


@mutant(formula("expected_polybasic_time"), cite="a call that costs the same for any block")
def theory_polybasic_width_forgotten(
    theory: Any, pairs: Any, lengths: Any, clock: Any, **options: Any
) -> Any:
    """A call costs what it does for one token."""
    return theory.expected_polybasic_time(pairs, lengths, replace(clock, token=0), **options)


@mutant(simulating("simulate_polybasic"), cite="surplus that is thrown away where it should be tested")
def polybasic_exact_always(simulate: Any, *arguments: Any, **options: Any) -> Any:
    """A block always has exactly its length."""
    return simulate(*arguments, **{**options, "exact_blocks": True})


@mutant(simulating("simulate_polybasic"), cite="block lengths given from the drafter up")
def polybasic_lengths_reversed(simulate: Any, pairs: Any, lengths: Any, *rest: Any, **options: Any) -> Any:
    """Block lengths are read from the drafter up."""
    return simulate(pairs, lengths[::-1], *rest, **options)


@mutant(simulating("simulate_polybasic"), cite="a chain of models given from the drafter up")
def polybasic_models_reversed(simulate: Any, pairs: Any, *rest: Any, **options: Any) -> Any:
    """The last model is taken for the target."""
    first = pairs[0]
    swapped = ModelPair.from_probabilities(
        pairs[-1].draft, first.target, initial=first.initial, next_context=first.next_context
    )
    middle = [pair.target for pair in pairs[:0:-1]]
    return simulate(model_chain(swapped, *middle), *rest, **options)


CLAIMS = (
    Claim(
        id="specsim.polybasic-calls",
        title="A chain of models emits the target's law, and its calls are known exactly",
        statement=(
            "With blocks of exact length and with whole buffers, the text of a chain of models has the "
            "target's law. Enumeration of every draft, coin and replacement, recursion over what each model "
            "has passed, and simulation agree in the calls of every model by start and tested tokens, and in "
            "time."
        ),
        source="2510.26527; docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("enumeration", _enumerated), StatisticalCheck("simulation", _simulated)),
        mutants=(
            "theory-polybasic-against-drafter",
            "theory-polybasic-whole-buffers",
            "theory-polybasic-exact-blocks",
            "theory-polybasic-width-forgotten",
            "polybasic-exact-always",
            "polybasic-lengths-reversed",
            "polybasic-models-reversed",
        ),
    ),
    Claim(
        id="specsim.polybasic-independence",
        title="What a model of a chain sees does not depend on the models below its drafter",
        statement=(
            "Text and calls of the first models of a chain have one law, whatever is below the model that "
            "drafts for them."
        ),
        source="2510.26527, from public reviews of an earlier version; docs/systems.md",
        verdict=Verdict.CONDITION,
        condition="blocks have exactly their length; with whole buffers the target sees longer blocks",
        checks=(ExactCheck("joint laws; tokens per target call", _independent),),
        mutants=("theory-polybasic-whole-buffers", "theory-polybasic-target-sees-no-drafter"),
    ),
    Claim(
        id="wang2025.calls",
        title="A model of a chain is called N / L times",
        statement="To emit N tokens, a model that passes L tokens per call is called N / L times.",
        source="2510.26527, Lemma 3.1, as secondary sources report it",
        verdict=Verdict.CONDITION,
        condition=(
            "the model is the target; another is called as often times the tokens that it passes up for each "
            "that is emitted, which is below 1 where the models above add tokens and above 1 where they "
            "throw them away"
        ),
        checks=(ExactCheck("long runs; quarters", _printed_calls),),
        mutants=("theory-polybasic-n-over-l",),
    ),
    Claim(
        id="wang2025.insertion",
        title="A model between helps where the cost by N / L calls falls",
        statement="A third model makes decoding faster exactly if the time with N / L calls per model falls.",
        source="2510.26527, Lemma 3.1, as secondary sources report it; its Theorem 3.2 was not available",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("quarters", _insertion),),
        mutants=("theory-polybasic-n-over-l",),
    ),
    Claim(
        id="specsim.polybasic-drafter-rows",
        title="The rows of the last model suffice to test by",
        statement="A chain of models is lossless if each model tests by the probabilities that drafted.",
        source="derived; docs/systems.md",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("quarters", _drafter_rows),),
        mutants=("theory-polybasic-always-right-rows",),
    ),
)

MUTANTS: tuple[Mutant, ...] = defined(globals())
