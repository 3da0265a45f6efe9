"""The exact law of a run along a known continuation, and the outcomes of a run from its accepted lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Bools, Floats, Integers


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the rounds of one sequence did, position by position.

    tested, rejected, bonus: booleans of shape ``(positions,)``: whether a drafted token was tested there, the
        token was written after a rejection, and it is a bonus token.
    depth: number of positions since the start of its round.
    drafted: drafted tokens of each round, shape ``(rounds,)``.
    start: first position of each round, from 0.
    """

    tested: Bools
    rejected: Bools
    bonus: Bools
    depth: Integers
    drafted: Integers
    start: Integers


def outcomes_of_rounds(
    accepted: Sequence[int], length: int, *, draft_length: int | None, bonus: bool, horizon: int | None = None
) -> Run:
    """Reconstruct what happened at every position from the accepted lengths of the rounds.

    accepted: accepted drafted tokens of each round, in order.
    length: emitted tokens.
    draft_length, bonus: of the algorithm; a round that starts at position n drafts
        ``min(draft_length, horizon - n)``.
    horizon: tokens that were asked for. Defaults to None: `length`. Larger where the sequence ended early;
        its last round may then have been cut inside what it accepted.
    InputError: no run of such an algorithm has these rounds.
    """
    limit = length if horizon is None else horizon
    tested, rejected, extra = np.zeros((3, length), dtype=bool)
    drafts, starts = [], []
    place = 0
    for index, count in enumerate(accepted):
        drafted = limit - place if draft_length is None else min(draft_length, limit - place)
        if place >= length or not 0 <= count <= drafted:
            raise InputError(
                f"round {index + 1} starts at position {place + 1} of {length} and accepts {count} of "
                f"{drafted} drafted tokens; such a run is impossible"
            )
        drafts.append(drafted)
        starts.append(place)
        tested[place : place + count] = True
        place += count
        if count < drafted and place < length:
            tested[place] = rejected[place] = True
            place += 1
        elif count == drafted and bonus and draft_length is not None and place < length:
            extra[place] = True
            place += 1
    if place != length:
        raise InputError(
            f"the rounds emit {place} tokens, the sequence has {length}; such a run is impossible"
        )
    start = np.array(starts, dtype=np.int64)
    return Run(
        tested=tested,
        rejected=rejected,
        bonus=extra,
        depth=np.arange(length) - np.repeat(start, np.diff(start, append=length)),
        drafted=np.array(drafts, dtype=np.int64),
        start=start,
    )


@dataclass(frozen=True, kw_only=True)
class PathLaw:
    """Expectations of a run given its continuation.

    tested: probability that a position is tested at a depth of its round of each kind, given the continuation
        before it. Shape ``(sequences, positions, kinds)``.
    accepted_length_counts: expected number of rounds with k accepted tokens, shape ``(sequences, longest +
        1)``; the sum over k is the expected number of target calls.
    """

    tested: Floats
    accepted_length_counts: Floats


def path_law(kept: Floats, kinds: Sequence[int], *, bonus: bool) -> PathLaw:
    """Return the law of the rounds of a lossless rule along known continuations.

    At a position of its round a lossless rule emits every token with its target probability, accepted or
    after a rejection. Given the continuation, what remains random is therefore a chain over the number of
    tokens accepted in the round so far.

    kept: probability that a position is not rejected given its token, by kind; shape ``(sequences, positions,
        kinds)``.
    kinds: the kind of each depth of a round, as many as tokens are drafted.
    bonus: of the algorithm.
    """
    sequences, places, _ = kept.shape
    longest = min(len(kinds), places)
    order = np.asarray(kinds[:longest], dtype=np.int64)
    tested = np.zeros(kept.shape)
    counts = np.zeros((sequences, longest + 1))
    # state[:, j]: probability of j tokens accepted so far in the round; j = longest: the draft is used up.
    state = np.zeros((sequences, longest + 1))
    state[:, 0] = 1.0
    for place in range(places):
        full = state[:, longest].copy()
        # A draft that would reach beyond the last position is shorter, and never used up before it.
        counts[:, longest] += full
        if not bonus:
            state[:, 0] += full
            full = np.zeros(sequences)
        stays = kept[:, place, order]
        open_rounds = state[:, :longest]
        for depth, kind in enumerate(order):
            tested[:, place, kind] += open_rounds[:, depth]
        lost = open_rounds * (1 - stays)
        counts[:, :longest] += lost
        following = np.zeros_like(state)
        following[:, 1:] = open_rounds * stays
        following[:, 0] = lost.sum(axis=1) + full
        state = following
    counts[:, 1:] += state[:, 1:]
    return PathLaw(tested=tested, accepted_length_counts=counts)
