"""What is stated about speculative speculative decoding: hits, the renewal identity, a two-sided bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from specsim import Clock, ModelPair, Speculative, random_pair
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    equal,
    near,
)
from specsim.validation.mutants.model import Mutant, defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

ROUNDING = 1e-9


def _round(pair: ModelPair, start: int, longest: int, guesses: int) -> Iterator[tuple[bool, int, int, float]]:
    """Yield, for every draft and coin of a round: hit, the next context, emitted tokens, probability."""
    target, draft = pair.target[0].tolist(), pair.draft[0].tolist()
    after = pair.next_context.tolist()

    def guessed(context: int, without: int) -> list[int]:
        others = [token for token in range(pair.tokens) if token != without]
        return sorted(others, key=lambda token: (-draft[context][token], token))[:guesses]

    for drafted in product(range(pair.tokens), repeat=longest):
        here, alive, accepted = start, 1.0, 0
        # The draft is drawn as a whole, before any test.
        for token in drafted:
            alive, here = alive * draft[here][token], after[here][token]
        here = start
        for token in drafted:
            wanted, drawn = target[here], draft[here]
            kept = min(1.0, wanted[token] / drawn[token]) if drawn[token] else 0.0
            excess = [max(t - d, 0.0) for t, d in zip(wanted, drawn, strict=True)]
            for other in range(pair.tokens):
                if kept < 1 and excess[other]:
                    mass = alive * (1 - kept) * excess[other] / sum(excess)
                    yield other in guessed(here, token), after[here][other], accepted + 1, mass
            alive, here, accepted = alive * kept, after[here][token], accepted + 1
        for other, chance in enumerate(target[here]):
            yield other in guessed(here, -1), after[here][other], accepted + 1, alive * chance


def _enumerated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for seed in range(effort.pick(quick=2, standard=6, deep=30)):
        pair = random_pair(contexts=3, horizon=4, family="dirichlet", seed=720 + seed, stationary=True)
        for longest, guesses in ((1, 1), (3, 1), (2, 2)):
            moves, emitted = np.zeros((2, 3, 3)), np.zeros(3)
            for start in range(3):
                for hit, context, tokens, mass in _round(pair, start, longest, guesses):
                    moves[int(hit), start, context] += mass
                    emitted[start] += tokens * mass
            begin = np.linalg.matrix_power(moves.sum(axis=0), 4096)[0]
            where = f"{longest} drafted, {guesses} guessed, {pair.name}"
            found = theory.ssd_rounds(pair, longest, guesses)
            hits, misses = begin @ moves[1], begin @ moves[0]
            yield near(f"hits, {where}", found.hit, hits.sum(), ROUNDING)
            yield near(f"tokens after hits, {where}", found.after_hit, hits @ emitted / hits.sum(), ROUNDING)
            yield near(
                f"tokens after misses, {where}", found.after_miss, misses @ emitted / misses.sum(), ROUNDING
            )
            algorithm = Speculative(draft_length=longest)
            yield near(
                f"tokens per round, {where}",
                found.tokens,
                float(theory.stationary_block_efficiency(pair, algorithm)),
                ROUNDING,
            )
            # Without a cache every round waits: it is speculative decoding.
            none = theory.ssd_rounds(pair, longest, 0).speed_up(0.0, 0.2 * longest)
            plain = theory.stationary_speed_up(pair, algorithm, Clock(draft=Fraction(1, 5)))
            yield near(f"nothing guessed, {where}", none, plain, ROUNDING)
            everything = theory.ssd_rounds(pair, longest, 3).speed_up(1.5, 0.2)
            yield near(f"all guessed, {where}", everything, found.tokens / 1.5, ROUNDING)


def contrast(hits_are_good: bool) -> ModelPair:
    """Return a chain of a good context, where all is accepted, and a bad one; hits lead to one of them."""
    bad_token, bad_row = (1, [0.0, 1.0, 0.0]) if hits_are_good else (0, [1.0, 0.0, 0.0])
    good_row = [0.5, 0.5, 0.0]
    to = [1 if token == bad_token else 0 for token in range(3)]
    return ModelPair.from_probabilities(
        [[good_row, [0.0, 0.0, 1.0]]],
        [[good_row, bad_row]],
        initial=[1.0, 0.0],
        next_context=np.array([to, to]),
        horizon=4,
        name=f"hits lead to {'the good' if hits_are_good else 'the bad'} context",
    )


def _two_sided(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    time = Fraction(1, 2)
    for good, name in ((True, "lower"), (False, "upper")):
        found = witnesses.theory.ssd_rounds(contrast(good), 1, 1)
        hit, after_hit, tokens = (
            Fraction(value).limit_denominator(1000) for value in (found.hit, found.after_hit, found.tokens)
        )
        yield equal(
            f"hits and tokens, {name}", [hit, after_hit, tokens], [Fraction(1, 5), 1 + good, Fraction(9, 5)]
        )
        speed = Fraction(found.speed_up(0.5, 0.5)).limit_denominator(1000)
        gain = speed * (1 + time) / tokens
        scale = (1 + time) / (1 + time * (1 - hit)) if good else 1 + time
        bound = scale * after_hit / tokens
        yield counterexample(
            f"{name} bound, one drafted, one guessed, drafting takes half a call",
            gain < bound if good else gain > bound,
            f"hits {hit}, {after_hit} tokens after a hit and {tokens} on average: the gain over speculative "
            f"decoding is {gain} = {float(gain):.4f}, the {name} bound {bound} = {float(bound):.4f}",
            printed=bound,
            exact=gain,
        )


@mutant(formula("ssd_rounds"), cite="a hit rate and lengths taken for independent")
def theory_ssd_alike_after_hits(theory: Any, *arguments: Any) -> Any:
    """Rounds after hits and after misses emit alike."""
    found = theory.ssd_rounds(*arguments)
    return replace(found, after_hit=found.tokens, after_miss=found.tokens)


@mutant(formula("ssd_rounds"), cite="2603.03251: the token that is verified is no guess")
def theory_ssd_guesses_one_more(theory: Any, pair: Any, draft_length: int, fan_out: int) -> Any:
    """One token more is guessed than the fan-out says."""
    return theory.ssd_rounds(pair, draft_length, fan_out + 1)


CLAIMS = (
    Claim(
        id="specsim.ssd-renewal",
        title="Speculative speculative decoding as a renewal identity",
        statement=(
            "With p the share of guessed outcomes and E_hit, E_miss the tokens of rounds after hits and "
            "misses, all averages of long runs, the speed-up is (p E_hit + (1 - p) E_miss) / "
            "(p max(1, T_p) + (1 - p) (1 + T_b)); all three follow from matrices between "
            "contexts, and if both drafters draw from the same rows the tokens per "
            "round are those of speculative decoding."
        ),
        source="2603.03251, Theorem 7, as secondary sources report it",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("every draft and coin of a round", _enumerated),),
        mutants=("theory-ssd-alike-after-hits", "theory-ssd-guesses-one-more"),
    ),
    Claim(
        id="specsim.ssd-two-sided-bound",
        title="The two-sided bound of the gain over speculative decoding",
        statement=(
            "The gain lies between (1 + T) / (1 + T (1 - p)) E_hit / E_SD and (1 + T) E_hit / E_SD, where "
            "both drafters take T."
        ),
        source="2603.03251, Corollary 9, as secondary sources report it",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("hits that lead to good and to bad contexts", _two_sided),),
        mutants=("theory-ssd-alike-after-hits",),
    ),
)

MUTANTS: tuple[Mutant, ...] = defined(globals())
