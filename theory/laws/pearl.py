"""PEARL, 2408.11850: rounds, time and its law, and the long run as a renewal process.

Each emitted token is tested once, whatever was drafted when, so that the output and its rejections have the
law of speculative decoding without bonus tokens. Only the rounds differ: they are a walk over (verified
tokens, mode, context), written here with matrices. `specsim.engines.systems.pearl` says what a round is.
"""

from __future__ import annotations

from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from specsim.clocks import CostModel, check_clock, to_ticks
from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.times import TimeLaw

_MOST_CELLS = 2**26


def pearl_rounds(pair: Pair, draft_length: int, *, horizon: int | None = None, exact: bool = False) -> Array:
    """Return the expected rounds of PEARL by mode and verified tokens at their start, ``(2, horizon)``.

    Parameters
    ----------
    pair
        What drafts and verifies.
    draft_length
        K, the draft steps during a target call.
    horizon, exact
        As in `expected_rejections`.

    Examples
    --------
    >>> from specsim import theory
    >>> from specsim.theory import RationalPair
    >>> from fractions import Fraction
    >>> low, high = Fraction(1, 4), Fraction(3, 4)
    >>> pair = RationalPair.independent([low, high], [high, low], horizon=3)
    >>> theory.pearl_rounds(pair, 2, exact=True).sum()
    Fraction(11, 4)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    longest = whole("draft_length", draft_length, 1)
    masses, _ = _walk(tables, longest, horizon, np.zeros((2, horizon), dtype=np.int64), exact)
    return masses


def expected_pearl_time(
    pair: Pair,
    draft_length: int,
    clock: CostModel,
    *,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expected time of a run of PEARL, in target calls.

    Parameters
    ----------
    pair, draft_length, horizon, exact
        As in `pearl_rounds`.
    clock
        What steps, calls and the end of a round cost; a round takes the longer of its draft steps and its
        call, and the overhead.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> round(theory.expected_pearl_time(paper_pair(50), 4, Clock(draft=0.25)), 4)
    30.9129
    >>> round(theory.expected_time(paper_pair(50), Speculative(draft_length=4), Clock(draft=0.25)), 4)
    38.5285
    """
    check_clock(clock)
    horizon = tables_of(pair).check_horizon(horizon)
    rounds = pearl_rounds(pair, draft_length, horizon=horizon, exact=exact)
    times = _round_times(clock, draft_length, horizon)
    if exact:
        return sum((a * b for a, b in zip(rounds.ravel().tolist(), times, strict=True)), Fraction(0))
    return float(rounds.ravel() @ np.array(times, dtype=np.float64))


def pearl_time_law(
    pair: Pair,
    draft_length: int,
    clock: CostModel,
    *,
    horizon: int | None = None,
    exact: bool = False,
) -> TimeLaw:
    """Return the law of the time of a run of PEARL, in integer ticks.

    Parameters are those of `expected_pearl_time`.

    Raises
    ------
    TooLargeError
        The unit is so fine that there are too many ticks.

    Examples
    --------
    >>> from specsim import Clock, paper_pair, theory
    >>> theory.pearl_time_law(paper_pair(50), 4, Clock(draft=0.25)).quantile(0.5)
    Fraction(31, 1)
    """
    check_clock(clock)
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    longest = whole("draft_length", draft_length, 1)
    ticks = to_ticks(_round_times(clock, longest, horizon))
    if horizon * (horizon * max(ticks.counts) + 1) * tables.contexts > _MOST_CELLS:
        raise TooLargeError(
            f"a tick is {ticks.unit} target calls and a round has up to {max(ticks.counts)}; "
            "round the costs or a smaller horizon"
        )
    costs = np.array(ticks.counts, dtype=np.int64).reshape(2, horizon)
    _, law = _walk(tables, longest, horizon, costs, exact)
    return TimeLaw(ticks.unit, law)


def stationary_pearl_speed_up(pair: Pair, draft_length: int, clock: CostModel) -> float:
    """Return the time of plain decoding over that of PEARL, for very long runs of a stationary pair.

    Parameters are those of `expected_pearl_time`; costs are those at the beginning of a text.

    Notes
    -----
    Rejections are renewals of the chain of contexts. With A what is accepted between contexts, a cycle has
    ``(I - A)^-1 1`` tokens, one round in mode 0 and ``A (I - A^K)^-1 1`` rounds in mode 1.

    Raises
    ------
    InputError
        The pair is not stationary, its clock depends on the context's length, or long runs end in different
        sets of contexts or reject nothing in some.

    Examples
    --------
    >>> from specsim import Clock, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=1,stationary=yes")
    >>> round(theory.stationary_pearl_speed_up(pair, 5, Clock(draft=0.2)), 4)
    2.2132
    """
    check_clock(clock)
    tables = tables_of(pair)
    longest = whole("draft_length", draft_length, 1)
    if not tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    if clock.target_time(1) != clock.target_time(1, 1, 1000):
        raise InputError("the clock depends on the length of the context; give a horizon, not the long run")
    accepted, replaced = accepted_and_replaced(tables, 0, False)
    first, later = (
        float(max(longest * clock.draft_time(1), clock.target_time(width)) + clock.overhead_time())
        for width in (1, longest)
    )
    plain = float(clock.target_time(1))
    if not replaced.any():
        return longest * plain / later
    size = tables.contexts
    rest = np.eye(size) - accepted
    if np.linalg.matrix_rank(rest) < size:
        raise InputError(
            "some contexts never lead to a rejection; give a pair in which each does, or none rejects"
        )
    renewed = np.linalg.solve(rest, replaced)
    start = recurrent_law(renewed)
    ones = np.ones(size)
    tokens = start @ np.linalg.solve(rest, ones)
    whole_rounds = np.linalg.solve(np.eye(size) - np.linalg.matrix_power(accepted, longest), ones)
    return float(tokens * plain / (first + later * (start @ accepted @ whole_rounds)))


