"""Speculative speculative decoding, 2603.03251: hits of its cache, time and its law, and long runs.

A run is a walk over (emitted tokens, who drafted, context), written here with matrices between contexts.
`specsim.engines.systems.ssd` says what a round is and what it takes. Guesses need no enumeration of pairs of
tokens: after a rejection, the F likeliest tokens are guessed whatever was rejected, and the next likely one
is guessed if one of those before it was rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from specsim.algorithms.fan_outs import FanOut, fan_outs
from specsim.clocks import CostModel, check_clock, to_ticks
from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.pearl import recurrent_law
from specsim.theory.laws.times import TimeLaw

_MOST_CELLS = 2**26
#: States of long runs of a batch: contexts of all sequences, twice.
_MOST_STATES = 1024


@dataclass(frozen=True)
class SsdRounds:
    """Averages over the rounds of very long runs.

    Attributes
    ----------
    hit
        Share of the rounds whose outcome was guessed; in a batch, for all its sequences.
    after_hit, after_miss
        Tokens that a sequence emits in a round that follows a hit, and a miss; 0 where there are none.

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
        """Tokens per round: those of speculative decoding, if both speculators draw from the same rows."""
        return self.hit * self.after_hit + (1 - self.hit) * self.after_miss

    def speed_up(self, primary: float, backup: float) -> float:
        """Return the time of plain decoding over that of long runs.

        primary, backup: times to draft during the target call, and after a miss, in target calls.
        InputError: one of them is negative.
        """
        if not (primary >= 0 and backup >= 0):
            raise InputError(f"primary is {primary!r} and backup is {backup!r}; give times of at least 0")
        return float(self.tokens / (self.hit * max(1.0, primary) + (1 - self.hit) * (1 + backup)))


def ssd_rounds(
    pair: Pair,
    draft_length: int,
    fan_out: FanOut,
    *,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    ranked_by: Pair | None = None,
    batch: int = 1,
) -> SsdRounds:
    """Return how often outcomes are guessed, and what rounds emit after hits and misses.

    Parameters
    ----------
    pair
        A stationary pair, in which every context can be reached from every other.
    draft_length
        K, drafted tokens of a round.
    fan_out, miss_fan_out, backup, ranked_by
        As in `specsim.engines.systems.ssd.simulate_ssd`.
    batch
        Sequences that are decoded together; one miss makes the backup draft for all.

    Raises
    ------
    InputError
        An argument is out of range, the pair is not stationary, or long runs depend on how they begin.
    TooLargeError
        There are too many contexts for a batch of this size.

    Notes
    -----
    With G = (T - D)_+, E = (D - T)_+ and the tokens in the order of the draft row, a rejection is followed by
    a guessed token with the sum of G over the F first, and G of the next one times the share of E on the F
    first. Of equally likely tokens those with smaller numbers come first.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> pair = parse_pair("random:contexts=4,horizon=9,seed=1,stationary=yes")
    >>> [round(theory.ssd_rounds(pair, 3, fan_out).hit, 4) for fan_out in (0, 1, 2, 4)]
    [0.0, 0.1693, 0.5557, 1.0]
    """
    system = SsdSystem(pair, draft_length, fan_out, miss_fan_out, backup, ranked_by)
    start, hits, emitted = _long_run(system, whole("batch", batch, 1))
    hit = np.array([(start[who] * hits[who]).sum() for who in (0, 1)]).sum()
    shares = [start[who].sum() for who in (0, 1)]
    after_miss, after_hit = (
        float(start[who] @ emitted[who] / shares[who]) if shares[who] > 1e-12 else 0.0 for who in (0, 1)
    )
    return SsdRounds(float(hit), after_hit, after_miss)


def ssd_round_counts(
    pair: Pair,
    draft_length: int,
    fan_out: FanOut,
    *,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    ranked_by: Pair | None = None,
    horizon: int | None = None,
    exact: bool = False,
) -> Array:
    """Return expected rounds of a sequence by who drafted (0: backup) and tokens before, ``(2, horizon)``.

    Parameters are those of `ssd_rounds`; `horizon` and `exact` as in `expected_rejections`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.ssd_round_counts(paper_pair(50), 4, 3).sum(axis=1).round(4)
    array([14.7145,  4.8211])
    """
    system = SsdSystem(pair, draft_length, fan_out, miss_fan_out, backup, ranked_by)
    horizon = system.tables.check_horizon(horizon)
    return _walk(system, None, horizon, exact).counts


