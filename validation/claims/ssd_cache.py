"""What is stated about the cache of speculative speculative decoding: fan-outs, sampling, timings."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from specsim import Clock, ModelPair, blended_draft, cache_favouring_draft, random_pair
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
    near,
)
from specsim.validation.instances import FOUR_TOKENS, THIRDS, row_pair
from specsim.validation.mutants.model import Mutant, defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.systems import text_law
from specsim.validation.witnesses import Witnesses

ROUNDING = 1e-9
#: Milliseconds of the replication's profile: the call, a step of the cache, and the rest of making it.
CALL, STEP, REST = Fraction("11.45"), Fraction("2.54"), Fraction("2.83") + Fraction("0.71") + Fraction("0.05")
#: Tokens per second of the replication by draft length, 4 to 7.
RATES = {
    "HumanEval": (224.5, 210.1, 193.9, 169.0),
    "UltraFeedback": (182.0, 162.7, 146.0, 131.4),
    "Alpaca": (192.4, 174.1, 156.9, 141.1),
    "GSM8k": (244.8, 227.5, 204.4, 192.7),
}


def fours(horizon: int = 4) -> ModelPair:
    """Return independent tokens with target (.50, .30, .15, .05) and draft (.20, .45, .10, .25)."""
    target, draft = (tuple(map(float, row)) for row in FOUR_TOKENS)
    return row_pair(target, draft, horizon=horizon, name="fours")


def _splits(places: int, budget: int) -> Iterator[tuple[int, ...]]:
    if places == 1:
        yield (budget,)
        return
    for first in range(budget + 1):
        for rest in _splits(places - 1, budget - first):
            yield (first, *rest)


def _best_fan_outs(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pairs = [fours()] + [
        random_pair(contexts=3, horizon=4, family="dirichlet", seed=740 + seed, stationary=True)
        for seed in range(effort.pick(quick=1, standard=3, deep=20))
    ]
    for pair in pairs:
        for budget in (2, 4):
            shares = {
                split: theory.ssd_rounds(pair, 2, split).hit
                for split in _splits(3, budget)
                if max(split) <= pair.tokens
            }
            found = theory.best_fan_out(pair, 2, budget)
            yield near(f"best split of {budget}, {pair.name}", shares[found], max(shares.values()), ROUNDING)


def _geometric(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    # The theorem's assumptions, r = 1: whole numbers for which the split is the best of all.
    for longest, budget, expected in ((1, 7, (3, 4)), (2, 43, (15, 12, 16))):
        rate = Fraction(16, 25)
        weights = [rate**k * (1 - rate) for k in range(longest)] + [rate**longest]
        found = theory.geometric_fan_out(float(rate), longest, budget, 1.0)
        yield near(f"acceptance 16/25, {longest} drafted, budget {budget}", found, expected, ROUNDING)
        missed = {
            split: sum(weight / guesses for weight, guesses in zip(weights, split, strict=True))
            for split in _splits(longest + 1, budget)
            if min(split) > 0
        }
        least = min(missed.values())
        yield equal(f"fewest misses, {longest} drafted, budget {budget}", missed[expected], least)
    pair, budget = fours(), 6
    best = theory.ssd_rounds(pair, 2, theory.best_fan_out(pair, 2, budget)).hit
    tried = {
        theory.whole_fan_out(theory.geometric_fan_out(0.65, 2, budget, float(exponent)))
        for exponent in np.geomspace(0.05, 50, 40)
    }
    share, split = max((theory.ssd_rounds(pair, 2, split).hit, split) for split in tried)
    yield counterexample(
        "fours, 2 drafted, 6 guesses: every exponent from 0.05 to 50",
        best - share > 0.06,
        f"the best geometric split {split} has {share:.6f} of the outcomes, "
        f"{theory.best_fan_out(pair, 2, budget)} has {best:.6f} = 289/400",
        printed=f"{share:.6f}",
        exact=f"{best:.6f}",
    )
    yield near("best split, fours", best, 289 / 400, 1e-8)


def _sampling_is_lossless(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for seed, size, factor in ((745, 1, 0.5), (746, 2, 0.2)):
        pair = random_pair(contexts=2 if size == 1 else 3, horizon=3, family="uniform", seed=seed)
        changed = cache_favouring_draft(pair, size=size, factor=factor)
        law = theory.enumerate_ssd(changed, 1, size, ranked_by=pair)
        yield equal(
            f"law of the text, {size} likeliest tokens drafted {factor} times, {pair.name}",
            text_law(law, pair.tokens, pair.horizon),
            list(theory.target_law(pair, exact=True)),
        )
    # Drawn from the changed row and tested against the old one, the text is not the target's.
    target, draft = (list(row) for row in THIRDS)
    old = theory.RationalPair.independent(target, draft, horizon=1)
    new = theory.RationalPair.independent(target, [Fraction(1, 2)] * 2, horizon=1)
    written = [Fraction(0)] * 2
    for outcome, probability in theory.enumerate_ssd(new, 1, 1, ranked_by=old, tested_by=old).items():
        written[outcome.tokens[0]] += probability
    yield equal(
        "thirds, the likeliest token drafted half as often, tested by the old row",
        written,
        [Fraction(1, 4), Fraction(3, 4)],
    )


def _sampling_trade(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    # A draft that is close to the target: hits rise and acceptance falls.
    close = blended_draft(
        random_pair(contexts=4, horizon=4, family="dirichlet", seed=747, stationary=True), 0.9
    )
    found = {factor: _trade(theory, close, 2, factor) for factor in (1.0, 0.5, 0.2)}
    hits, tokens = zip(*found.values(), strict=True)
    yield decided(f"hits rise, {close.name}", hits[0] < hits[1] < hits[2], observed=hits)
    yield decided(f"tokens fall, {close.name}", tokens[0] > tokens[1] > tokens[2], observed=tokens)
    pair = fours()
    before, after = (_trade(theory, pair, 2, factor) for factor in (1.0, 0.5))
    yield counterexample(
        "fours, 2 drafted, 2 guessed, the 2 likeliest tokens drafted half as often",
        after[0] < before[0] and after[1] > before[1],
        f"hits fall from {before[0]:.6f} to {after[0]:.6f}, and tokens per round rise from {before[1]:.6f} "
        f"to {after[1]:.6f}",
        printed=f"hits of at least {before[0]:.6f}",
        exact=f"{after[0]:.6f}",
    )
    yield near("hits with the old draft, fours", before[0], 0.642875, 1e-8)


def _trade(theory: Any, pair: ModelPair, size: int, factor: float) -> tuple[float, float]:
    changed = pair if factor == 1 else cache_favouring_draft(pair, size=size, factor=factor)
    found = theory.ssd_rounds(changed, 2, size, ranked_by=pair)
    return found.hit, found.tokens


def published_system(rate: float, longest: int) -> tuple[ModelPair, Clock]:
    """Return a pair of one acceptance rate whose outcomes are always guessed, and the replication's clock.

    Of the times of making a cache, the row that is ranked and the exchange stand for one draft step of ours;
    the clock's unit is a call.
    """
    pair = row_pair((rate, 1 - rate), (1.0, 0.0), horizon=4, name=f"acceptance {rate:.4f}")
    step = (REST + longest * STEP) / CALL / (longest + 1)
    return pair, Clock(draft=step)


def _rate(theory: Any, rate: float, longest: int) -> float:
    """Return tokens per second by the published times."""
    pair, clock = published_system(rate, longest)
    speed_up = theory.stationary_ssd_speed_up(pair, longest, clock, fan_out=2)
    return float(speed_up * 1000 / float(CALL))


def _fitted(theory: Any, rate: float) -> float:
    """Return the acceptance with which four drafted tokens have a rate."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _rate(theory, middle, 4) < rate else (low, middle)
    return low


