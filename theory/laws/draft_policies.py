"""Adaptive draft lengths on a stationary chain: fixed ones, the best policy of a drafter, and an oracle.

A policy decides after every drafted token whether to draft one more, knowing the path drafted in this round.
Every token that was drafted is tested, so that each such policy is lossless. Any policy that looks at rows,
entropies or confidences along the path is one of them, so that none of these can be faster than the best one.
The best one is the optimum of a semi-Markov decision process over (path, probability that all of it will be
accepted), 2405.19715, solved here by policy iteration on all paths. The oracle knows how many tokens of an
endless draft will be accepted and drafts exactly those; no drafter can know that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specsim.algorithms import chain
from specsim.clocks import CostModel, check_clock
from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Bools, Floats, Integers
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of

_MOST_PATHS = 2**22
_MOST_ITERATIONS = 200
_SEVERAL = "long runs end in different sets of contexts; give a pair in which each is reached from all others"


@dataclass(frozen=True, eq=False)
class DraftPolicies:
    """Times per token of very long runs, in target calls.

    Attributes
    ----------
    fixed
        By draft length, from 0 on.
    best
        Time of the best policy that knows the path drafted so far.
    oracle
        Time of the oracle that drafts exactly what will be accepted.
    stops
        Entry k, ``(contexts, tokens ** k)``: whether the best policy stops after a path of k tokens, by
        the first context of the round and the path as a number in base `tokens`.
    alive
        Entry k, of the same shape: probability that the whole path will be accepted.
    contexts
        Entry k, of the same shape: the context after the path.

    Examples
    --------
    >>> from specsim import Clock, parse_pair, theory
    >>> pair = parse_pair("random:contexts=2,horizon=9,seed=3,stationary=yes")
    >>> found = theory.draft_policies(pair, Clock(draft=0.3), longest=3)
    >>> 0 <= found.reachable <= 1
    True
    """

    fixed: Floats
    best: float
    oracle: float
    stops: tuple[Bools, ...]
    alive: tuple[Floats, ...]
    contexts: tuple[Integers, ...]

    @property
    def best_length(self) -> int:
        """The best fixed draft length."""
        return int(self.fixed.argmin())

    @property
    def reachable(self) -> float:
        """Share of the gap between the best fixed length and the oracle that a policy can close."""
        gap = self.fixed.min() - self.oracle
        return float((self.fixed.min() - self.best) / gap) if gap > 1e-12 else 0.0


def draft_policies(pair: Pair, clock: CostModel, *, longest: int = 6) -> DraftPolicies:
    """Compare fixed draft lengths, the best policy and the oracle under the rule ``ratio``.

    Parameters
    ----------
    pair
        A stationary pair, in which every context can be reached from every other.
    clock
        What rounds cost; costs are those at the beginning of a text.
    longest
        Most drafted tokens in a round.

    Raises
    ------
    InputError
        The pair is not stationary.
    TooLargeError
        There are too many paths.

    Examples
    --------
    >>> from specsim import Clock, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=5,stationary=yes,family=peaked")
    >>> found = theory.draft_policies(pair, Clock(draft=0.2), longest=4)
    >>> bool(found.oracle < found.best <= found.fixed.min())
    True
    """
    check_clock(clock)
    chain_of = _Chain.of(pair)
    longest = whole("longest", longest, 1)
    costs = round_costs(clock, longest)
    size = chain_of.contexts * chain_of.tokens**longest
    if size > _MOST_PATHS:
        raise TooLargeError(
            f"longest is {longest} with {chain_of.tokens} tokens and {chain_of.contexts} contexts: {size} "
            "paths, "
            f"more than {_MOST_PATHS}; use a smaller longest"
        )
    fixed = np.array([_fixed_time(chain_of, costs, length) for length in range(longest + 1)])
    reach = chain_of.paths(longest)
    stops = [np.full(part.shape, depth >= int(fixed.argmin())) for depth, part in enumerate(reach.alive)]
    best = np.inf
    for _ in range(_MOST_ITERATIONS):
        rounds = chain_of.under(reach, stops, costs)
        time, worth = rounds.gain()
        if time >= best - 1e-13:
            break
        best, kept = time, [part.copy() for part in stops]
        stops = chain_of.improved(reach, costs, 1 / time, worth)
    return DraftPolicies(
        fixed=fixed,
        best=float(best),
        oracle=_oracle_time(chain_of, costs),
        stops=tuple(kept),
        alive=tuple(reach.alive),
        contexts=tuple(reach.context),
    )


def rule_time(
    pair: Pair,
    clock: CostModel,
    following: Callable[[int, int], int],
    *,
    longest: int,
    first: int = 1,
) -> float:
    """Return the time per token of a rule for the next draft length, given the last one and what it accepted.

    Parameters
    ----------
    pair, clock, longest
        As in `draft_policies`.
    following
        Takes draft length and accepted tokens of a round, returns the next draft length, from 1 to `longest`.
    first
        The first draft length.

    Notes
    -----
    The heuristic schedule of transformers: two more where the whole draft is accepted, else one less, at
    least one.

    Examples
    --------
    >>> from specsim import Clock, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=1,stationary=yes")
    >>> kept = theory.rule_time(pair, Clock(draft=0.1), lambda length, accepted: 2, longest=2, first=2)
    >>> round(1 / kept, 4)
    2.0103
    """
    check_clock(clock)
    here = _Chain.of(pair)
    longest = whole("longest", longest, 1)
    costs = round_costs(clock, longest)
    size = here.contexts * longest
    moves = np.zeros((longest, here.contexts, longest, here.contexts))
    tokens, times = np.zeros((longest, here.contexts)), np.zeros((longest, here.contexts))
    for length in range(1, longest + 1):
        alive = np.eye(here.contexts)
        for accepted in range(length + 1):
            ended = alive @ (here.target if accepted == length else here.replaced)
            after = following(length, accepted)
            moves[length - 1, :, whole("following", after, 1, longest) - 1] += ended
            tokens[length - 1] += (accepted + 1) * ended.sum(axis=1)
            alive = alive @ here.accepted
        times[length - 1] = costs[length]
    start = (whole("first", first, 1, longest) - 1) * here.contexts
    matrix = moves.reshape(size, size)
    reached = _reached(matrix, start)
    law = _stationary(matrix[np.ix_(reached, reached)])
    return float(law @ times.ravel()[reached] / (law @ tokens.ravel()[reached]))


def round_costs(clock: CostModel, longest: int) -> Floats:
    """Return the time of a round by its draft length, ``(longest + 1,)``."""
    return np.array([float(clock.round_time(chain(length))) for length in range(longest + 1)])


@dataclass(frozen=True)
class _Reach:
    """All drafted paths, by depth: probability, probability to be accepted, context after it."""

    mass: list[Floats]
    alive: list[Floats]
    context: list[Integers]


@dataclass(frozen=True)
class _Rounds:
    """Rounds of a policy by their first context."""

    tokens: Floats
    times: Floats
    moves: Floats

    def gain(self) -> tuple[float, Floats]:
        """Return time per token, and the relative worth of each first context in tokens."""
        law = _stationary(self.moves)
        time = float(law @ self.times / (law @ self.tokens))
        reward = self.tokens - self.times / time
        size = len(law)
        # The worth of context 0 is set to 0.
        matrix = np.eye(size) - self.moves
        matrix[:, 0] = 1.0
        try:
            worth = np.asarray(np.linalg.solve(matrix, reward), dtype=np.float64)
        except np.linalg.LinAlgError:
            raise InputError(_SEVERAL) from None
        worth[0] = 0.0
        return time, worth


@dataclass(frozen=True)
class _Chain:
    """Matrices between contexts: what is accepted, replaced, and emitted by the target."""

    rows: Floats
    drafts: Floats
    following: Integers
    accepted: Floats
    replaced: Floats
    target: Floats

    @property
    def contexts(self) -> int:
        return len(self.rows)

    @property
    def tokens(self) -> int:
        return self.rows.shape[1]

    @classmethod
    def of(cls, pair: Pair | PairTables) -> _Chain:
        tables = pair if isinstance(pair, PairTables) else tables_of(pair)
        if not tables.stationary:
            raise InputError("the rows change from step to step; give a stationary pair")
        rows, drafts, following = tables.target[0], tables.draft[0], tables.next_context

        def between(kernel: Floats) -> Floats:
            found = np.zeros((len(rows), len(rows)))
            np.add.at(found, (np.arange(len(rows))[:, None], following), kernel)
            return found

        return cls(
            rows=rows,
            drafts=drafts,
            following=following,
            accepted=between(np.minimum(rows, drafts)),
            replaced=between(np.maximum(rows - drafts, 0)),
            target=between(rows),
        )

    def paths(self, longest: int) -> _Reach:
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(self.drafts > 0, np.minimum(1.0, self.rows / self.drafts), 0.0)
        start = np.arange(self.contexts)[:, None]
        reach = _Reach([np.ones(start.shape)], [np.ones(start.shape)], [start])
        for _ in range(longest):
            context = reach.context[-1]
            shape = (self.contexts, -1)
            reach.mass.append((reach.mass[-1][..., None] * self.drafts[context]).reshape(shape))
            reach.alive.append((reach.alive[-1][..., None] * kept[context]).reshape(shape))
            reach.context.append(self.following[context].reshape(shape))
        return reach

    def under(self, reach: _Reach, stops: Sequence[Bools], costs: Floats) -> _Rounds:
        """Return the rounds of a policy, which drafts on where it does not stop."""
        size = self.contexts
        tokens, times, moves = np.zeros(size), np.zeros(size), np.zeros((size, size))
        going = np.ones_like(reach.mass[0], dtype=bool)
        starts = np.arange(size)[:, None]
        for depth, stop in enumerate(stops):
            mass = np.where(going, reach.mass[depth], 0.0)
            last = depth + 1 == len(stops)
            ended = np.where(stop | last, mass, 0.0)
            times += ended.sum(axis=1) * costs[depth]
            on = mass - ended
            # One more token where all before are accepted: a bonus, an accepted one or its replacement.
            tokens += (mass * reach.alive[depth]).sum(axis=1)
            for part, kernel in ((ended, self.target), (on, self.replaced)):
                by_context = np.zeros((size, size))
                index = np.broadcast_to(starts, part.shape)
                np.add.at(by_context, (index, reach.context[depth]), part * reach.alive[depth])
                moves += by_context @ kernel
            going = np.repeat(going & ~(stop | last), self.tokens, axis=1)
        return _Rounds(tokens, times, moves)

    def improved(self, reach: _Reach, costs: Floats, rate: float, worth: Floats) -> list[Bools]:
        """Return where stopping is best, by backward induction."""
        after_target, after_replaced = self.target @ worth, self.replaced @ worth
        stops: list[Bools] = []
        value = None
        for depth in reversed(range(len(costs))):
            alive, context = reach.alive[depth], reach.context[depth]
            stop = alive * after_target[context] - rate * costs[depth]
            if value is None:
                stops.append(np.ones(alive.shape, dtype=bool))
                value = stop
            else:
                children = value.reshape(*alive.shape, self.tokens)
                go = (self.drafts[context] * children).sum(axis=-1) + alive * after_replaced[context]
                stops.append(stop >= go)
                value = np.maximum(stop, go)
            # Every token that is emitted at this depth counts one, whatever is decided.
            value = value + alive
        return stops[::-1]


def _fixed_time(here: _Chain, costs: Floats, length: int) -> float:
    alive, moves = np.eye(here.contexts), np.zeros((here.contexts, here.contexts))
    tokens = np.zeros(here.contexts)
    for _ in range(length):
        tokens += alive.sum(axis=1)
        moves += alive @ here.replaced
        alive = alive @ here.accepted
    tokens += alive.sum(axis=1)
    law = _stationary(moves + alive @ here.target)
    return float(costs[length] / (law @ tokens))


def _oracle_time(here: _Chain, costs: Floats) -> float:
    """Return the time per token of rounds of the longest draft, each paid by what it accepts."""
    alive, moves = np.eye(here.contexts), np.zeros((here.contexts, here.contexts))
    tokens, times = np.zeros(here.contexts), np.zeros(here.contexts)
    for accepted, cost in enumerate(costs):
        ended = alive @ (here.target if accepted + 1 == len(costs) else here.replaced)
        moves += ended
        tokens += (accepted + 1) * ended.sum(axis=1)
        times += cost * ended.sum(axis=1)
        alive = alive @ here.accepted
    law = _stationary(moves)
    return float(law @ times / (law @ tokens))


def _reached(matrix: Floats, start: int) -> Integers:
    """Return the states that can be reached from where rounds start and are come back to."""
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(matrix > 0, connection="strong")
    closed = [c for c in np.unique(label) if not (matrix[np.ix_(label == c, label != c)] > 0).any()]
    reach = np.linalg.matrix_power(np.eye(len(matrix)) + (matrix > 0), len(matrix))[start] > 0
    found = [c for c in closed if reach[label == c].any()]
    if len(found) != 1:
        raise InputError(_SEVERAL)
    return np.flatnonzero(label == found[0])


def _stationary(moves: Floats) -> Floats:
    """Return the stationary law of a chain with one closed class."""
    size = len(moves)
    matrix = np.vstack([moves.T - np.eye(size), np.ones(size)])
    law = np.linalg.lstsq(matrix, np.append(np.zeros(size), 1.0), rcond=None)[0]
    found: Any = np.maximum(law, 0) / np.maximum(law, 0).sum()
    return found
