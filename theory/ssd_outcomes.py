"""Speculative speculative decoding by brute force: every draft, coin and final token, in rationals.

Each round drafts all its tokens, lists the guesses of every position in a set, and looks the outcome up
there, as `specsim.engines.systems.ssd` says; no law is used. Two options make it what wrong implementations
do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from specsim.algorithms.fan_outs import FanOut, fan_outs
from specsim.errors import TooLargeError
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of

#: Drafts and final tokens of a run; the enumeration takes about 10 microseconds for each.
_MOST_DRAFTS = 2**20


class SsdOutcome(NamedTuple):
    """What a run did.

    tokens: the emitted text.
    rejected: positions at which a token was replaced.
    rounds: of each round, whether the primary drafted it (1, after a hit) or the backup (0), and the emitted
    tokens at its start.

    Examples
    --------
    >>> SsdOutcome(tokens=(1, 0, 1), rejected=(1,), rounds=((0, 0), (1, 2))).rounds[-1]
    (1, 2)
    """

    tokens: tuple[int, ...]
    rejected: tuple[int, ...]
    rounds: tuple[tuple[int, int], ...]


class _State(NamedTuple):
    context: int
    who: int
    outcome: SsdOutcome


def enumerate_ssd(
    pair: Pair,
    draft_length: int,
    fan_out: FanOut,
    *,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    ranked_by: Pair | None = None,
    horizon: int | None = None,
    tested_by: Pair | None = None,
    greedy_miss: bool = False,
) -> dict[SsdOutcome, Fraction]:
    """Enumerate every draft, coin and final token of a run of one sequence, in rationals.

    Parameters
    ----------
    pair
        A tiny pair.
    draft_length, fan_out, miss_fan_out, backup, ranked_by
        As in `specsim.engines.systems.ssd.simulate_ssd`.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    tested_by
        A pair whose draft rows the test and the residual read, whoever drafted. Defaults to None: the rows
        that were drafted with.
    greedy_miss
        Whether a draft of the backup is accepted as long as its tokens are the target's likeliest ones, and
        replaced by a draw from the target. Defaults to False: the rule ``ratio``.

    Raises
    ------
    InputError
        An argument is out of range.
    TooLargeError
        The enumeration would take too long.

    Examples
    --------
    >>> from specsim.theory import RationalPair
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=2)
    >>> law = enumerate_ssd(pair, 1, 1)
    >>> sum(probability for outcome, probability in law.items() if outcome.tokens == (1, 1))
    Fraction(9, 16)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    longest = whole("draft_length", draft_length, 1)
    size = tables.contexts * (2 * tables.tokens) ** horizon * tables.tokens ** min(longest, horizon)
    if size > _MOST_DRAFTS:
        raise TooLargeError(
            f"{tables.tokens} tokens and horizon {horizon} have about {size} drafts; use a smaller pair"
        )
    after_hit = fan_outs(fan_out, longest, tables.tokens)
    after_miss = after_hit
    if miss_fan_out is not None:
        after_miss = fan_outs(miss_fan_out, longest, tables.tokens, field="miss_fan_out")

    def rows_of(other: Pair | None) -> list[list[list[Fraction]]]:
        found = tables if other is None else tables_of(other)
        rows: list[list[list[Fraction]]] = found.fractions(found.draft_weights).tolist()
        return rows

    target = tables.fractions(tables.target_weights).tolist()
    drafts, ranked = (rows_of(backup), rows_of(None)), rows_of(ranked_by)
    tests = drafts if tested_by is None else (rows_of(tested_by), rows_of(tested_by))
    following = tables.next_context.tolist()

    def guesses(who: int, accepted: int, place: int, context: int, without: int | None) -> set[int]:
        row = ranked[tables.step_index(place)][context]
        likely = sorted((token for token in range(len(row)) if token != without), key=lambda t: (-row[t], t))
        return set(likely[: (after_miss, after_hit)[who][accepted]])

    def lines(who: int, context: int, place: int, steps: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        if steps == 0:
            yield (), Fraction(1)
            return
        for token, chance in enumerate(drafts[who][tables.step_index(place)][context]):
            if chance:
                for rest, probability in lines(who, following[context][token], place + 1, steps - 1):
                    yield (token, *rest), chance * probability

    def judged(who: int, place: int, context: int, token: int) -> tuple[Fraction, list[Fraction]]:
        """Return the probability to accept a token, and what replaces it otherwise."""
        wanted = target[tables.step_index(place)][context]
        if greedy_miss and who == 0:
            return Fraction(token == wanted.index(max(wanted))), wanted
        drawn = tests[who][tables.step_index(place)][context]
        kept = min(Fraction(1), wanted[token] / drawn[token]) if drawn[token] else Fraction(1)
        excess = [max(t - d, Fraction(0)) for t, d in zip(wanted, drawn, strict=True)]
        total = sum(excess)
        return kept, [weight / total for weight in excess] if total else wanted

    def ended(
        state: _State, text: tuple[int, ...], final: int, replaced: bool, context: int, known: set[int]
    ) -> _State:
        place = len(text)
        outcome = SsdOutcome(
            (*text, final),
            (*state.outcome.rejected, place) if replaced else state.outcome.rejected,
            (*state.outcome.rounds, (state.who, len(state.outcome.tokens))),
        )
        return _State(following[context][final], int(final in known), outcome)

    def one_round(state: _State) -> Iterator[tuple[_State, Fraction]]:
        begin, who = len(state.outcome.tokens), state.who
        for line, chance in lines(who, state.context, begin, min(longest, horizon - begin)):
            alive, here = chance, state.context
            for number, token in enumerate(line):
                place = begin + number
                kept, others = judged(who, place, here, token)
                text = state.outcome.tokens + line[:number]
                if kept < 1:
                    known = guesses(who, number, place, here, token)
                    for other, weight in enumerate(others):
                        if weight:
                            yield ended(state, text, other, True, here, known), alive * (1 - kept) * weight
                alive *= kept
                if not alive:
                    break
                here = following[here][token]
            else:
                text, place = state.outcome.tokens + line, begin + len(line)
                if place == horizon:
                    outcome = state.outcome._replace(
                        tokens=text, rounds=(*state.outcome.rounds, (who, begin))
                    )
                    yield _State(here, 0, outcome), alive
                    continue
                known = guesses(who, len(line), place, here, None)
                for final, weight in enumerate(target[tables.step_index(place)][here]):
                    if weight:
                        yield ended(state, text, final, False, here, known), alive * weight

    law: dict[SsdOutcome, Fraction] = defaultdict(Fraction)
    states = {
        _State(context, 0, SsdOutcome((), (), ())): chance
        for context, chance in enumerate(tables.fractions(tables.initial_weights).tolist())
        if chance
    }
    while states:
        after: dict[_State, Fraction] = defaultdict(Fraction)
        for state, chance in states.items():
            for new, probability in one_round(state):
                if len(new.outcome.tokens) == horizon:
                    law[new.outcome] += chance * probability
                else:
                    after[new] += chance * probability
        states = after
    return dict(law)
