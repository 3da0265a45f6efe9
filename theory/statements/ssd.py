"""Speculative speculative decoding, 2603.03251: hits of its cache, and time as a renewal identity.

While K drafted tokens are verified on one device, another drafts the next round for guessed outcomes. An
outcome is the number of accepted tokens and the token after them. Guessed are, after each number, the F
likeliest tokens of the draft row there, without the token that is being verified. A round after a hit has its
draft ready; after a miss it waits for a backup drafter. Both draft from the pair's draft rows here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.pearl import accepted_and_replaced, recurrent_law

_MOST_WORK = 2**24


@dataclass(frozen=True)
class SsdRounds:
    """Averages over the rounds of very long runs.

    Attributes
    ----------
    hit
        Share of the rounds whose outcome was guessed.
    after_hit, after_miss
        Tokens emitted by a round that follows a hit, and a miss; 0 where there are none.

    Examples
    --------
    >>> SsdRounds(hit=0.5, after_hit=3.0, after_miss=2.0).speed_up(primary=0.5, backup=0.25)
    2.2222222222222223
    """

    hit: float
    after_hit: float
    after_miss: float

    @property
    def tokens(self) -> float:
        """Tokens per round: those of speculative decoding, since both drafters draw from the same rows."""
        return self.hit * self.after_hit + (1 - self.hit) * self.after_miss

    def speed_up(self, primary: float, backup: float) -> float:
        """Return the time of plain decoding over that of long runs.

        primary, backup: times to draft beside the target call, and after a miss, in target calls.
        InputError: one of them is negative.
        """
        if not (primary >= 0 and backup >= 0):
            raise InputError(f"primary is {primary!r} and backup is {backup!r}; give times of at least 0")
        return float(self.tokens / (self.hit * max(1.0, primary) + (1 - self.hit) * (1 + backup)))


def ssd_rounds(pair: Pair, draft_length: int, fan_out: int) -> SsdRounds:
    """Return how often outcomes are guessed, and what rounds emit after hits and misses.

    Parameters
    ----------
    pair
        A stationary pair, in which every context can be reached from every other.
    draft_length
        K, drafted tokens of a round.
    fan_out
        F, guessed tokens after each number of accepted ones; 0 for no cache.

    Raises
    ------
    InputError
        The pair is not stationary, or long runs depend on how they begin.
    TooLargeError
        There are too many contexts and tokens.

    Notes
    -----
    The mass of a rejection of x and a replacement by t is (D - T)_+(x) (T - D)_+(t) / TV. Of equally likely
    tokens those with smaller numbers are guessed.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> pair = parse_pair("random:contexts=4,horizon=9,seed=1,stationary=yes")
    >>> [round(theory.ssd_rounds(pair, 3, fan_out).hit, 4) for fan_out in (0, 1, 2, 4)]
    [0.0, 0.1693, 0.5557, 1.0]
    """
    tables = tables_of(pair)
    longest, guesses = whole("draft_length", draft_length, 1), whole("fan_out", fan_out, 0)
    if not tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    size, tokens = tables.contexts, tables.tokens
    if size * tokens * tokens > _MOST_WORK:
        raise TooLargeError(f"{size} contexts and {tokens} tokens are too many; use a smaller pair")
    target, draft, following = tables.target[0], tables.draft[0], tables.next_context
    # Where the next round starts, by whether its draft is ready: after a rejection and after a whole draft.
    rejected, passed = np.zeros((2, size, size)), np.zeros((2, size, size))

    def add(moves: Array, context: int, guessed: Array, mass: Array) -> None:
        hit = np.isin(np.arange(tokens), guessed)
        for ready in (0, 1):
            np.add.at(moves[ready, context], following[context], np.where(hit == ready, mass, 0.0))

    for context in range(size):
        lost = np.maximum(draft[context] - target[context], 0.0)
        gained = np.maximum(target[context] - draft[context], 0.0)
        ranked = np.argsort(-draft[context], kind="stable")
        for token in np.flatnonzero(lost):
            mass = lost[token] * gained / gained.sum()
            add(rejected, context, ranked[ranked != token][:guesses], mass)
        add(passed, context, ranked[:guesses], target[context])
    accepted, _ = accepted_and_replaced(tables, 0, False)
    moves, alive, emitted = np.zeros((2, size, size)), np.eye(size), np.ones(size)
    for _ in range(longest):
        moves += alive @ rejected
        alive = alive @ accepted
        emitted += alive.sum(axis=1)
    moves += alive @ passed
    miss, hit = recurrent_law(moves.sum(axis=0)) @ moves
    return SsdRounds(
        float(hit.sum()),
        float(hit @ emitted / hit.sum()) if hit.sum() > 0 else 0.0,
        float(miss @ emitted / miss.sum()) if miss.sum() > 0 else 0.0,
    )
