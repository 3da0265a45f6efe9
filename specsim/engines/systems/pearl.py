"""PEARL, 2408.11850: two devices work side by side, one drafts while the other verifies.

A round is one target call in parallel with up to K draft steps; it ends when both devices are done. In mode 0
(pre-verify) every emitted token is verified, and the call gives the row that tests the first token of the
draft being made. In mode 1 (post-verify) the call looks at the K - 1 tokens that the last round drafted and
did not test, and tests them and the first token of the draft being made. If all pass, what is left of the
new draft waits for the next round, in mode 1. At a rejection the token is replaced, everything after it is
thrown away, and the next round is in mode 0. There is no bonus token: each emitted token was tested.

Nothing is drafted beyond the horizon, and a run ends when its last token is verified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from specsim.clocks import CostModel, to_ticks
from specsim.engines.compiled.jit import kernel
from specsim.engines.literal.drawing import coin_of, draw_row, words_at
from specsim.engines.literal.engine import table
from specsim.engines.systems.chunks import Prepared, SystemRuns, decode_in_chunks
from specsim.engines.systems.draws import draw_sums
from specsim.errors import TooLargeError
from specsim.pairs import ModelPair
from specsim.support.arrays import Array, Integers
from specsim.support.checks import whole

#: Node of the random words, which no draft structure has: the draws of other loops are independent.
_NODE = 2**20 - 1
_32 = np.uint64(32)
#: Entries of the tables of costs.
_MOST_COSTS = 2**20


@dataclass(frozen=True, eq=False)
class PearlRuns(SystemRuns):
    """What a simulation of PEARL counted.

    Attributes
    ----------
    ticks
        Time of each run in ticks of `unit` target calls, ``(runs,)``.
    unit
        Length of one tick.
    rounds
        Rounds by mode and by the verified tokens at their start, over all runs, ``(2, horizon)``.
    rejections
        Rejections by position, over all runs, ``(horizon,)``.
    tokens
        Emitted tokens by position and by context and token, over all runs, ``(horizon, contexts, tokens)``.

    Examples
    --------
    >>> from specsim import Clock, paper_pair
    >>> found = simulate_pearl(paper_pair(50), 4, Clock(draft=0.25), runs=1000, seed=1)
    >>> bool(found.rounds.sum() == found.ticks.sum() * found.unit)
    True
    """

    rounds: Integers
    rejections: Integers
    tokens: Integers


def simulate_pearl(
    pair: ModelPair,
    draft_length: int,
    clock: CostModel,
    *,
    runs: int,
    seed: int,
    horizon: int | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> PearlRuns:
    """Simulate PEARL; a run is a function of its number and the seed, whatever the threads.

    Parameters
    ----------
    pair
        What drafts and verifies.
    draft_length
        K, draft steps in parallel with a target call.
    clock
        What steps, calls and the end of a round cost.
    runs, seed
        How many runs; numbers of at least 1 and 0.
    horizon
        Tokens of each run. Defaults to None: the pair's.
    threads
        Defaults to None: all cores.
    progress
        Called with the number of finished runs, now and then.

    Raises
    ------
    InputError
        An argument is out of range.
    TooLargeError
        Draft length times horizon, or the number of runs, is too large.

    Examples
    --------
    >>> from specsim import Clock, paper_pair
    >>> round(simulate_pearl(paper_pair(50), 4, Clock(draft=0.25), runs=1000, seed=1).mean_time)
    31
    """
    horizon = pair.check_horizon(horizon)
    prepared = prepare(pair, draft_length, clock, horizon)
    ticks, rounds, rejections, tokens = decode_in_chunks(
        compiled(), prepared, runs=runs, seed=seed, threads=threads, progress=progress
    )
    return PearlRuns(ticks, prepared.unit, rounds, rejections, tokens)


def prepare(pair: ModelPair, draft_length: int, clock: CostModel, horizon: int) -> Prepared:
    """Lay out what the loop reads."""
    longest = min(whole("draft_length", draft_length, 1), horizon)
    draft_ticks, target_ticks, overhead, unit = _costs(clock, longest, horizon)
    steps, size = min(pair.steps, horizon), pair.tokens
    target, draft = (np.ascontiguousarray(rows.reshape(-1, size)) for rows in (pair.target, pair.draft))
    arguments = (
        longest,
        horizon,
        np.minimum(np.arange(horizon), steps - 1) * pair.contexts,
        np.ascontiguousarray(pair.next_context),
        table(pair.initial_weights[None]),
        table(pair.draft_weights.reshape(-1, size)),
        target,
        draft,
        np.cumsum(np.maximum(target - draft, 0.0), axis=-1),
        draft_ticks,
        target_ticks,
        overhead,
    )
    return Prepared(arguments, ((),), ((2, horizon), (horizon,), (horizon, pair.contexts, size)), unit)


def _costs(clock: CostModel, longest: int, horizon: int) -> tuple[Array, Array, int, Fraction]:
    """Return, in ticks: a draft step by start, a call by untested tokens and start, the overhead; the unit.

    The call looks at the untested tokens and the one before them.
    """
    if longest * horizon > _MOST_COSTS:
        raise TooLargeError(
            f"draft_length times horizon is {longest * horizon}, more than {_MOST_COSTS}; use a smaller one"
        )
    draft = [clock.draft_time(1, 1, start) for start in range(horizon)]
    target = [
        clock.target_time(untested + 1, 1, start) for untested in range(longest) for start in range(horizon)
    ]
    found = to_ticks([clock.overhead_time(1), *draft, *target])
    overhead, counts = found.counts[0], found.counts[1:]
    if horizon * (overhead + max(counts) * longest) >= 2**63:
        raise TooLargeError(
            f"a tick of the clock is {found.unit} target calls, so that a run has too many to count; "
            "round the costs"
        )
    rows = np.array(counts, dtype=np.int64).reshape(longest + 1, horizon)
    return rows[0], rows[1:], overhead, found.unit


@cache
def compiled() -> Any:
    """Return the compiled loop."""
    return kernel()(decode_runs)


def decode_runs(
    key: Any, first_run: Any, longest: Any, horizon: Any,
    offset: Any, following: Any, prompt: Any, drafts: Any, target: Any, draft: Any, excess: Any,
    draft_ticks: Any, target_ticks: Any, overhead: Any,
    ticks: Any, rounds: Any, rejections: Any, tokens: Any,
) -> None:  # fmt: skip
    """Decode runs: the loop of the module's text.

    A position has one word for its draft and a coin for its test however often it is drafted, since a draft
    that is thrown away untested changes nothing; another coin is for the replacement. So all draft lengths
    emit the same text at the same seed.
    """
    context, token, coin = np.zeros(horizon + 1, np.int64), np.zeros(horizon, np.int64), np.zeros(horizon)
    for run in range(ticks.size):
        key[1] = np.uint64(first_run + run)
        word, _ = words_at(key, np.uint64(0), _NODE, 0)
        context[0] = draw_row(prompt, 0, word >> _32)
        # Tokens that are verified, and tokens that are drafted or verified.
        verified, known, mode = 0, 0, 0
        while verified < horizon:
            drafted = min(longest, horizon - known)
            for place in range(known, known + drafted):
                word, other = words_at(key, np.uint64(place + 1), _NODE, 0)
                coin[place] = coin_of(other)
                token[place] = draw_row(drafts, offset[place] + context[place], word >> _32)
                context[place + 1] = following[context[place], token[place]]
            rounds[mode, verified] += 1
            drafting, calling = drafted * draft_ticks[verified], target_ticks[known - verified, verified]
            ticks[run] += max(drafting, calling) + overhead

            tested, known, mode = min(known + 1, horizon), known + drafted, 1
            for place in range(verified, tested):
                row = offset[place] + context[place]
                verified = place + 1
                rejected = coin[place] * draft[row, token[place]] >= target[row, token[place]]
                if rejected:
                    _, other = words_at(key, np.uint64(place + 1), _NODE, 1)
                    token[place] = draw_sums(excess[row], coin_of(other))
                    context[place + 1] = following[context[place], token[place]]
                    rejections[place] += 1
                    known, mode = place + 1, 0
                tokens[place, context[place], token[place]] += 1
                if rejected:
                    break
