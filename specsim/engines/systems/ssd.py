"""Speculative speculative decoding, 2603.03251: while one draft is verified, the next ones are made.

Two devices. The verifier tests a draft of K tokens in one call, with the rule ``ratio`` and a bonus token. At
the same time the drafter guesses the outcome of the call: the number k of accepted tokens, and the token
after them. Guessed are, for each k, the F_k likeliest next tokens of the draft row there, without the token
that is being verified. For every guess the primary speculator drafts K tokens, which wait in a cache.

A *hit* is an outcome that was guessed: its draft is verified next, as soon as the cache is made. After a
*miss* the backup speculator drafts first. In a batch one miss makes the backup draft for all. The first
draft of a run is the backup's.

A cache takes one draft step over the tokens being verified, which gives the rows that are ranked, and a step
of all guesses side by side for each token drafted. Nothing is drafted beyond the horizon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from specsim.algorithms.fan_outs import FanOut, fan_outs
from specsim.clocks import CostModel, check_clock, to_ticks
from specsim.engines.compiled.jit import kernel
from specsim.engines.literal.drawing import coin_of, draw_row, words_at
from specsim.engines.literal.engine import table
from specsim.engines.systems.chunks import Prepared, SystemRuns, decode_in_chunks
from specsim.engines.systems.draws import draw_sums
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.support.arrays import Integers
from specsim.support.checks import whole

#: Node of the random words, which no draft structure and no other system has.
_NODE = 2**20 - 3
_32 = np.uint64(32)
#: Entries of the tables of costs.
_MOST_COSTS = 2**20
#: What the third axis of `SsdRuns.outcomes` counts.
MISS, HIT, END = 0, 1, 2


@dataclass(frozen=True, eq=False)
class SsdRuns(SystemRuns):
    """What a simulation of speculative speculative decoding counted.

    Attributes
    ----------
    ticks
        Time of each run in ticks of `unit` target calls, ``(runs,)``; of a batch, until its last sequence
        is written.
    unit
        Length of one tick.
    rounds
        Rounds of sequences by who drafted (0: the backup, 1: the primary) and by the emitted tokens at
        their start, over all runs, ``(2, horizon)``.
    outcomes
        Rounds of sequences by who drafted, by the number of accepted tokens, and by what became of their
        outcome (0: not guessed, 1: guessed, 2: the text was over), over all runs, ``(2, K + 1, 3)``.
    rejections
        Rejections by position, over all runs, ``(horizon,)``.
    tokens
        Emitted tokens by position and by context and token, over all runs, ``(horizon, contexts, tokens)``.

    Examples
    --------
    >>> from specsim import Clock, paper_pair
    >>> found = simulate_ssd(paper_pair(50), 4, Clock(draft=0.1), fan_out=2, runs=1000, seed=1)
    >>> bool(found.rounds.sum() == found.outcomes.sum())
    True
    """

    rounds: Integers
    outcomes: Integers
    rejections: Integers
    tokens: Integers

    @property
    def hit_share(self) -> float:
        """Share of the outcomes that were guessed, among those after which the text went on; 0 for none."""
        misses, hits, _ = self.outcomes.sum(axis=(0, 1)).tolist()
        return hits / max(hits + misses, 1)


def simulate_ssd(
    pair: ModelPair,
    draft_length: int,
    clock: CostModel,
    *,
    fan_out: FanOut = 3,
    miss_fan_out: FanOut | None = None,
    backup: ModelPair | None = None,
    backup_clock: CostModel | None = None,
    ranked_by: ModelPair | None = None,
    finishes_cache: bool = False,
    batch: int = 1,
    runs: int,
    seed: int,
    horizon: int | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> SsdRuns:
    """Simulate speculative speculative decoding; a run is a function of its number and the seed.

    Parameters
    ----------
    pair
        What the primary speculator drafts with, and what verifies.
    draft_length
        K, drafted tokens of a round.
    clock
        What steps, calls and the end of a round cost.
    fan_out
        Guessed tokens after each number of accepted ones: one number, or K + 1 numbers. 0 guesses nothing.
    miss_fan_out
        The same in rounds that the backup drafted. Defaults to None: as `fan_out`.
    backup
        A pair with the same target, with whose rows the backup drafts. Defaults to None: `pair`, the
        primary speculator just in time.
    backup_clock
        Its draft steps are those of the backup. Defaults to None: `clock`.
    ranked_by
        A pair whose draft rows say what is likely enough to guess. Defaults to None: `pair`.
    finishes_cache
        Whether the drafter finishes the cache before it hears of a miss, as the authors' code does.
        Defaults to False: a miss stops it.
    batch
        Sequences that are decoded together, in each run. Those that are written leave.
    runs, seed
        How many runs; numbers of at least 1 and 0.
    horizon
        Tokens of each sequence. Defaults to None: the pair's.
    threads
        Defaults to None: all cores.
    progress
        Called with the number of finished runs, now and then.

    Raises
    ------
    InputError
        An argument is out of range, or a clock that depends on the context's length is given for a batch.
    TooLargeError
        Batch times horizon, or the number of runs, is too large, or the clock's unit too fine.

    Examples
    --------
    >>> from specsim import Clock, paper_pair
    >>> found = simulate_ssd(paper_pair(50), 4, Clock(draft=0.1), fan_out=2, runs=1000, seed=1)
    >>> round(found.mean_time), round(found.hit_share, 2)
    (26, 0.14)
    """
    horizon = pair.check_horizon(horizon)
    after_hit = fan_outs(fan_out, draft_length, pair.tokens)
    after_miss = after_hit
    if miss_fan_out is not None:
        after_miss = fan_outs(miss_fan_out, draft_length, pair.tokens, field="miss_fan_out")
    prepared = prepare(
        pair, draft_length, clock, horizon, guesses=(after_miss, after_hit), batch=batch,
        backup=_alike("backup", backup, pair), backup_clock=backup_clock or clock,
        ranked_by=_alike("ranked_by", ranked_by, pair), finishes_cache=finishes_cache,
    )  # fmt: skip
    ticks, rounds, outcomes, rejections, tokens = decode_in_chunks(
        compiled(), prepared, runs=runs, seed=seed, threads=threads, progress=progress
    )
    return SsdRuns(ticks, prepared.unit, rounds, outcomes, rejections, tokens)


def prepare(
    pair: ModelPair,
    draft_length: int,
    clock: CostModel,
    horizon: int,
    *,
    guesses: tuple[tuple[int, ...], tuple[int, ...]],
    backup: ModelPair,
    backup_clock: CostModel,
    ranked_by: ModelPair,
    finishes_cache: bool,
    batch: int,
) -> Prepared:
    """Lay out what the loop reads; `guesses` are those of rounds that the backup and the primary drafted."""
    longest, batch = min(whole("draft_length", draft_length, 1), horizon), whole("batch", batch, 1)
    costs, unit = _costs(clock, backup_clock, guesses, longest, horizon, batch, finishes_cache)
    size, rows = pair.tokens, pair.target.shape[0] * pair.contexts
    speculators = (backup, pair) if backup is not pair else (pair,)
    weights = np.concatenate([speculator.draft_weights.reshape(rows, size) for speculator in speculators])
    draft = np.concatenate([speculator.draft.reshape(rows, size) for speculator in speculators])
    target = np.ascontiguousarray(pair.target.reshape(rows, size))
    arguments = (
        longest,
        horizon,
        np.minimum(np.arange(horizon), pair.steps - 1) * pair.contexts,
        np.ascontiguousarray(pair.next_context),
        table(pair.initial_weights[None]),
        table(weights),
        table(pair.target_weights.reshape(rows, size)),
        target,
        draft,
        np.cumsum(np.maximum(np.tile(target, (len(speculators), 1)) - draft, 0.0), axis=-1),
        _ranks(ranked_by),
        np.array([0, (len(speculators) - 1) * rows]),
        np.array(guesses, dtype=np.int64),
        *costs,
    )
    sums = ((2, horizon), (2, longest + 1, 3), (horizon,), (horizon, pair.contexts, size))
    return Prepared(arguments, ((),), sums, unit)


def _alike(field: str, other: ModelPair | None, pair: ModelPair) -> ModelPair:
    """Return `other`, or `pair` for None.

    InputError: it is another target's.
    """
    if other is None or other is pair:
        return pair
    if (
        not isinstance(other, ModelPair)
        or other.target.shape != pair.target.shape
        or not np.array_equal(other.target_weights, pair.target_weights)
        or not np.array_equal(other.next_context, pair.next_context)
    ):
        raise InputError(f"{field} is {other!r}; give a pair with the target of {pair.name!r}")
    return other


def _ranks(pair: ModelPair) -> Integers:
    """Return the place of each token in its draft row, likeliest first, of equals the smaller token first."""
    weights = pair.draft_weights.reshape(-1, pair.tokens).view(np.int64)
    order = np.argsort(-weights, axis=1, kind="stable").astype(np.int32)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(pair.tokens, dtype=np.int32)[None], axis=1)
    return np.asarray(ranks)


def _costs(
    clock: CostModel,
    backup_clock: CostModel,
    guesses: tuple[tuple[int, ...], ...],
    longest: int,
    horizon: int,
    batch: int,
    finishes_cache: bool,
) -> tuple[tuple[Any, ...], Fraction]:
    """Return the costs in ticks, and the unit.

    By sequences that are being written and by the least number of tokens that one of them has: the call and
    the backup's draft, ``(batch, horizon)``; how long a hit and a miss wait for the cache after the call, by
    who drafted, ``(2, batch, horizon)``. And the overhead.
    """
    for field, value in (("clock", clock), ("backup_clock", backup_clock)):
        check_clock(value)
        if batch > 1 and value.draft_time(1, 1, 0) + value.target_time(1, 1, 0) != value.draft_time(
            1, 1, 1000
        ) + value.target_time(1, 1, 1000):
            raise InputError(
                f"{field} depends on the length of the context, which differs in a batch; give batch=1"
            )
    if batch * horizon > _MOST_COSTS:
        raise TooLargeError(f"batch times horizon is {batch * horizon}, more than {_MOST_COSTS}; use less")
    calls, backups, waits, all_waits = [], [], [], []
    for running in range(1, batch + 1):
        for start in range(horizon):
            drafted, steps = min(longest, horizon - start), min(longest, horizon - start - 1)
            calls.append(clock.target_time(drafted + 1, running, start))
            backups.append(drafted * backup_clock.draft_time(1, running, start))
            for guessed in guesses:
                made = Fraction(0)
                if steps and sum(guessed):
                    made = clock.draft_time(drafted + 1, running, start)
                    made += steps * clock.draft_time(sum(guessed), running, start)
                waits.append(max(made - calls[-1], Fraction(0)))
                all_waits.append(waits[-1] if finishes_cache else Fraction(0))
    found = to_ticks([clock.overhead_time(batch), *calls, *backups, *waits, *all_waits])
    if horizon * batch * 4 * max(found.counts) >= 2**63:
        raise TooLargeError(
            f"a tick of the clock is {found.unit} target calls, so that a run has too many to count; "
            "round the costs"
        )
    numbers = np.array(found.counts[1:], dtype=np.int64)
    one = batch * horizon
    shape = (batch, horizon)
    hit_waits, miss_waits = (
        np.ascontiguousarray(part.reshape(*shape, 2).transpose(2, 0, 1))
        for part in (numbers[2 * one : 4 * one], numbers[4 * one :])
    )
    call, drafting = numbers[:one].reshape(shape), numbers[one : 2 * one].reshape(shape)
    return (call, drafting, hit_waits, miss_waits, found.counts[0]), found.unit


@cache
def compiled() -> Any:
    """Return the compiled loop."""
    return kernel()(decode_runs)


def decode_runs(
    key: Any, first_run: Any, longest: Any, horizon: Any,
    offset: Any, following: Any, prompt: Any, drafts: Any, targets: Any, target: Any, draft: Any, excess: Any,
    ranks: Any, rows_of: Any, guesses: Any,
    calls: Any, backups: Any, hit_waits: Any, miss_waits: Any, overhead: Any,
    ticks: Any, rounds: Any, outcomes: Any, rejections: Any, tokens: Any,
) -> None:  # fmt: skip
    """Decode runs: the loop of the module's text.

    A position has one word for its draft and a coin for its test however often it is drafted, since a draft
    that is thrown away untested changes nothing; it is therefore drawn when it is tested. Further words are
    for the bonus token and the replacement.
    """
    batch = calls.shape[0]
    context, written = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
    for run in range(ticks.size):
        for lane in range(batch):
            key[1] = np.uint64((first_run + run) * batch + lane)
            word, _ = words_at(key, np.uint64(0), _NODE, 0)
            context[lane] = draw_row(prompt, 0, word >> _32)
            written[lane] = 0
        # Who drafted: 0 the backup, 1 the primary. Sequences being written, and the least tokens of one.
        who, running, least = 0, batch, 0
        ticks[run] = backups[running - 1, 0]
        while running > 0:
            ticks[run] += calls[running - 1, least] + overhead
            hit_wait, miss_wait = hit_waits[who, running - 1, least], miss_waits[who, running - 1, least]
            all_hit, running, least = True, 0, horizon
            for lane in range(batch):
                if written[lane] == horizon:
                    continue
                key[1] = np.uint64((first_run + run) * batch + lane)
                place, here = written[lane], context[lane]
                end = min(place + longest, horizon)
                rounds[who, place] += 1
                accepted, final, rank = 0, -1, 0
                while place < end:
                    row = offset[place] + here
                    drawn = rows_of[who] + row
                    word, other = words_at(key, np.uint64(place + 1), _NODE, 0)
                    token = draw_row(drafts, drawn, word >> _32)
                    if coin_of(other) * draft[drawn, token] >= target[row, token]:
                        _, other = words_at(key, np.uint64(place + 1), _NODE, 1)
                        final = draw_sums(excess[drawn], coin_of(other))
                        # The token that was verified is no guess: those after it move up.
                        rank = ranks[row, final] - (ranks[row, token] < ranks[row, final])
                        rejections[place] += 1
                        break
                    tokens[place, here, token] += 1
                    here = following[here, token]
                    accepted += 1
                    place += 1
                if final < 0 and place < horizon:
                    row = offset[place] + here
                    word, _ = words_at(key, np.uint64(place + 1), _NODE, 1)
                    final = draw_row(targets, row, word >> _32)
                    rank = ranks[row, final]
                if final >= 0:
                    tokens[place, here, final] += 1
                    here = following[here, final]
                    place += 1
                context[lane], written[lane] = here, place
                if place == horizon:
                    outcomes[who, accepted, 2] += 1
                    continue
                hit = rank < guesses[who, accepted]
                outcomes[who, accepted, 1 if hit else 0] += 1
                all_hit = all_hit and hit
                running += 1
                least = min(least, place)
            if running > 0:
                who = 1 if all_hit else 0
                ticks[run] += hit_wait if all_hit else miss_wait + backups[running - 1, least]
