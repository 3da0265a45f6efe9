"""The position-by-position algorithms, in lockstep: tiles of runs, time outside, runs inside.

Every position of every run is one of: a bonus token (or a token of plain decoding), an accepted draft token,
or a token written after a rejection. The state of a run is its context and the number of draft tokens that
its present round has accepted.

Words of a run, by Philox counter: position n drafts with word ``n % 4`` of ``(n // 4, 0)``, position 0 being
the prompt; ``(n, 1)`` holds the residual word and the continuation of the draft word where they are separate;
later candidate m = 0, 1, .. of a root reads word ``m % 4`` of ``(n, 2 + m // 4)``, continued by
``(n, 2^29 + m)``.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int64, uint32, uint64

from specsim.engines.compiled.compaction import list_marked, list_marked_among
from specsim.engines.compiled.jit import kernel
from specsim.engines.compiled.rounds import add_lengths, mark_open, note_rounds, sum_rounds
from specsim.engines.compiled.sampling import ZERO, draw
from specsim.engines.compiled.sizes import PACK, TILE
from specsim.engines.compiled.words import count, count_packed
from specsim.engines.lockstep.kernels.chain_lists import (
    replace_separately,
    replace_shared,
    test_again,
    try_candidates,
)
from specsim.engines.lockstep.kernels.chain_permute import LANES, step_permuted
from specsim.engines.lockstep.kernels.chain_steps import (
    choose_rows,
    count_and_begin,
    count_cells,
    count_rejections,
    draft_tokens,
    end_rounds,
    fill_words,
    follow,
    move_on,
)

#: Vocabularies up to this size are counted in packed bytes.
_PACKED_TOKENS = 8

_WORDS = uint64[::1]
_STATE = uint32[::1]
_COUNT = int64[::1]
_TABLE = uint32[:, ::1]
_TABLES = uint32[:, :, ::1]
_ENDS = uint64[:, ::1]


@kernel(
    int64(
        uint64, uint64, int64, int64, int64, int64,  # seed .. horizon
        int64, boolean, int64, boolean, boolean, boolean, boolean, boolean, boolean,  # draft length ..
        _TABLE, _TABLE, uint64, _STATE,  # initial law, transitions
        uint32, uint32, uint32, _TABLES, _TABLE, _TABLE,  # draft and test
        _TABLES, _TABLE, _TABLE,  # residual positions
        _TABLE, uint64[:, :, ::1], uint64[:, :, ::1], _TABLES,  # trees, separate acceptance, residual
        _TABLE, uint64[:, :, ::1], uint64[:, :, ::1], _TABLES, uint64, _TABLE,  # roots
        _STATE, _STATE, _STATE, _STATE, _STATE, _TABLES, _WORDS, _WORDS,  # state
        int64[:, ::1], int64, _COUNT, _COUNT, _COUNT, _COUNT,  # tallies
        _TABLE, _WORDS,  # working space
    ),
    distinct=True,
)  # fmt: skip
def advance(
    seed, first_run, runs, begin, end, horizon,
    draft_length, keep, drafts, rooted, shared, rounds, outcomes, markov, permuting,
    initial_last, initial_guide, initial_shift, next_context,
    token_bits, bits, bonus, last, entries, slides,
    residual_last, residual_entries, residual_shifts,
    trees, accept, separate_end, separate_guide,
    root_cuts, root_accept, root_end, root_guide, separate_bits, root_trees,
    context, phase, calls, first, rejections, lengths, path, rejected,
    token_count, width, by_step, length_count, length_square, first_length,
    room, sums,
):  # fmt: skip
    """Advance `runs` runs over the positions ``begin .. end - 1`` (counted from 0).

    Tables have one entry per step from `begin` on, or one that serves all. With `shared`, one word drafts,
    tests and finds the residual token; otherwise `accept` and the separate residual are used. With `rooted`,
    first positions of a round try `drafts` candidates and have a residual of their own. With `permuting`, the
    tables in `trees` are used where words are shared, with equal results. `room` (`CHAIN_SPACE`) and `sums`
    (`LANES`) are working space.

    Returns 0, or the status of `draw_residuals` that stopped the work.
    """
    words = room[:PACK]
    fresh = room[PACK : 2 * PACK]
    buffers = room[2 * PACK : 2 * PACK + 9]
    listed = room[2 * PACK + 9]
    roots = room[2 * PACK + 10]
    every = room[2 * PACK + 11]
    for i in range(TILE):
        every[i] = i
    whole = np.uint32(draft_length)
    endless = draft_length > horizon
    tokens = np.uint64((last.shape[2] - 1) // 2)
    atom_bits = np.uint32(token_bits + np.uint32(1))
    packed = token_count.shape[1] <= _PACKED_TOKENS
    lead = begin
    while lead < end:
        # Four positions share a Philox block; their tables stay in a near cache while all runs pass.
        until = min(end, (lead + 1) // PACK * PACK + PACK - 1)
        block = np.uint64((lead + 1) // PACK)
        for low in range(0, runs, TILE):
            size = min(TILE, runs - low)
            run = first_run + np.uint64(low)
            contexts = context[low : low + size]
            phases = phase[low : low + size]
            counts = rejections[low : low + size]
            chosen = buffers[0, :size]
            token = buffers[1, :size]
            failed = buffers[2, :size]
            found = buffers[3]
            doubt = buffers[4]
            ended = buffers[5, :size]
            length = buffers[6, :size]
            picked = buffers[7]
            extra = buffers[8]
            fill_words(words, every, size, seed, run, block, ZERO)
            for step in range(lead, until):
                position = np.uint64(step + 1)
                if step == 0:
                    for i in range(size):
                        start, _ = draw(
                            initial_last, initial_guide, initial_shift, ZERO, np.uint64(words[0, i])
                        )
                        contexts[i] = start
                word = words[(step + 1) % PACK]
                at = 0 if last.shape[0] == 1 else step - begin
                if endless:
                    rows = contexts
                else:
                    choose_rows(contexts, phases, whole, bonus, chosen)
                    rows = chosen
                step_last = last[at]
                step_entries = entries[at]
                if permuting:
                    if size % LANES:
                        # The last lanes have no runs; they work on what is there.
                        follow(chosen, rows)
                        rows = chosen
                    step_permuted(word, trees[at], rows, token, failed, (size + LANES - 1) // LANES)
                else:
                    draft_tokens(word, rows, step_entries, atom_bits, bits, token, failed)
                    if rooted:
                        failures = list_marked_among(failed, phases, False, listed, size)
                    else:
                        failures = list_marked(failed, listed, size)
                    if shared:
                        replace_shared(
                            listed[:failures], word, rows, token, failed, token_bits, bits, step_last,
                            step_entries, slides[at], residual_last[at], residual_entries[at],
                            residual_shifts[at], found, doubt,
                        )  # fmt: skip
                    else:
                        failures = test_again(
                            listed[:failures], word, rows, token, failed, shared, token_bits, bits, step_last,
                            step_entries, accept[at], seed, run, position,
                        )  # fmt: skip
                        status = replace_separately(
                            listed[:failures], fresh, rows, token, separate_end[at], separate_guide[at],
                            separate_bits, seed, run, position,
                        )  # fmt: skip
                        if status != 0:
                            return status
                if rooted:
                    candidates = list_marked_among(failed, phases, True, roots, size)
                    if not permuting:
                        candidates = test_again(
                            roots[:candidates], word, rows, token, failed, shared, token_bits, bits,
                            step_last, step_entries, accept[0 if shared else at], seed, run, position,
                        )  # fmt: skip
                    if drafts > 1:
                        candidates = try_candidates(
                            roots, candidates, picked, fresh, rows, token, failed, drafts, permuting,
                            token_bits, bits, step_last, step_entries, root_cuts[at], root_accept[at],
                            trees[at if permuting else 0], root_trees[at if permuting else 0],
                            seed, run, position, found, doubt, listed, extra,
                        )  # fmt: skip
                    status = replace_separately(
                        roots[:candidates], fresh, rows, token, root_end[at], root_guide[at],
                        separate_bits, seed, run, position,
                    )  # fmt: skip
                    if status != 0:
                        return status
                if rooted and endless and not rounds:
                    by_step[step] += count_and_begin(failed, counts, phases)
                else:
                    by_step[step] += count_rejections(failed, counts)
                if rounds or not endless:
                    end_rounds(failed, phases, whole, keep, ended, length)
                if rounds:
                    note_rounds(ended, length, calls[low : low + size], first[low : low + size])
                    add_lengths(lengths[low // TILE], listed, length, list_marked(ended, listed, size))
                if width > 0:
                    count_cells(contexts, token, np.uint32(width), chosen)
                    count(chosen, token_count[step])
                elif packed:
                    count_packed(token, sums, token_count[step])
                else:
                    count(token, token_count[step])
                if outcomes:
                    for i in range(size):
                        path[low + i] = path[low + i] * tokens + np.uint64(token[i])
                        rejected[low + i] |= np.uint64(failed[i]) << np.uint64(step)
                if markov:
                    follow(contexts, token)
                else:
                    move_on(contexts, token, next_context, tokens)
        lead = until
    if end == horizon and rounds:
        for low in range(0, runs, TILE):
            size = min(TILE, runs - low)
            table = lengths[low // TILE]
            firsts = first[low : low + size]
            ended = buffers[5, :size]
            length = phase[low : low + size]
            mark_open(length, whole, ended)
            note_rounds(ended, length, calls[low : low + size], firsts)
            add_lengths(table, listed, length, list_marked(ended, listed, size))
            sum_rounds(table, firsts, length_count, length_square, first_length)
    return 0
