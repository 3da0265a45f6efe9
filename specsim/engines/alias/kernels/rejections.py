"""Collapsed decoding by alias tables, in lockstep: time outside, runs inside, one gather per token.

An atom is a token with the way it came to be written: ``token`` when it was drafted and accepted (or is a
bonus token), ``token + 2**(bits - 1)`` when it was written after a rejection. A row of a table has
``2**bits`` columns; the low bits of a random word choose the column, the others are compared with its
threshold.

Products and shifts of uint32 are cast back at once and shifts are masked, or LLVM would work on 64 bits and
gather half as many entries at a time.
"""

from typing import Any, NamedTuple

import numpy as np

from specsim.engines.compiled.jit import kernel, lockstep
from specsim.engines.compiled.sizes import ALIAS_BLOCK as BLOCK, PACK
from specsim.engines.compiled.words import ONE, count, count_packed, fill, start, until_carry


class Rules(NamedTuple):
    """What an algorithm does and what is tallied.

    A round drafts `draft_length` tokens, followed by a target token with `bonus`; with `markov`, contexts are
    last tokens; `width` is the number of tokens where they are counted per context, else 0.
    """

    draft_length: Any
    bonus: Any
    markov: Any
    tokens: Any
    width: Any
    rounds: Any
    outcomes: Any


class Prompt(NamedTuple):
    """Alias table of the initial law."""

    entries: Any
    bits: Any


class Tables(NamedTuple):
    """Alias tables, one per step or one that serves all.

    The entries of a step hold one row per context for positions inside a round, then from row `root` on for
    first positions and from row `bonus` on for bonus tokens.
    """

    entries: Any
    bits: Any
    root: Any
    bonus: Any


#: Vocabularies up to this size are counted in packed bytes.
PACKED_TOKENS = 8

_31 = np.uint32(31)
_MOST = np.uint32(0x7FFFFFFF)


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


@kernel(distinct=True)
def advance_rejections(work, prompt, tables, row, rejections, counts, rejection_count, room, sums):
    """Advance runs over some positions, counting rejections and tokens.

    For algorithms and pairs in which the next row is the last token, plus ``tables.root`` after a rejection.
    `work` and `counts` are those of `specsim.engines.tallies.tally`; `room` (`ALIAS_SPACE`) and `sums`
    (`LANES`) are working space.
    """
    seed, runs, begin, end = work.seed, work.runs, work.begin, work.end
    bits, root = tables.bits, tables.root
    words = room[:PACK]
    token = room[PACK]
    packed = counts.tokens.shape[1] <= PACKED_TOKENS
    low = 0
    while low < runs:
        run = work.first_run + np.uint64(low)
        size = until_carry(run, min(BLOCK, runs - low))
        rows = row[low : low + size]
        tokens = token[:size]
        rejected = rejections[low : low + size]
        if begin == 0:
            fill(words, 0, size, seed, run, np.uint64(0))
            start(words[0], prompt.entries, prompt.bits, rows)
            for i in range(size):
                rows[i] = np.uint32(rows[i] + root)
        elif (begin + 1) % PACK:
            fill(words, 0, size, seed, run, np.uint64((begin + 1) // PACK))
        for step in range(begin, end):
            position = step + 1
            if position % PACK == 0:
                fill(words, 0, size, seed, run, np.uint64(position // PACK))
            table = tables.entries[0 if tables.entries.shape[0] == 1 else step - begin]
            counts.rejections_by_step[step] += step_plain(
                words[position % PACK], table, bits, root, rows, tokens, rejected
            )
            if packed:
                count_packed(tokens, sums, counts.tokens[step])
            else:
                count(tokens, counts.tokens[step])
        if end == work.horizon:
            for i in range(size):
                rejection_count[np.uint64(rejected[i])] += 1
        low += size
