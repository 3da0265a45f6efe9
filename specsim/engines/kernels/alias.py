"""Collapsed decoding by alias tables, in lockstep: time outside, runs inside, one gather per token.

An atom is a token with the way it came to be written: ``token`` when it was drafted and accepted (or is a
bonus token), ``token + 2**(bits - 1)`` when it was written after a rejection. A row of a table has
``2**bits`` columns; the low bits of a random word choose the column, the others are compared with its
threshold.

Products and shifts of uint32 are cast back at once and shifts are masked, or LLVM would work on 64 bits and
gather half as many entries at a time.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int64, uint32, uint64, void

from specsim.engines.jit import kernel, lockstep
from specsim.engines.kernels.alias_words import PACK, fill, fill_block, until_carry
from specsim.engines.kernels.sampling import BLOCK, record_round, sum_rounds

#: Runs per block of `advance_rejections`.
WIDE_BLOCK = 2048
#: Vocabularies up to this size are counted in packed bytes.
PACKED_TOKENS = 8

ONE = np.uint32(1)
_31 = np.uint32(31)
_MOST = np.uint32(0x7FFFFFFF)
_LANES = 64
_BYTES = np.uint64(0x00FF00FF00FF00FF)

_STATE = uint32[::1]
_COUNT = int64[::1]


@lockstep
def start(words, entries, bits, context):
    """Draw the first contexts of the runs."""
    mask = np.uint32((ONE << (bits & _31)) - ONE)
    for i in range(context.size):
        word = words[i]
        column = np.uint32(word & mask)
        entry = entries[np.uint64(column)]
        context[i] = column if np.uint32(word | mask) < entry else np.uint32(entry & mask)


@lockstep
def step_plain(words, entries, bits, root, row, token, rejections):
    """Emit one token per run where the row is the last token, plus `root` after a rejection."""
    shift = np.uint32(bits & _31)
    mask = np.uint32((ONE << shift) - ONE)
    half = np.uint32(np.uint32(shift - ONE) & _31)
    below = np.uint32(mask >> ONE)
    total = np.uint32(0)
    for i in range(row.size):
        word = words[i]
        column = np.uint32(word & mask)
        index = np.uint32((np.uint32(row[i] << shift) | column) & _MOST)
        entry = entries[np.uint64(index)]
        atom = column if np.uint32(word | mask) < entry else np.uint32(entry & mask)
        rejected = np.uint32(atom >> half)
        emitted = np.uint32(atom & below)
        token[i] = emitted
        row[i] = np.uint32(emitted + np.uint32(rejected * root))
        rejections[i] = np.uint32(rejections[i] + rejected)
        total = np.uint32(total + rejected)
    return np.int64(total)


@lockstep
def step_phased(
    words, entries, bits, root, bonus, next_context, tokens, whole, keep, width,
    context, phase, rejections, token, cell, rejected_now, ended, length,
):  # fmt: skip
    """Emit one token per run where the row depends on the context and on how far the round has come.

    `root` and `bonus` are added to the context in the first position of a round and after a whole draft of
    `whole` tokens; `keep` says whether a whole draft is followed by a bonus token. Noted per run are the
    token, its cell in the token counts, whether it was rejected, whether its round ended and the accepted
    length of that round.
    """
    shift = np.uint64(bits) & np.uint64(31)
    mask = np.uint32((ONE << np.uint32(bits & _31)) - ONE)
    half = np.uint32(np.uint32(bits - ONE) & _31)
    below = np.uint32(mask >> ONE)
    reset = np.uint32(0) if keep else whole
    total = np.uint32(0)
    for i in range(context.size):
        word = words[i]
        done = phase[i]
        before = context[i]
        column = np.uint32(word & mask)
        full = done == whole
        bank = bonus if full else (root if done == 0 else np.uint32(0))
        entry = entries[(np.uint64(np.uint32(before + bank)) << shift) | np.uint64(column)]
        atom = column if np.uint32(word | mask) < entry else np.uint32(entry & mask)
        rejected = np.uint32(atom >> half)
        emitted = np.uint32(atom & below)
        now = np.uint32(0) if (full or rejected != 0) else np.uint32(done + ONE)
        reached = now == whole
        ended[i] = np.uint32(1) if (rejected != 0 or reached) else np.uint32(0)
        length[i] = done if rejected != 0 else now
        phase[i] = np.uint32(now - reset) if reached else now
        token[i] = emitted
        cell[i] = np.uint32(np.uint32(width * before) + emitted)
        rejected_now[i] = rejected
        context[i] = next_context[np.uint64(before) * tokens + np.uint64(emitted)]
        rejections[i] = np.uint32(rejections[i] + rejected)
        total = np.uint32(total + rejected)
    return np.int64(total)


@lockstep
def count(cells, counts):
    """Add one to the count of every cell."""
    for i in range(cells.size):
        counts[np.uint64(cells[i])] += 1


@lockstep
def count_packed(cells, sums, counts):
    """Add one to the count of every cell, cells being below 8: eight byte counters per 64-bit lane."""
    for low in range(0, cells.size, 127 * _LANES):
        size = min(127 * _LANES, cells.size - low)
        groups = size // _LANES
        for lane in range(_LANES):
            sums[lane] = np.uint64(0)
        for group in range(groups):
            for lane in range(_LANES):
                shift = np.uint64(cells[np.uint64(low + group * _LANES + lane)]) << np.uint64(3)
                sums[lane] = sums[lane] + (np.uint64(1) << (shift & np.uint64(63)))
        for lane in range(size - groups * _LANES):
            shift = np.uint64(cells[np.uint64(low + groups * _LANES + lane)]) << np.uint64(3)
            sums[lane] = sums[lane] + (np.uint64(1) << (shift & np.uint64(63)))
        even = np.uint64(0)
        odd = np.uint64(0)
        for lane in range(_LANES):
            even += sums[lane] & _BYTES
            odd += (sums[lane] >> np.uint64(8)) & _BYTES
        for token in range(counts.size):
            half = odd if token & 1 else even
            counts[token] += np.int64((half >> np.uint64(16 * (token >> 1))) & np.uint64(0xFFFF))


@kernel(
    void(
        uint64, uint64, int64, int64, int64, int64,
        _STATE, uint32, uint32[:, ::1], uint32, uint32,
        _STATE, _STATE, int64[:, ::1], _COUNT, _COUNT,
    ),
    distinct=True,
)  # fmt: skip
def advance_rejections(
    seed, first_run, runs, begin, end, horizon,
    initial, initial_bits, entries, bits, root,
    row, rejections, token_count, by_step, rejection_count,
):  # fmt: skip
    """Advance runs over the positions ``begin .. end - 1`` (counted from 0), counting rejections and tokens.

    For algorithms and pairs in which the next row is the last token, plus `root` after a rejection. Entries
    have one row per step from `begin` on, or one that serves all.
    """
    words = np.empty((PACK, WIDE_BLOCK), np.uint32)
    token = np.empty(WIDE_BLOCK, np.uint32)
    sums = np.empty(_LANES, np.uint64)
    packed = token_count.shape[1] <= PACKED_TOKENS
    low = 0
    while low < runs:
        run = first_run + np.uint64(low)
        size = until_carry(run, min(WIDE_BLOCK, runs - low))
        rows = row[low : low + size]
        tokens = token[:size]
        counts = rejections[low : low + size]
        if begin == 0:
            fill(words, size, seed, run, np.uint64(0))
            start(words[0], initial, initial_bits, rows)
            for i in range(size):
                rows[i] = np.uint32(rows[i] + root)
        elif (begin + 1) % PACK:
            fill(words, size, seed, run, np.uint64((begin + 1) // PACK))
        for step in range(begin, end):
            position = step + 1
            if position % PACK == 0:
                fill(words, size, seed, run, np.uint64(position // PACK))
            table = entries[0 if entries.shape[0] == 1 else step - begin]
            by_step[step] += step_plain(words[position % PACK], table, bits, root, rows, tokens, counts)
            if packed:
                count_packed(tokens, sums, token_count[step])
            else:
                count(tokens, token_count[step])
        if end == horizon:
            for i in range(size):
                rejection_count[np.uint64(counts[i])] += 1
        low += size


@kernel(
    void(
        uint64, uint64, int64, int64, int64, int64,
        _STATE, uint32, uint32[:, ::1], uint32, uint32, uint32,
        _STATE, int64, int64, boolean, boolean, boolean, int64,
        _STATE, _STATE, _STATE, _STATE, _STATE, uint32[:, :, ::1], uint64[::1], uint64[::1],
        int64[:, ::1], _COUNT, _COUNT, _COUNT, _COUNT,
    ),
    distinct=True,
)  # fmt: skip
def advance_rounds(
    seed, first_run, runs, begin, end, horizon,
    initial, initial_bits, entries, bits, root, bonus,
    next_context, vocabulary, draft_length, keep, rounds, outcomes, width,
    context, phase, calls, first, rejections, lengths, path, rejected,
    token_count, by_step, length_count, length_square, first_length,
):  # fmt: skip
    """Advance runs over the positions ``begin .. end - 1`` (counted from 0) of any algorithm and any pair.

    With `rounds` target calls and accepted lengths are noted, with `outcomes` whole outcomes. The entries of
    a step hold one row per context for positions inside a round, then from row `root` on for first positions
    and from row `bonus` on for bonus tokens.
    """
    words = np.empty((PACK, BLOCK), np.uint32)
    notes = np.empty((5, BLOCK), np.uint32)
    listed = np.empty(BLOCK, np.uint32)
    whole = np.uint32(draft_length)
    tokens = np.uint64(vocabulary)
    for block in range((runs + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        size = min(BLOCK, runs - low)
        run = first_run + np.uint64(low)
        contexts = context[low : low + size]
        phases = phase[low : low + size]
        counts = rejections[low : low + size]
        token = notes[0, :size]
        cell = notes[1, :size]
        now = notes[2, :size]
        ended = notes[3, :size]
        length = notes[4, :size]
        if begin == 0:
            fill_block(words, size, seed, run, np.uint64(0))
            start(words[0], initial, initial_bits, contexts)
        elif (begin + 1) % PACK:
            fill_block(words, size, seed, run, np.uint64((begin + 1) // PACK))
        for step in range(begin, end):
            position = step + 1
            if position % PACK == 0:
                fill_block(words, size, seed, run, np.uint64(position // PACK))
            table = entries[0 if entries.shape[0] == 1 else step - begin]
            by_step[step] += step_phased(
                words[position % PACK], table, bits, root, bonus, next_context, tokens, whole, keep,
                np.uint32(width), contexts, phases, counts, token, cell, now, ended, length,
            )  # fmt: skip
            count(cell, token_count[step])
            if rounds:
                # Ends are listed first, because branching on them would cost more.
                ends = 0
                for i in range(size):
                    listed[ends] = i
                    ends += np.int64(ended[i])
                for k in range(ends):
                    i = np.int64(listed[k])
                    record_round(block, i, low + i, np.int64(length[i]), calls, first, lengths)
            if outcomes:
                for i in range(size):
                    path[low + i] = path[low + i] * tokens + np.uint64(token[i])
                    rejected[low + i] |= np.uint64(now[i]) << np.uint64(step)
        if end == horizon and rounds:
            for i in range(size):
                if phases[i] > 0 and phases[i] != whole:
                    record_round(block, i, low + i, np.int64(phases[i]), calls, first, lengths)
            sum_rounds(block, size, first, lengths, length_count, length_square, first_length)
