"""Collapsed decoding by alias tables of any algorithm and any pair, in lockstep.

Atoms and entries are as in `specsim.engines.alias.kernels.rejections`.
"""

import numpy as np

from specsim.engines.compiled.compaction import list_marked
from specsim.engines.compiled.jit import kernel, lockstep
from specsim.engines.compiled.rounds import add_lengths, count_rounds, mark_open, note_rounds, sum_rounds
from specsim.engines.compiled.sizes import BLOCK, PACK
from specsim.engines.compiled.words import ONE, count, fill_block, start
from specsim.engines.lockstep.kernels.chain_steps import follow, move_on

_31 = np.uint32(31)


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


@kernel(distinct=True)
def advance_rounds(work, rules, prompt, tables, next_context, runs, counts, room):
    """Advance runs over some positions of any algorithm and any pair.

    `work`, `rules` and `tables` are those of `specsim.engines.alias.kernels.rejections`; `room`
    (`ROUNDS_SPACE`) is working space.
    """
    words = room[:PACK]
    notes = room[PACK : PACK + 5]
    listed = room[PACK + 5]
    whole = np.uint32(rules.draft_length)
    tokens = np.uint64(rules.tokens)
    rounds = rules.rounds
    for block in range((work.runs + BLOCK - 1) // BLOCK):
        low = block * BLOCK
        size = min(BLOCK, work.runs - low)
        run = work.first_run + np.uint64(low)
        context = runs.context[low : low + size]
        phase = runs.accepted[low : low + size]
        rejections = runs.rejections[low : low + size]
        firsts = runs.first_length[low : low + size]
        # One table serves all blocks when each is done from beginning to end.
        lengths = runs.lengths[(block if runs.lengths.shape[0] > 1 else 0) if rounds else 0]
        token = notes[0, :size]
        cell = notes[1, :size]
        now = notes[2, :size]
        ended = notes[3, :size]
        length = notes[4, :size]
        if work.begin == 0:
            fill_block(words, size, work.seed, run, np.uint64(0))
            start(words[0], prompt.entries, prompt.bits, context)
        elif (work.begin + 1) % PACK:
            fill_block(words, size, work.seed, run, np.uint64((work.begin + 1) // PACK))
        for step in range(work.begin, work.end):
            position = step + 1
            if position % PACK == 0:
                fill_block(words, size, work.seed, run, np.uint64(position // PACK))
            table = tables.entries[0 if tables.entries.shape[0] == 1 else step - work.begin]
            counts.rejections_by_step[step] += step_phased(
                words[position % PACK], table, tables.bits, tables.root, tables.bonus, whole, rules.bonus,
                np.uint32(rules.width), context, phase, rejections, token, cell, now, ended, length,
            )  # fmt: skip
            if rules.markov:
                follow(context, token)
            else:
                move_on(context, token, next_context, tokens)
            count(cell, counts.tokens[step])
            if rounds:
                note_rounds(ended, length, runs.calls[low : low + size], firsts)
                finished = list_marked(ended, listed, size)
                add_lengths(lengths, listed[:finished], length)
                count_rounds(listed[:finished], step, length, now, whole, counts.rounds)
            if rules.outcomes:
                for i in range(size):
                    runs.path[low + i] = runs.path[low + i] * tokens + np.uint64(token[i])
                    runs.rejected[low + i] |= np.uint64(now[i]) << np.uint64(step)
        if work.end == work.horizon and rounds:
            mark_open(phase, whole, ended)
            note_rounds(ended, phase, runs.calls[low : low + size], firsts)
            finished = list_marked(ended, listed, size)
            add_lengths(lengths, listed[:finished], phase)
            now[:] = np.uint32(0)
            count_rounds(listed[:finished], work.horizon - 1, phase, now, whole, counts.rounds)
            sum_rounds(lengths, firsts, counts.lengths, counts.length_squares, counts.first_lengths)
