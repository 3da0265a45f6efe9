"""Polybasic speculative decoding, 2510.26527: a chain of models, each of which drafts for the one above it.

Model 0 is the target, the last model drafts one token per step. Every other model verifies blocks of what the
model below it has passed: it tests the tokens of the block in turn by the ratio of the two models' rows. At
the first rejection it replaces the token; if all pass and a position is left, it adds one of its own. The
tokens up to there are handed to the model above, which waits until its buffer holds a block; everything
below that the model has not passed is thrown away, and drafting goes on from there.

A block is what is in the buffer when it holds at least `length` tokens, or exactly that many, in which case
the surplus is thrown away untested. Nothing is drafted beyond the horizon, where the last blocks are shorter.
All models work on one device, so that the time of a run is the sum of its steps and calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from specsim.clocks import CostModel, check_clock, to_ticks
from specsim.clocks.clock import Number, cost
from specsim.engines.compiled.jit import kernel
from specsim.engines.literal.drawing import coin_of, draw_row, words_at
from specsim.engines.literal.engine import table
from specsim.engines.systems.chunks import Prepared, SystemRuns, decode_in_chunks
from specsim.engines.systems.draws import draw_sums
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.pairs.model_chains import check_chain
from specsim.support.arrays import Array, Integers
from specsim.support.checks import whole

#: Node of the random words, which no draft structure has: the draws of other loops are independent.
_NODE = 2**20 - 2
#: A run has a word for each draw, in the order of its draws: 2^18 in a slot.
_BITS, _WITHIN = np.uint64(18), np.uint64(2**18 - 1)
_ONE, _32 = np.uint64(1), np.uint64(32)
#: Entries of the tables of costs.
_MOST_COSTS = 2**20


@dataclass(frozen=True, eq=False)
class PolybasicRuns(SystemRuns):
    """What a simulation of a chain of models counted; model 0 is the target.

    Attributes
    ----------
    ticks
        Time of each run in ticks of `unit` target calls, ``(runs,)``.
    unit
        Length of one tick.
    run_calls
        Calls of each model in each run, ``(models, runs)``.
    calls
        Calls of each model by the tokens that it had passed before, over all runs, ``(models, horizon)``; of
        the last model steps by the place that they drafted.
    blocks
        Calls of each model but the last by tested and accepted tokens, over all runs,
        ``(models - 1, longest + 1, longest + 1)``.
    rejections
        Rejections by each model but the last and by position, over all runs, ``(models - 1, horizon)``.
    tokens
        Emitted tokens by position and by context and token, over all runs, ``(horizon, contexts, tokens)``.

    Examples
    --------
    >>> from specsim import Clock, model_chain, paper_pair
    >>> chain = model_chain(paper_pair(50), 0.8)
    >>> found = simulate_polybasic(chain, (4, 2), Clock(draft=0.05), middle=[0.3], runs=1000, seed=1)
    >>> bool(found.blocks[0].sum() == found.calls[0].sum())
    True
    """

    run_calls: Integers
    calls: Integers
    blocks: Integers
    rejections: Integers
    tokens: Integers

    @property
    def mean_calls(self) -> tuple[float, ...]:
        """Mean calls of a run by each model."""
        return tuple(self.run_calls.mean(axis=1).tolist())


def simulate_polybasic(
    pairs: ModelPair | Sequence[ModelPair],
    lengths: int | Sequence[int],
    clock: CostModel,
    *,
    middle: Sequence[Number] = (),
    exact_blocks: bool = True,
    runs: int,
    seed: int,
    horizon: int | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> PolybasicRuns:
    """Simulate decoding with a chain of models; a run is a function of its number and the seed.

    Parameters
    ----------
    pairs
        The chain as its neighbouring pairs, from the target down: the draft of each is the target of the
        next, see `specsim.model_chain`. One pair is plain speculative decoding.
    lengths
        Tokens of a block of each model but the last, from the target down: the last number is the draft
        length.
    clock
        What a target call, a step of the last model and the overhead of a target call cost. A call that
        tests k tokens looks at k + 1.
    middle
        What a call of each model between costs, as a share of a target call for as many tokens.
    exact_blocks
        Whether a block has exactly its length, and the surplus is thrown away. Defaults to True; with False
        a block is all that is in the buffer.
    runs, seed
        How many runs; numbers of at least 1 and 0.
    horizon
        Tokens of each run. Defaults to None: the first pair's.
    threads
        Defaults to None: all cores.
    progress
        Called with the number of finished runs, now and then.

    Raises
    ------
    InputError
        An argument is out of range, or neighbouring pairs do not share a model.
    TooLargeError
        Blocks times horizon, or the number of runs, is too large.

    Examples
    --------
    >>> from specsim import Clock, model_chain, paper_pair
    >>> chain = model_chain(paper_pair(50), 0.8)
    >>> found = simulate_polybasic(chain, (4, 2), Clock(draft=0.05), middle=[0.3], runs=1000, seed=1)
    >>> [round(calls, 1) for calls in found.mean_calls]
    [11.8, 25.1, 49.8]
    """
    check_clock(clock)
    chain = check_chain(pairs)
    horizon = min(pair.check_horizon(horizon) for pair in chain)
    prepared = prepare(chain, lengths, clock, middle, exact_blocks, horizon)
    ticks, *counts = decode_in_chunks(
        compiled(), prepared, runs=runs, seed=seed, threads=threads, progress=progress
    )
    return PolybasicRuns(ticks, prepared.unit, *counts)


def prepare(
    chain: tuple[ModelPair, ...],
    lengths: int | Sequence[int],
    clock: CostModel,
    middle: Sequence[Number],
    exact_blocks: bool,
    horizon: int,
) -> Prepared:
    """Lay out what the loop reads."""
    blocks = check_lengths(lengths, len(chain))
    wanted = np.array([min(length, horizon) for length in blocks], dtype=np.int64)
    longest = min(max(blocks) if exact_blocks else sum(blocks), horizon)
    draft_ticks, call_ticks, overhead, unit = _costs(clock, middle, wanted, longest, horizon)
    first = chain[0]
    steps, size = min(first.steps, horizon), first.tokens
    weights = np.concatenate([first.target_weights, *(pair.draft_weights for pair in chain)])
    models = [first.target, *(pair.draft for pair in chain)]
    rows = np.stack([np.ascontiguousarray(model.reshape(-1, size)) for model in models])
    arguments = (
        wanted,
        exact_blocks,
        horizon,
        np.minimum(np.arange(horizon), steps - 1) * first.contexts,
        np.ascontiguousarray(first.next_context),
        table(first.initial_weights[None]),
        table(weights.reshape(-1, size)),
        rows,
        np.cumsum(np.maximum(rows[:-1] - rows[1:], 0.0), axis=-1),
        draft_ticks,
        call_ticks,
        overhead,
    )
    sums = (
        (len(models), horizon),
        (len(chain), longest + 1, longest + 1),
        (len(chain), horizon),
        (horizon, first.contexts, size),
    )
    return Prepared(arguments, ((), (len(models),)), sums, unit)


def check_lengths(lengths: int | Sequence[int], verifying: int) -> tuple[int, ...]:
    """Return the block lengths of all verifying models.

    InputError: they are not as many, or one is not a number of at least 1.
    """
    given = list(lengths) if isinstance(lengths, list | tuple | np.ndarray) else [lengths]
    if len(given) != verifying:
        raise InputError(
            f"lengths has length {len(given)} for {verifying + 1} models; give one number for each but "
            "the last"
        )
    return tuple(whole(f"lengths[{place}]", length, 1) for place, length in enumerate(given))


def _costs(
    clock: CostModel, middle: Sequence[Number], lengths: Integers, longest: int, horizon: int
) -> tuple[Array, Array, int, Fraction]:
    """Return in ticks: steps by start, calls by model, tested tokens and start, the overhead; and the unit.

    The call looks at the tested tokens and the one before them.
    """
    verifying = len(lengths)
    if len(middle) != verifying - 1:
        raise InputError(
            f"middle has {len(middle)} costs for {verifying - 1} models between; give one for each"
        )
    if verifying * longest * horizon > _MOST_COSTS:
        raise TooLargeError(
            f"models times the longest block times horizon is {verifying * longest * horizon}, more than "
            f"{_MOST_COSTS}; use shorter blocks or a smaller horizon"
        )
    shares = [Fraction(1), *(cost(f"middle[{place}]", share) for place, share in enumerate(middle))]
    drafting = [clock.draft_time(1, 1, start) for start in range(horizon)]
    calling = [
        clock.target_time(tested + 1, 1, start) for tested in range(longest + 1) for start in range(horizon)
    ]
    found = to_ticks(
        [clock.overhead_time(1), *drafting, *(share * time for share in shares for time in calling)]
    )
    overhead, counts = found.counts[0], found.counts[1:]
    # A block of a model takes at most as many calls of the model below as it has tokens.
    most = max(counts[:horizon])
    for level, length in reversed(list(enumerate(lengths.tolist()))):
        begin = horizon + level * len(calling)
        most = most * length + max(counts[begin : begin + len(calling)])
    if horizon * (most + overhead) >= 2**63:
        raise TooLargeError(
            f"a tick of the clock is {found.unit} target calls, so that a run may have too many to count; "
            "round the costs or make blocks shorter"
        )
    table = np.array(counts, dtype=np.int64)
    return table[:horizon], table[horizon:].reshape(verifying, longest + 1, horizon), overhead, found.unit


@cache
def compiled() -> Any:
    """Return the compiled loop."""
    return kernel()(decode_runs)


def decode_runs(
    key: Any, first_run: Any, lengths: Any, exact: Any, horizon: Any,
    offset: Any, following: Any, prompt: Any, table: Any, rows: Any, excess: Any,
    draft_ticks: Any, call_ticks: Any, overhead: Any,
    ticks: Any, run_calls: Any, calls: Any, blocks: Any, rejections: Any, tokens: Any,
) -> None:  # fmt: skip
    """Decode runs: the loop of the module's text.

    There is one text: what a model has passed is a beginning of what the model below it has passed. Every
    draw of a run has words of its own, also where a position is drafted again: what was thrown away has
    been seen by the models below.
    """
    drafter, size = len(lengths), rows.shape[1]
    context, token, coin = np.zeros(horizon + 1, np.int64), np.zeros(horizon, np.int64), np.zeros(horizon)
    passed = np.zeros(drafter + 1, np.int64)
    for run in range(ticks.size):
        key[1] = np.uint64(first_run + run)
        word, _ = words_at(key, np.uint64(0), _NODE, 0)
        context[0] = draw_row(prompt, 0, word >> _32)
        passed[:] = 0
        draws, time = np.uint64(0), 0
        while passed[0] < horizon:
            begin = passed[drafter]
            end = min(begin + lengths[drafter - 1], horizon)
            for place in range(begin, end):
                draws += _ONE
                word, other = words_at(key, _ONE + (draws >> _BITS), _NODE, draws & _WITHIN)
                coin[place] = coin_of(other)
                token[place] = draw_row(table, drafter * size + offset[place] + context[place], word >> _32)
                context[place + 1] = following[context[place], token[place]]
                calls[drafter, place] += 1
                time += draft_ticks[place]
            run_calls[drafter, run] += end - begin
            passed[drafter] = end
            level = drafter - 1
            while level >= 0 and (
                passed[level + 1] - passed[level] >= lengths[level] or passed[level + 1] == horizon
            ):
                begin, end = passed[level], passed[level + 1]
                if exact:
                    end = min(end, begin + lengths[level])
                place = begin
                while place < end:
                    if level < drafter - 1:
                        draws += _ONE
                        _, other = words_at(key, _ONE + (draws >> _BITS), _NODE, draws & _WITHIN)
                        coin[place] = coin_of(other)
                    row = offset[place] + context[place]
                    if coin[place] * rows[level + 1, row, token[place]] >= rows[level, row, token[place]]:
                        break
                    place += 1
                run_calls[level, run] += 1
                calls[level, begin] += 1
                blocks[level, end - begin, place - begin] += 1
                time += call_ticks[level, end - begin, begin]
                if place < horizon:
                    row = offset[place] + context[place]
                    draws += _ONE
                    word, other = words_at(key, _ONE + (draws >> _BITS), _NODE, draws & _WITHIN)
                    if place < end:
                        token[place] = draw_sums(excess[level, row], coin_of(other))
                        rejections[level, place] += 1
                    else:
                        token[place] = draw_row(table, level * size + row, word >> _32)
                    context[place + 1] = following[context[place], token[place]]
                    place += 1
                for model in range(level, drafter + 1):
                    passed[model] = place
                if level == 0:
                    time += overhead
                    for place in range(begin, passed[0]):
                        tokens[place, context[place], token[place]] += 1
                level -= 1
        ticks[run] = time