def expected_ssd_time(
    pair: Pair,
    draft_length: int,
    clock: CostModel,
    *,
    fan_out: FanOut = 3,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    backup_clock: CostModel | None = None,
    ranked_by: Pair | None = None,
    finishes_cache: bool = False,
    horizon: int | None = None,
    exact: bool = False,
) -> Any:
    """Return the expected time of a run of one sequence, in target calls.

    Parameters are those of `specsim.engines.systems.ssd.simulate_ssd`; `horizon` and `exact` as in
    `expected_rejections`.

    Examples
    --------
    >>> from specsim import Clock, Speculative, paper_pair, theory
    >>> clock = Clock(draft=0.1)
    >>> [float(theory.expected_ssd_time(paper_pair(50), 4, clock, fan_out=n).round(4)) for n in (0, 3, 7)]
    [27.1327, 25.2578, 19.9356]
    >>> round(theory.expected_time(paper_pair(50), Speculative(draft_length=4), clock), 4)
    27.1327
    """
    system = SsdSystem(pair, draft_length, fan_out, miss_fan_out, backup, ranked_by)
    horizon = system.tables.check_horizon(horizon)
    times = _Times.of(clock, backup_clock, system.guesses, system.longest, horizon, finishes_cache)
    if not exact:
        times = times.replaced([float(time) for time in times.all()])
    return _walk(system, times, horizon, exact).time


def ssd_time_law(
    pair: Pair,
    draft_length: int,
    clock: CostModel,
    *,
    fan_out: FanOut = 3,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    backup_clock: CostModel | None = None,
    ranked_by: Pair | None = None,
    finishes_cache: bool = False,
    horizon: int | None = None,
    exact: bool = False,
) -> TimeLaw:
    """Return the law of the time of a run of one sequence, in integer ticks.

    Parameters are those of `expected_ssd_time`.

    Raises
    ------
    TooLargeError
        The unit is so fine that there are too many ticks.

    Examples
    --------
    >>> from specsim import Clock, paper_pair, theory
    >>> theory.ssd_time_law(paper_pair(50), 4, Clock(draft=0.1)).quantile(0.5)
    Fraction(251, 10)
    """
    system = SsdSystem(pair, draft_length, fan_out, miss_fan_out, backup, ranked_by)
    horizon = system.tables.check_horizon(horizon)
    times = _Times.of(clock, backup_clock, system.guesses, system.longest, horizon, finishes_cache)
    found = to_ticks(times.all())
    times = times.replaced(found.counts)
    most = times.most()
    if (horizon + 1) * 2 * (most + 1) * system.tables.contexts > _MOST_CELLS:
        raise TooLargeError(
            f"a tick is {found.unit} target calls and a run has up to {most}; "
            "round the costs or use a smaller horizon"
        )
    law = _walk(system, times, horizon, exact, most + 1).law
    return TimeLaw(found.unit, law)


def stationary_ssd_speed_up(
    pair: Pair,
    draft_length: int,
    clock: CostModel,
    *,
    fan_out: FanOut = 3,
    miss_fan_out: FanOut | None = None,
    backup: Pair | None = None,
    backup_clock: CostModel | None = None,
    ranked_by: Pair | None = None,
    finishes_cache: bool = False,
    batch: int = 1,
) -> float:
    """Return the time of plain decoding over that of very long runs of a stationary pair.

    Parameters are those of `specsim.engines.systems.ssd.simulate_ssd`; costs are those at the beginning of a
    text, and plain decoding has the same batch.

    Raises
    ------
    InputError
        As `ssd_rounds`; or a clock depends on the length of the context.
    TooLargeError
        As `ssd_rounds`.

    Examples
    --------
    >>> from specsim import Clock, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=1,stationary=yes")
    >>> [round(theory.stationary_ssd_speed_up(pair, 3, Clock(draft=0.2), fan_out=n), 4) for n in (0, 1, 2)]
    [1.8143, 2.0614, 2.7521]
    """
    system = SsdSystem(pair, draft_length, fan_out, miss_fan_out, backup, ranked_by)
    batch = whole("batch", batch, 1)
    # The first round of a text in which no end is near.
    many = 2 * system.longest + 2
    times = _Times.of(clock, backup_clock, system.guesses, system.longest, many, finishes_cache, batch)
    for value in (clock, backup_clock or clock):
        if [value.draft_time(1), value.target_time(1)] != [
            value.draft_time(1, 1, 1000),
            value.target_time(1, 1, 1000),
        ]:
            raise InputError(
                "the clock depends on the length of the context; give a horizon, not the long run"
            )
    start, hits, emitted = _long_run(system, batch)
    time = tokens = 0.0
    for who in (0, 1):
        hit = float((start[who] * hits[who]).sum())
        share = float(start[who].sum())
        time += share * float(times.calls[0])
        time += hit * float(times.hit_waits[who][0])
        time += (share - hit) * float(times.miss_waits[who][0] + times.backups[0])
        tokens += float(start[who] @ emitted[who])
    return tokens * float(clock.target_time(1, batch)) / time


