"""The position-by-position algorithms, in lockstep: blocks of runs, time outside, runs inside.

Every position of every run is one of: a bonus token (or a token of plain decoding), an accepted draft token,
or a token written after a rejection. The state of a run is its context and the number of draft tokens that
its present round has accepted.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int64, uint32, uint64

from specsim.engines.jit import inlined, kernel
from specsim.engines.kernels.sampling import (
    BLOCK,
    LOW,
    ONE,
    ZERO,
    draw,
    draw_residual,
    record_round,
    sum_rounds,
)
from specsim.engines.philox import philox, word_pairs

_31 = np.uint64(31)
_32 = np.uint64(32)
_SPLIT = np.uint64((1 << 31) - 1)

_WORDS = uint64[::1]
_STATE = uint32[::1]
_COUNT = int64[::1]
_LASTS = uint32[:, ::1]
_GUIDE = uint32[:, ::1]
_ENDS = uint64[:, ::1]


@inlined
def fill(head, tail, size, seed, first_run, position):
    """Fill the random words of one position for `size` consecutive runs."""
    k0, k1 = seed & LOW, seed >> _32
    for i in range(size):
        run = first_run + np.uint64(i)
        w0, w1, w2, w3 = philox(position, ZERO, run & LOW, run >> _32, k0, k1)
        head[i] = (w0 << _32) | w1
        tail[i] = (w2 << _32) | w3


@inlined
def passes(offset, word, threshold):
    """Test 63 bits, the offset of the draft word continued by its second word, against a threshold."""
    return ((offset << _31) | ((word & LOW) >> ONE)) < threshold


@kernel(
    int64(
        uint64, uint64, int64, int64, int64, int64, int64,  # seed .. table stride
        int64, boolean, int64, int64, boolean,  # draft length .. outcomes
        _LASTS, _GUIDE, uint64, uint32[:, ::1],  # initial law, transitions
        _LASTS, _GUIDE, uint64, _ENDS,  # draft, acceptance
        _ENDS, _GUIDE, uint64,  # residuals
        _LASTS, _GUIDE,  # target
        uint64[:, :, ::1],  # acceptance of later candidates
        _STATE, _STATE, _STATE, _STATE, _STATE, uint32[:, :, ::1], _WORDS, _WORDS,  # state
        int64[:, ::1], int64, _COUNT, _COUNT, _COUNT, _COUNT,  # tallies
    )
)  # fmt: skip
def advance(
    seed, first_run, runs, begin, end, horizon, stride,
    draft_length, bonus, drafts, root_bank, outcomes,
    initial_last, initial_guide, initial_shift, next_context,
    draft_last, draft_guide, draft_shift, accept,
    residual_end, residual_guide, residual_bits,
    target_last, target_guide,
    root_accept,
    context, accepted, calls, first, rejections, lengths, path, rejected,
    token_count, width, by_step, length_count, length_square, first_length,
):  # fmt: skip
    """Advance `runs` runs over the positions ``begin .. end - 1`` (counted from 0).

    Tables hold one row per (step, context), the first step being `begin`; `stride` is the number of contexts,
    or 0 when one step serves all. ``root_bank`` is added to the row to find the residual of a root. Words of
    a draw: draft word, its continuation, two words for the residual; candidate m + 1 of a root has slot m.

    Returns 0, or the status of `draw_residual` that stopped the work.
    """
    head = np.empty(BLOCK, np.uint64)
    tail = np.empty(BLOCK, np.uint64)
    emitted = np.empty(BLOCK, np.uint32)
    failed = np.empty(BLOCK, np.int64)
    tokens = np.uint64(accept.shape[1])
    whole = np.uint64(draft_length)
    if begin == 0:
        for low in range(0, runs, BLOCK):
            size = min(BLOCK, runs - low)
            fill(head, tail, size, seed, first_run + np.uint64(low), ZERO)
            for i in range(size):
                start, _ = draw(initial_last, initial_guide, initial_shift, ZERO, head[i] >> _32)
                context[low + i] = start
    for step in range(begin, end):
        position = np.uint64(step + 1)
        base = np.uint64((step - begin) * stride)
        for low in range(0, runs, BLOCK):
            block = low // BLOCK
            size = min(BLOCK, runs - low)
            block_run = first_run + np.uint64(low)
            fill(head, tail, size, seed, block_run, position)
            # Drafts and their tests; failures are listed, because branching on them would cost more.
            failures = 0
            for i in range(size):
                run = low + i
                row = base + np.uint64(context[run])
                done = np.uint64(accepted[run])
                if done == whole:
                    record_round(block, i, run, done, calls, first, lengths)
                    done = ZERO
                    if bonus:
                        accepted[run] = ZERO
                        emitted[i], _ = draw(target_last, target_guide, draft_shift, row, head[i] >> _32)
                        continue
                token, offset = draw(draft_last, draft_guide, draft_shift, row, head[i] >> _32)
                taken = passes(offset, head[i], accept[row, token])
                emitted[i] = token
                accepted[run] = done + np.uint64(taken)
                failed[failures] = i
                failures += 1 - np.int64(taken)
            written = failures
            for k in range(failures):
                i = failed[k]
                run = low + i
                row = base + np.uint64(context[run])
                done = np.uint64(accepted[run])
                number = block_run + np.uint64(i)
                if drafts > 1 and done == ZERO:
                    taken = False
                    for slot in range(1, drafts):
                        words, _ = word_pairs(seed, number, position, np.uint64(slot))
                        token, offset = draw(draft_last, draft_guide, draft_shift, row, words >> _32)
                        if passes(offset, words, root_accept[row, slot - 1, token]):
                            taken = True
                            emitted[i] = token
                            accepted[run] = ONE
                            break
                    if taken:
                        written -= 1
                        continue
                row += np.uint64(root_bank) * np.uint64(done == ZERO)
                token, status = draw_residual(
                    residual_end, residual_guide, residual_bits, row, seed, number, position, ZERO, tail[i]
                )
                if status != 0:
                    return status
                record_round(block, i, run, done, calls, first, lengths)
                emitted[i] = token
                accepted[run] = ZERO
                rejections[run] += np.uint32(1)
                if outcomes:
                    rejected[run] |= ONE << np.uint64(step)
            by_step[step] += written
            for i in range(size):
                run = low + i
                state = np.uint64(context[run])
                token = np.uint64(emitted[i])
                context[run] = next_context[state, token]
                token_count[step, np.uint64(width) * state + token] += 1
            if outcomes:
                for i in range(size):
                    path[low + i] = path[low + i] * tokens + np.uint64(emitted[i])
    if end == horizon:
        for low in range(0, runs, BLOCK):
            block = low // BLOCK
            size = min(BLOCK, runs - low)
            for i in range(size):
                run = low + i
                if accepted[run] > 0:
                    record_round(block, i, run, np.uint64(accepted[run]), calls, first, lengths)
            sum_rounds(block, size, first, lengths, length_count, length_square, first_length)
    return 0
