"""Block verification (2403.10444), run by run: a whole block is drafted, then verified jointly."""

from __future__ import annotations

import numpy as np
from numba import boolean, float64, int64, uint32, uint64

from specsim.engines.compiled.jit import inlined, kernel
from specsim.engines.compiled.philox import word_pairs
from specsim.engines.compiled.rounds import record_round, sum_rounds
from specsim.engines.compiled.sampling import ONE, ZERO, draw
from specsim.engines.compiled.sizes import BLOCK

_11 = np.uint64(11)
_32 = np.uint64(32)
_FINAL = np.uint64(1 << 31)
_UNIT = 2.0**-53

_STATE = uint32[::1]
_COUNT = int64[::1]
_LASTS = uint32[:, ::1]
_GUIDE = uint32[:, ::1]
_ROWS = float64[:, ::1]


@inlined
def excess(scale, target, draft, row):
    """Sum of the positive part of ``scale * T - D``."""
    total = 0.0
    for token in range(target.shape[1]):
        total += max(scale * target[row, token] - draft[row, token], 0.0)
    return total


@inlined
def draw_excess(scale, target, draft, row, uniform):
    """Draw from the normalised positive part of ``scale * T - D``; status 1 when it is empty."""
    level = uniform * excess(scale, target, draft, row)
    reached = 0.0
    token = -1
    for candidate in range(target.shape[1]):
        weight = scale * target[row, candidate] - draft[row, candidate]
        if weight > 0.0:
            token = candidate
            reached += weight
            if level < reached:
                break
    if token < 0:
        return ZERO, 1
    return np.uint64(token), 0


@kernel(
    int64(
        uint64, uint64, int64, int64, int64, int64, boolean, boolean,
        _LASTS, _GUIDE, uint64, uint32[:, ::1],
        _LASTS, _GUIDE, uint64, _LASTS, _GUIDE, _ROWS, _ROWS,
        _STATE, _STATE, _STATE, uint32[:, :, ::1], uint64[::1], uint64[::1],
        int64[:, ::1], int64, _COUNT, _COUNT, _COUNT, _COUNT, uint64[:, ::1], float64[::1],
    )
)  # fmt: skip
def verify_blocks(
    seed, first_run, runs, horizon, stride, draft_length, bonus, outcomes,
    initial_last, initial_guide, initial_shift, next_context,
    draft_last, draft_guide, draft_shift, target_last, target_guide, target, draft,
    calls, first, rejections, lengths, path, rejected,
    token_count, width, by_step, length_count, length_square, first_length, room, coins,
):  # fmt: skip
    """Decode `runs` runs from the first position to the horizon.

    A round that starts at position s uses slot s for its drafts and their coins, and slot s + 2^31 for its
    residual or bonus token, so that a position drafted in several rounds meets fresh words in each. `room`
    (two rows) and `coins` are working space, one place longer than a draft.

    Returns 0, or 1 when an empty residual was reached.
    """
    states = room[0]
    drafted = room[1]
    tokens = np.uint64(target.shape[1])
    for run in range(runs):
        number = first_run + np.uint64(run)
        head, _ = word_pairs(seed, number, ZERO, ZERO)
        states[0], _ = draw(initial_last, initial_guide, initial_shift, ZERO, head >> _32)
        start = 0
        while start < horizon:
            size = min(draft_length, horizon - start)
            slot = np.uint64(start + 1)
            for i in range(size):
                head, tail = word_pairs(seed, number, np.uint64(start + i + 1), slot)
                row = np.uint64((start + i) * stride) + states[i]
                drafted[i], _ = draw(draft_last, draft_guide, draft_shift, row, head >> _32)
                states[i + 1] = next_context[states[i], drafted[i]]
                coins[i] = np.float64(tail >> _11) * _UNIT
            ratio = 1.0
            kept = 0
            kept_ratio = 1.0
            for i in range(size):
                row = np.uint64((start + i) * stride) + states[i]
                ratio = min(1.0, ratio * target[row, drafted[i]] / draft[row, drafted[i]])
                success = ratio
                if i + 1 < size:
                    row = np.uint64((start + i + 1) * stride) + states[i + 1]
                    mass = excess(ratio, target, draft, row)
                    rest = mass + 1.0 - ratio
                    success = 1.0 if rest == 0.0 else mass / rest
                # A failed test does not end the scan: the last success counts.
                if coins[i] < success:
                    kept = i + 1
                    kept_ratio = ratio
            record_round(run // BLOCK, run % BLOCK, run, kept, calls, first, lengths)
            emitted = kept
            if start + kept < horizon and (kept < size or bonus):
                _, tail = word_pairs(seed, number, np.uint64(start + kept + 1), slot | _FINAL)
                row = np.uint64((start + kept) * stride) + states[kept]
                if kept < size:
                    drafted[kept], status = draw_excess(
                        kept_ratio, target, draft, row, np.float64(tail >> _11) * _UNIT
                    )
                    if status != 0:
                        return status
                    rejections[run] += np.uint32(1)
                    by_step[start + kept] += 1
                    if outcomes:
                        rejected[run] |= ONE << np.uint64(start + kept)
                else:
                    drafted[kept], _ = draw(target_last, target_guide, draft_shift, row, tail >> _32)
                emitted += 1
            for i in range(emitted):
                token_count[start + i, np.uint64(width) * states[i] + drafted[i]] += 1
                if outcomes:
                    path[run] = path[run] * tokens + drafted[i]
            last = states[emitted - 1]
            states[0] = next_context[last, drafted[emitted - 1]]
            start += emitted
    for block in range(lengths.shape[0]):
        low = block * BLOCK
        sum_rounds(
            lengths[block], first[low : min(runs, low + BLOCK)], length_count, length_square, first_length
        )
    return 0