def _replication(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for name, rates in RATES.items():
        acceptance = _fitted(theory, rates[0])
        for longest, published in zip((5, 6, 7), rates[1:], strict=True):
            ours = _rate(theory, acceptance, longest)
            yield near(
                f"{name}, {longest} drafted: rate over the published one, acceptance {acceptance:.4f}",
                ours / published,
                1.0,
                0.04,
            )
        yield decided(f"{name}: 7 drafted, the default, is slowest", rates[3] == min(rates), observed=rates)


def _rule_of_thumb(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    fit = int(CALL // STEP)
    yield equal("steps that fit into a call", fit, 4)
    for name, rates in RATES.items():
        acceptance = _fitted(theory, rates[0])
        predicted = {longest: _rate(theory, acceptance, longest) for longest in range(1, 8)}
        best = max(predicted, key=lambda longest: predicted[longest])
        gain = predicted[best] / predicted[fit] - 1
        yield counterexample(
            f"{name}, acceptance {acceptance:.4f} from the rate of 4 drafted",
            best == 3 and gain > 0.05,
            f"by the published times {best} drafted have {predicted[best]:.1f} tokens per second, {fit} have "
            f"{predicted[fit]:.1f}: {100 * gain:.1f} % more. Making the cache takes 3.59 ms and its steps",
            printed=fit,
            exact=best,
        )


@mutant(formula("best_fan_out"), cite="greedy allocation of guesses")
def theory_fan_out_one_by_one(theory: Any, pair: Any, draft_length: int, budget: int) -> Any:
    """The next best guess is taken, one by one."""
    table = theory.fan_out_hits(pair, draft_length)
    found = [0] * (draft_length + 1)
    for _ in range(budget):
        gains = [
            table[place, count + 1] - table[place, count] if count + 1 < table.shape[1] else -1.0
            for place, count in enumerate(found)
        ]
        found[int(np.argmax(gains))] += 1
    return tuple(found)


@mutant(formula("geometric_fan_out"), cite="notes that print F_0 a^(k / (1 + r)) for all positions")
def theory_geometric_to_the_end(
    theory: Any, acceptance: float, draft_length: int, budget: float, exponent: float
) -> Any:
    """The last position has no separate factor."""
    shares = acceptance ** (np.arange(draft_length + 1) / (1 + exponent))
    return budget * shares / shares.sum()


@mutant(formula("enumerate_ssd"), cite="a changed draft that the verifier does not know")
def theory_ssd_tests_the_old_row(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Tests and residuals read the row by which guesses are ranked."""
    return theory.enumerate_ssd(*arguments, **{**options, "tested_by": options.get("ranked_by")})


@mutant(formula("ssd_rounds"), cite="ranks of the row that was drafted with")
def theory_ssd_ranks_of_the_pair(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Guesses are the likeliest tokens of the row that is drafted with."""
    return theory.ssd_rounds(*arguments, **{**options, "ranked_by": None})


@mutant(formula("stationary_ssd_speed_up"), cite="the paper's headline: drafting overhead is eliminated")
def theory_ssd_drafting_is_hidden(theory: Any, *arguments: Any, **options: Any) -> Any:
    """A round after a hit takes a call, however long the cache is made."""
    return theory.stationary_ssd_speed_up(*arguments[:2], Clock(), **options)


CLAIMS = (
    Claim(
        id="specsim.ssd-best-fan-out",
        title="The best split of a budget of guesses",
        statement=(
            "With both speculators on the same rows, the share of guessed outcomes is a sum over accepted "
            "lengths of what F_k guesses are worth there, and a dynamic programme over places finds the best "
            "split; taking the next best guess one by one does not."
        ),
        source="2603.03251 (fan-outs); docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("every split", _best_fan_outs),),
        mutants=("theory-fan-out-one-by-one",),
    ),
    Claim(
        id="specsim.ssd-geometric-fan-out",
        title="Geometric fan-outs are the best",
        statement=(
            "The fan-outs F_0 a^(k / (1 + r)) for k < K, and F_0 a^(K / (1 + r)) (1 - a)^(-1 / (1 + r)) for "
            "K, are missed least among all of their sum."
        ),
        source="2603.03251, Theorem 12, as secondary sources report it",
        verdict=Verdict.CONDITION,
        condition=(
            "every token is accepted with the same probability, F guesses miss with probability F^-r at "
            "every place, and the numbers are whole"
        ),
        checks=(ExactCheck("every split; every exponent", _geometric),),
        mutants=("theory-geometric-to-the-end",),
    ),
    Claim(
        id="specsim.ssd-sampling",
        title="Sampling that favours the cache is lossless",
        statement=(
            "A draft that proposes the likeliest tokens less leaves the text with the target's law, if the "
            "changed row is used to draw, to test and for the residual; if tests and residuals read the old "
            "row, thirds with a factor of 1/2 are written as (1/4, 3/4), 1/12 from the target."
        ),
        source="2603.03251, Definition 14, as secondary sources report it",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("enumeration", _sampling_is_lossless),),
        mutants=("theory-ssd-tests-the-old-row",),
    ),
    Claim(
        id="specsim.ssd-sampling-trade",
        title="Drafting the likeliest tokens less raises the share of hits",
        statement=(
            "The smaller the factor on the F likeliest tokens, the more outcomes are guessed and the fewer "
            "tokens are accepted."
        ),
        source="2603.03251, Definition 14, as secondary sources report it",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("a draft close to the target; fours", _sampling_trade),),
        mutants=("theory-ssd-ranks-of-the-pair",),
    ),
    Claim(
        id="specsim.ssd-replication",
        title="Published rates by draft length follow from published times",
        statement=(
            "With the published call of 11.45 ms, 2.54 ms for each step of the cache and 3.59 ms besides, "
            "every outcome guessed, and one acceptance for each data set, fitted to the rate of 4 drafted "
            "tokens, the rates of 5, 6 and 7 are within 4 %. The default of 7 is the slowest of the four."
        ),
        source="2603.03251; Weili-0234/ssd-wl, commit 9a5e165, REPRODUCE.md (Qwen3-32B, 0.6B, greedy)",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("twelve rates", _replication),),
        mutants=("theory-ssd-drafting-is-hidden",),
    ),
    Claim(
        id="specsim.ssd-best-length",
        title="The best draft length is the number of steps that fit into a call",
        statement="The best K is the call over a step of the cache, rounded down: 11.45 / 2.54, 4.",
        source="2603.03251; Weili-0234/ssd-wl, commit 9a5e165, REPRODUCE.md",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("by the published times", _rule_of_thumb),),
        mutants=("theory-ssd-drafting-is-hidden",),
    ),
)

MUTANTS: tuple[Mutant, ...] = defined(globals())
