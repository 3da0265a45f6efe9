"""Collapsed decoding by alias tables of any algorithm and any pair, in lockstep.

Atoms and entries are as in `specsim.engines.alias.kernels.rejections`.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int64, uint32, uint64, void

from specsim.engines.compiled.compaction import list_marked
from specsim.engines.compiled.jit import kernel, lockstep
from specsim.engines.compiled.rounds import add_lengths, mark_open, note_rounds, sum_rounds
from specsim.engines.compiled.sizes import BLOCK, PACK
from specsim.engines.compiled.words import ONE, count, fill_block, start
from specsim.engines.lockstep.kernels.chain_steps import follow, move_on

_31 = np.uint32(31)

_STATE = uint32[::1]
_COUNT = int64[::1]


@lockstep
def step_phased(
    words, entries, bits, root, bonus, whole, keep, width,
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
        rejections[i] = np.uint32(rejections[i] + rejected)
        total = np.uint32(total + rejected)
    return np.int64(total)


@kernel(
    void(
        uint64, uint64, int64, int64, int64, int64,
        _STATE, uint32, uint32[:, ::1], uint32, uint32, uint32,
        _STATE, boolean, int64, int64, boolean, boolean, boolean, int64,
        _STATE, _STATE, _STATE, _STATE, _STATE, uint32[:, :, ::1], uint64[::1], uint64[::1],
        int64[:, ::1], _COUNT, _COUNT, _COUNT, _COUNT, uint32[:, ::1],
    ),
    distinct=True,
)  # fmt: skip
def advance_rounds(
    seed, first_run, runs, begin, end, horizon,
    initial, initial_bits, entries, bits, root, bonus,
    next_context, markov, vocabulary, draft_length, keep, rounds, outcomes, width,
    context, phase, calls, first, rejections, lengths, path, rejected,
    token_count, by_step, length_count, length_square, first_length, room,
):  # fmt: skip
    """Advance runs over the positions ``begin .. end - 1`` (counted from 0) of any algorithm and any pair.

    With `rounds` target calls and accepted lengths are noted, with `outcomes` whole outcomes. The entries of
    a step hold one row per context for positions inside a round, then from row `root` on for first positions
    and from row `bonus` on for bonus tokens. `room` (`ROUNDS_SPACE`) is working space.
    """
    words = room[:PACK]
    notes = room[PACK : PACK + 5]
    listed = room[PACK + 5]
    whole = np.uint32(draft_length)
    tokens = np.uint64(vocabulary)
    for block in range((runs + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        size = min(BLOCK, runs - low)
        run = first_run + np.uint64(low)
        contexts = context[low : low + size]
        phases = phase[low : low + size]
        counts = rejections[low : low + size]
        firsts = first[low : low + size]
        # One table serves all blocks when each is done from beginning to end.
        table_of = block if lengths.shape[0] > 1 else 0
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
                words[position % PACK], table, bits, root, bonus, whole, keep,
                np.uint32(width), contexts, phases, counts, token, cell, now, ended, length,
            )  # fmt: skip
            if markov:
                follow(contexts, token)
            else:
                move_on(contexts, token, next_context, tokens)
            count(cell, token_count[step])
            if rounds:
                note_rounds(ended, length, calls[low : low + size], firsts)
                add_lengths(lengths[table_of], listed, length, list_marked(ended, listed, size))
            if outcomes:
                for i in range(size):
                    path[low + i] = path[low + i] * tokens + np.uint64(token[i])
                    rejected[low + i] |= np.uint64(now[i]) << np.uint64(step)
        if end == horizon and rounds:
            mark_open(phases, whole, ended)
            note_rounds(ended, phases, calls[low : low + size], firsts)
            add_lengths(lengths[table_of], listed, phases, list_marked(ended, listed, size))
            sum_rounds(lengths[table_of], firsts, length_count, length_square, first_length)