class SsdSystem:
    """What drafts, guesses and verifies: rows of both speculators, guesses after each position."""

    def __init__(
        self,
        pair: Pair,
        draft_length: int,
        fan_out: FanOut,
        miss_fan_out: FanOut | None = None,
        backup: Pair | None = None,
        ranked_by: Pair | None = None,
    ) -> None:
        self.tables = tables_of(pair)
        self.longest = whole("draft_length", draft_length, 1)
        tokens = self.tables.tokens
        after_hit = fan_outs(fan_out, self.longest, tokens)
        after_miss = after_hit
        if miss_fan_out is not None:
            after_miss = fan_outs(miss_fan_out, self.longest, tokens, field="miss_fan_out")
        #: Guesses of rounds that the backup and the primary drafted.
        self.guesses = (after_miss, after_hit)
        #: Tables whose draft rows are the backup's and the primary's.
        self.drafters = (_alike("backup", backup, self.tables), self.tables)
        self._ranked = _alike("ranked_by", ranked_by, self.tables)
        self._known: dict[tuple[int, int, bool], _Step] = {}

    @cached_property
    def order(self) -> Array:
        """The tokens of each row, likeliest first, ``(steps, contexts, tokens)``."""
        weights = self._ranked.draft_weights
        signed = weights.view(np.int64) if weights.dtype == np.uint64 else weights
        return np.argsort(-signed, axis=-1, kind="stable")

    def step(self, who: int, place: int, exact: bool) -> _Step:
        """Return what one position does with a token that `who` drafted."""
        index = self.tables.step_index(place)
        key = (who, index, exact)
        if key not in self._known:
            self._known[key] = _Step(self, self.drafters[who], index, exact)
        return self._known[key]

    def finals(self, who: int) -> Iterator[tuple[Array, Array, Array]]:
        """Yield, for 0..K accepted tokens, the contexts, and moves with an unguessed and a guessed token.

        Matrices from the context at the start of a round, of a stationary pair.
        """
        step, guesses = self.step(who, 0, False), self.guesses[who]
        alive = np.eye(self.tables.contexts)
        for guessed in guesses[:-1]:
            miss, hit = step.replaced(guessed)
            yield alive, alive @ miss, alive @ hit
            alive = alive @ step.accepted
        miss, hit = step.bonus(guesses[-1])
        yield alive, alive @ miss, alive @ hit