def constant_acceptance_pearl_tokens(acceptance: Any, draft_length: int) -> Any:
    """Return tokens per round of long runs of PEARL if every token were accepted with a.

    Parameters
    ----------
    acceptance
        a, a probability.
    draft_length
        K, at least 1.

    Notes
    -----
    ``1 / (1 - a + a / (1 + a + ... + a^(K-1)))``, between 1 and K: the tokens of a cycle,
    1 / (1 - a), over its rounds, 1 + a / (1 - a^K).

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import theory
    >>> theory.constant_acceptance_pearl_tokens(Fraction(1, 2), 2)
    Fraction(6, 5)
    """
    longest = whole("draft_length", draft_length, 1, 10_000)
    number = isinstance(acceptance, Real) and not isinstance(acceptance, bool)
    if not number or not 0 <= acceptance <= 1:
        raise InputError(f"acceptance is {acceptance!r}; give a probability")
    powers = sum((acceptance**place for place in range(longest)), acceptance * 0)
    return 1 / (1 - acceptance + acceptance / powers)


def recurrent_law(moves: Array) -> Array:
    """Return the law of the context in which cycles of long runs start, given that of the next cycle's.

    InputError: it depends on how the run began.
    """
    size = len(moves)
    equations = np.vstack([moves.T - np.eye(size), np.ones(size)])
    start, _, rank, _ = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)
    if rank < size:
        raise InputError(
            "long runs end in different sets of contexts; "
            "give a pair in which each is reached from all others"
        )
    return np.asarray(start)


def _round_times(clock: CostModel, longest: int, horizon: int) -> list[Fraction]:
    """Return the time of a round, first in mode 0 and then in mode 1, by verified tokens at its start."""
    found = []
    for mode in (0, 1):
        for start in range(horizon):
            waiting = mode * min(longest - 1, horizon - start)
            steps = min(longest, horizon - start - waiting)
            drafting, calling = (
                steps * clock.draft_time(1, 1, start),
                clock.target_time(1 + waiting, 1, start),
            )
            found.append(max(drafting, calling) + clock.overhead_time(1))
    return found


def _walk(tables: PairTables, longest: int, horizon: int, costs: Array, exact: bool) -> tuple[Array, Array]:
    """Return the probability of a round by mode and verified tokens, and the law of the sum of the costs."""
    kind: Any = object if exact else np.float64
    ticks = 1 + horizon * int(costs.max())
    matrices = [
        accepted_and_replaced(tables, step, exact) for step in range(1 if tables.stationary else horizon)
    ]
    states = np.zeros((2, horizon + 1, ticks, tables.contexts), dtype=kind)
    if exact:
        states += Fraction(0)
    states[0, 0, 0] = tables.fractions(tables.initial_weights) if exact else tables.initial
    for start in range(horizon):
        for mode in (0, 1):
            cost = int(costs[mode, start])
            alive = np.roll(states[mode, start], cost, axis=0)
            waiting = mode * min(longest - 1, horizon - start)
            end = min(start + waiting + 1, horizon)
            for place in range(start, end):
                accepted, replaced = matrices[min(place, len(matrices) - 1)]
                states[0, place + 1] += alive @ replaced
                alive = alive @ accepted
            states[1, end] += alive
    return states[:, :horizon].sum(axis=(2, 3)), states[:, horizon].sum(axis=(0, 2))


def accepted_and_replaced(tables: PairTables, step: int, exact: bool) -> tuple[Array, Array]:
    """Return what moves contexts with an accepted token and with a replaced one."""
    if exact:
        target, draft = (
            tables.fractions(weights[step]) for weights in (tables.target_weights, tables.draft_weights)
        )
    else:
        target, draft = tables.target[step], tables.draft[step]
    accepted = np.zeros((tables.contexts, tables.contexts), dtype=target.dtype)
    if exact:
        accepted += Fraction(0)
    replaced = accepted.copy()
    for context in range(tables.contexts):
        for token, after in enumerate(tables.next_context[context]):
            both = min(target[context, token], draft[context, token])
            accepted[context, after] += both
            replaced[context, after] += target[context, token] - both
    return accepted, replaced
