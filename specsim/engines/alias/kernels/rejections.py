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
from numba import int64, uint32, uint64, void

from specsim.engines.compiled.jit import kernel, lockstep
from specsim.engines.compiled.sizes import ALIAS_BLOCK as BLOCK, PACK
from specsim.engines.compiled.words import ONE, count, count_packed, fill, start, until_carry

#: Vocabularies up to this size are counted in packed bytes.
PACKED_TOKENS = 8

_31 = np.uint32(31)
_MOST = np.uint32(0x7FFFFFFF)

_STATE = uint32[::1]
_COUNT = int64[::1]


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


@kernel(
    void(
        uint64, uint64, int64, int64, int64, int64,
        _STATE, uint32, uint32[:, ::1], uint32, uint32,
        _STATE, _STATE, int64[:, ::1], _COUNT, _COUNT, uint32[:, ::1], uint64[::1],
    ),
    distinct=True,
)  # fmt: skip
def advance_rejections(
    seed, first_run, runs, begin, end, horizon,
    initial, initial_bits, entries, bits, root,
    row, rejections, token_count, by_step, rejection_count, room, sums,
):  # fmt: skip
    """Advance runs over the positions ``begin .. end - 1`` (counted from 0), counting rejections and tokens.

    For algorithms and pairs in which the next row is the last token, plus `root` after a rejection. Entries
    have one row per step from `begin` on, or one that serves all. `room` (`ALIAS_SPACE`) and `sums` (`LANES`)
    are working space.
    """
    words = room[:PACK]
    token = room[PACK]
    packed = token_count.shape[1] <= PACKED_TOKENS
    low = 0
    while low < runs:
        run = first_run + np.uint64(low)
        size = until_carry(run, min(BLOCK, runs - low))
        rows = row[low : low + size]
        tokens = token[:size]
        counts = rejections[low : low + size]
        if begin == 0:
            fill(words, 0, size, seed, run, np.uint64(0))
            start(words[0], initial, initial_bits, rows)
            for i in range(size):
                rows[i] = np.uint32(rows[i] + root)
        elif (begin + 1) % PACK:
            fill(words, 0, size, seed, run, np.uint64((begin + 1) // PACK))
        for step in range(begin, end):
            position = step + 1
            if position % PACK == 0:
                fill(words, 0, size, seed, run, np.uint64(position // PACK))
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