class _Step:
    """One position: where contexts go with an accepted token, and with a final one that is guessed or not."""

    def __init__(self, system: SsdSystem, drafter: PairTables, index: int, exact: bool) -> None:
        tables = system.tables
        if exact:
            target = tables.fractions(tables.target_weights[index])
            draft = drafter.fractions(drafter.draft_weights[index])
        else:
            target, draft = tables.target[index], drafter.draft[index]
        order = system.order[index]
        nothing: Any = Fraction(0) if exact else 0.0
        self._zero, self._exact = nothing, exact
        self._following = np.take_along_axis(tables.next_context, order, axis=1)
        self._target = np.take_along_axis(target, order, axis=1)
        draft = np.take_along_axis(draft, order, axis=1)
        self._gained = np.maximum(self._target - draft, nothing)
        self._lost = np.maximum(draft - self._target, nothing)
        self.accepted = self._matrix(np.minimum(self._target, draft))
        self._known: dict[tuple[bool, int], tuple[Array, Array]] = {}

    def replaced(self, guessed: int) -> tuple[Array, Array]:
        """Return the matrices of a replacement that was not guessed, and of one that was."""
        if (False, guessed) not in self._known:
            hit = np.full_like(self._gained, self._zero)
            hit[:, :guessed] = self._gained[:, :guessed]
            if 0 < guessed < hit.shape[1]:
                first, total = self._lost[:, :guessed].sum(axis=1), self._lost.sum(axis=1)
                share = np.array([a / b if b else self._zero for a, b in zip(first, total, strict=True)])
                hit[:, guessed] = self._gained[:, guessed] * share
            self._known[False, guessed] = (self._matrix(self._gained - hit), self._matrix(hit))
        return self._known[False, guessed]

    def bonus(self, guessed: int) -> tuple[Array, Array]:
        """Return the matrices of a bonus token that was not guessed, and of one that was."""
        if (True, guessed) not in self._known:
            hit = np.full_like(self._target, self._zero)
            hit[:, :guessed] = self._target[:, :guessed]
            self._known[True, guessed] = (self._matrix(self._target - hit), self._matrix(hit))
        return self._known[True, guessed]

    def _matrix(self, masses: Array) -> Array:
        """Return what moves contexts, given the masses of the tokens in the order of the row."""
        size = len(masses)
        moved = np.full((size, size), self._zero, dtype=masses.dtype)
        np.add.at(moved, (np.arange(size)[:, None], self._following), masses)
        return moved


@dataclass
class _Times:
    """What a round takes by the tokens before it, as times or as ticks.

    calls: the call and the overhead. backups: the backup's draft. hit_waits, miss_waits: how long a hit and a
    miss wait after the call for the cache, by who drafted the tokens that are verified.
    """

    calls: list[Any]
    backups: list[Any]
    hit_waits: list[list[Any]]
    miss_waits: list[list[Any]]

    @classmethod
    def of(
        cls,
        clock: CostModel,
        backup_clock: CostModel | None,
        guesses: tuple[tuple[int, ...], ...],
        longest: int,
        horizon: int,
        finishes_cache: bool,
        batch: int = 1,
    ) -> _Times:
        check_clock(clock)
        backup_clock = clock if backup_clock is None else backup_clock
        check_clock(backup_clock)
        nothing = Fraction(0)
        drafted = [min(longest, horizon - start) for start in range(horizon)]
        calls = [clock.target_time(count + 1, batch, start) for start, count in enumerate(drafted)]
        backups = [count * backup_clock.draft_time(1, batch, start) for start, count in enumerate(drafted)]
        waits: list[list[Any]] = []
        for counts in guesses:
            wait = []
            for start, count in enumerate(drafted):
                # The next text begins one token later at least, and may be over then.
                next_count = min(longest, horizon - start - 1)
                made = nothing
                if next_count > 0 and sum(counts) > 0:
                    made = clock.draft_time(count + 1, batch, start)
                    made += next_count * clock.draft_time(sum(counts), batch, start)
                wait.append(max(nothing, made - calls[start]))
            waits.append(wait)
        overhead = clock.overhead_time(batch)
        misses = waits if finishes_cache else [[nothing] * horizon] * 2
        return cls([call + overhead for call in calls], backups, waits, misses)

    def all(self) -> list[Any]:
        """Return all times in one list."""
        lists = [self.calls, self.backups, *self.hit_waits, *self.miss_waits]
        return [time for times in lists for time in times]

    def replaced(self, times: Sequence[Any]) -> _Times:
        """Return the times that are listed in the order of `all`, in another unit or type."""
        size = len(self.calls)
        parts = [list(times[size * part : size * (part + 1)]) for part in range(6)]
        return _Times(parts[0], parts[1], parts[2:4], parts[4:6])

    def most(self) -> int:
        """Return the most that a run can take: rounds of one token each, with every wait."""
        waits = [
            max(self.hit_waits[0][start], self.hit_waits[1][start], miss)
            for start, miss in enumerate(
                max(a, b) + max(self.backups) for a, b in zip(*self.miss_waits, strict=True)
            )
        ]
        return int(self.backups[0] + sum(self.calls) + sum(waits))


@dataclass
class _Walk:
    """Expected rounds by who drafted and start, the expected time, and the law of the time."""

    counts: Array
    time: Any
    law: Array


