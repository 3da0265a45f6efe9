"""PEARL by brute force: every draft, coin and replacement of the published loop, in rationals.

Tokens are drawn, carried and thrown away as `specsim.engines.systems.pearl` says, with a list of the tokens
that wait; no law is used. Two options make it what the authors' code of 2024 does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from specsim.errors import TooLargeError
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of

#: Drafts of a round, over all states; the enumeration takes about 10 microseconds for each.
_MOST_DRAFTS = 2**20


class PearlOutcome(NamedTuple):
    """What a run of PEARL did.

    tokens: the emitted text.
    rejected: positions at which a token was replaced.
    rounds: of each round, whether it is one of post-verify (mode 1), and the verified tokens at its start.

    Examples
    --------
    >>> PearlOutcome(tokens=(1, 0, 1), rejected=(1,), rounds=((0, 0), (1, 1), (0, 2)))[1]
    (1,)
    """

    tokens: tuple[int, ...]
    rejected: tuple[int, ...]
    rounds: tuple[tuple[int, int], ...]


class _State(NamedTuple):
    """A run between rounds; the coin of its last test was below `coin` where this is below 1."""

    context: int
    outcome: PearlOutcome
    waiting: tuple[int, ...]
    mode: int
    coin: Fraction


def enumerate_pearl(
    pair: Pair,
    draft_length: int,
    *,
    horizon: int | None = None,
    shared_coin: bool = False,
    tested_end: bool = True,
) -> dict[PearlOutcome, Fraction]:
    """Enumerate every draft, coin and replacement of PEARL, in rationals.

    Parameters
    ----------
    pair
        A tiny pair.
    draft_length
        K, the draft steps during a target call.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    shared_coin
        Whether the first test of mode 1 uses again the coin by which the round of mode 0 before it accepted
        its token. Defaults to False: a separate coin.
    tested_end
        Whether tokens that wait at the end are tested. With False they are emitted as drafted.

    Raises
    ------
    TooLargeError
        The enumeration would take too long.

    Examples
    --------
    >>> from specsim.theory import RationalPair
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=2)
    >>> law = enumerate_pearl(pair, 2)
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
    target, draft = (tables.fractions(w).tolist() for w in (tables.target_weights, tables.draft_weights))
    following = tables.next_context.tolist()

    def rows(place: int, context: int) -> tuple[list[Fraction], list[Fraction]]:
        step = tables.step_index(place)
        return target[step][context], draft[step][context]

    def drafts(context: int, place: int, steps: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        if steps == 0:
            yield (), Fraction(1)
            return
        for token, chance in enumerate(rows(place, context)[1]):
            if chance:
                for rest, probability in drafts(following[context][token], place + 1, steps - 1):
                    yield (token, *rest), chance * probability

    def one_round(state: _State) -> Iterator[tuple[_State, Fraction]]:
        begin, outcome = len(state.outcome.tokens), state.outcome
        known = begin + len(state.waiting)
        context = state.context
        for token in state.waiting:
            context = following[context][token]
        outcome = outcome._replace(rounds=(*outcome.rounds, (state.mode, begin)))
        for new, chance in drafts(context, known, min(longest, horizon - known)):
            line = state.waiting + new
            tested = line[: len(state.waiting) + 1]
            # What is alive: everything so far was accepted.
            alive, here, done = chance, state.context, outcome
            for number, token in enumerate(tested):
                place = begin + number
                wanted, drawn = rows(place, here)
                kept = min(Fraction(1), wanted[token] / drawn[token])
                bound = state.coin if number == 0 else Fraction(1)
                passed = min(kept, bound) / bound
                if passed < 1:
                    excess = [max(t - d, Fraction(0)) for t, d in zip(wanted, drawn, strict=True)]
                    for other, weight in enumerate(excess):
                        if weight:
                            probability = alive * (1 - passed) * weight / sum(excess)
                            ended = PearlOutcome((*done.tokens, other), (*done.rejected, place), done.rounds)
                            yield _State(following[here][other], ended, (), 0, Fraction(1)), probability
                alive *= passed
                if not alive:
                    break
                here, done = following[here][token], done._replace(tokens=(*done.tokens, token))
            else:
                coin = kept if shared_coin and state.mode == 0 else Fraction(1)
                yield _State(here, done, line[len(tested) :], 1, coin), alive

    law: dict[PearlOutcome, Fraction] = defaultdict(Fraction)
    initial = tables.fractions(tables.initial_weights).tolist()
    states = {
        _State(context, PearlOutcome((), (), ()), (), 0, Fraction(1)): chance
        for context, chance in enumerate(initial)
        if chance
    }
    while states:
        after: dict[_State, Fraction] = defaultdict(Fraction)
        for state, chance in states.items():
            for new, probability in one_round(state):
                text = new.outcome.tokens
                if not tested_end and len(text) + len(new.waiting) == horizon:
                    text += new.waiting
                if len(text) == horizon:
                    law[new.outcome._replace(tokens=text)] += chance * probability
                else:
                    after[new] += chance * probability
        states = after
    return dict(law)