def _walk(system: SsdSystem, times: _Times | None, horizon: int, exact: bool, ticks: int = 1) -> _Walk:
    """Follow the probability of (who drafted, emitted tokens, ticks, context) from the prompt to the end.

    With one tick the law is not computed, and the expected time is the sum of what every move costs.
    """
    tables = system.tables
    states = np.zeros((2, horizon + 1, ticks, tables.contexts), dtype=object if exact else np.float64)
    if exact:
        states += Fraction(0)
    zero: Any = Fraction(0) if exact else 0.0
    times = times or _Times(
        [zero] * horizon, [zero] * horizon, [[zero] * horizon] * 2, [[zero] * horizon] * 2
    )
    first = tables.fractions(tables.initial_weights) if exact else tables.initial
    states[0, 0, int(times.backups[0]) if ticks > 1 else 0] = first
    time = zero + (times.backups[0] if ticks == 1 else 0)

    def move(who: int, place: int, mass: Array, cost: Any) -> None:
        nonlocal time
        if ticks > 1:
            mass = np.roll(mass, int(cost), axis=0)
        elif cost:
            time += mass.sum() * cost
        states[who, place] += mass

    for start in range(horizon):
        for who in (0, 1):
            alive = states[who, start]
            if not alive.any():
                continue
            call, waits = times.calls[start], (times.miss_waits[who][start], times.hit_waits[who][start])
            end = min(start + system.longest, horizon)
            for place in range(start, end + 1):
                if place == horizon:
                    move(0, horizon, alive, call)
                    break
                step, guessed = system.step(who, place, exact), system.guesses[who][place - start]
                finals = step.replaced(guessed) if place < end else step.bonus(guessed)
                for hit, matrix in enumerate(finals):
                    cost = call
                    if place + 1 < horizon:
                        cost = call + waits[hit] + (0 if hit else times.backups[place + 1])
                    move(hit, place + 1, alive @ matrix, cost)
                if place < end:
                    alive = alive @ step.accepted
    return _Walk(states[:, :horizon].sum(axis=(2, 3)), time, states[:, horizon].sum(axis=(0, 2)))


def _long_run(system: SsdSystem, batch: int) -> tuple[Array, Array, Array]:
    """Return the law of (who drafted, contexts) at the start of rounds, the chance of a hit, the tokens.

    Each of shape ``(2, contexts^batch)``; tokens are those of one sequence of the batch, on average.
    """
    tables = system.tables
    if not tables.stationary:
        raise InputError("the rows change from step to step; give a stationary pair")
    size = tables.contexts**batch
    if 2 * size > _MOST_STATES:
        raise TooLargeError(
            f"{tables.contexts} contexts and a batch of {batch} have {2 * size} states, more than "
            f"{_MOST_STATES}; use a smaller pair or batch"
        )
    moves, hits, emitted = np.zeros((2, size, 2, size)), np.zeros((2, size)), np.zeros((2, size))
    for who in (0, 1):
        alive, miss, hit = (np.array(parts) for parts in zip(*system.finals(who), strict=True))
        tokens = alive.sum(axis=(0, 2))
        every, hit = _together((miss + hit).sum(axis=0), batch), _together(hit.sum(axis=0), batch)
        moves[who, :, 1], moves[who, :, 0] = hit, every - hit
        hits[who] = hit.sum(axis=1)
        # The tokens of every sequence, averaged over the sequences.
        ones = np.ones(tables.contexts)
        for lane in range(batch):
            parts = [tokens if other == lane else ones for other in range(batch)]
            emitted[who] += _together_vectors(parts) / batch
    start = recurrent_law(moves.reshape(2 * size, 2 * size)).reshape(2, size)
    return start, hits, emitted


def _together(matrix: Array, batch: int) -> Array:
    """Return the matrix of as many independent moves."""
    found: Array = np.eye(1)
    for _ in range(batch):
        found = np.kron(found, matrix)
    return found


def _together_vectors(parts: list[Array]) -> Array:
    found: Array = np.ones(1)
    for part in parts:
        found = np.kron(found, part)
    return found


def _alike(field: str, other: Pair | None, tables: PairTables) -> PairTables:
    """Return the tables of `other`, or `tables` for None.

    InputError: it is another target's.
    """
    if other is None:
        return tables
    found = tables_of(other)
    if found.target.shape != tables.target.shape or not (
        (found.target == tables.target).all() and (found.next_context == tables.next_context).all()
    ):
        raise InputError(f"{field} has another target than pair; give one that differs in draft rows only")
    return found
