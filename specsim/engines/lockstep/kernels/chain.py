"""The position-by-position algorithms, in lockstep: tiles of runs, time outside, runs inside.

Every position of every run is one of: a bonus token (or a token of plain decoding), an accepted draft token,
or a token written after a rejection. The state of a run is its context and the number of draft tokens that
its present round has accepted.

Words of a run, by Philox counter: position n drafts with word ``n % 4`` of ``(n // 4, 0)``, position 0 being
the prompt; ``(n, 1)`` holds the residual word and the continuation of the draft word where they are separate;
later candidate m = 0, 1, .. of a root reads word ``m % 4`` of ``(n, 2 + m // 4)``, continued by
``(n, 2^29 + m)``.
"""

from typing import Any, NamedTuple

import numpy as np

from specsim.engines.compiled.compaction import list_marked, list_marked_among
from specsim.engines.compiled.jit import kernel
from specsim.engines.compiled.rounds import add_lengths, count_rounds, mark_open, note_rounds, sum_rounds
from specsim.engines.compiled.sampling import ZERO, draw
from specsim.engines.compiled.sizes import PACK, TILE
from specsim.engines.compiled.words import count, count_packed, fill_block
from specsim.engines.lockstep.kernels.chain_lists import (
    Drafts,
    Draw,
    Separate,
    Shared,
    replace_separately,
    replace_shared,
    test_again,
    try_candidates,
)
from specsim.engines.lockstep.kernels.chain_steps import (
    choose_rows,
    count_and_begin,
    count_cells,
    count_rejections,
    draft_tokens,
    end_rounds,
    follow,
    move_on,
)

#: Vocabularies up to this size are counted in packed bytes.
_PACKED_TOKENS = 8


class Rules(NamedTuple):
    """What an algorithm does.

    A round drafts `draft_length` tokens, followed by a target token with `bonus`. With `shared`, one word
    drafts, tests and finds the residual token. With `rooted`, first positions of a round try `drafts`
    candidates and have their own residual. With `rounds` and `outcomes` these are tallied; `width` is
    the number of tokens where they are counted per context, else 0.
    """

    draft_length: Any
    bonus: Any
    drafts: Any
    rooted: Any
    shared: Any
    rounds: Any
    outcomes: Any
    width: Any


class Contexts(NamedTuple):
    """Initial law and transitions; with `markov`, the context is the last token."""

    last: Any
    guide: Any
    shift: Any
    following: Any
    markov: Any


@kernel(distinct=True)
def advance(work, rules, contexts, tables, runs, counts, room, sums):
    """Advance runs over some positions.

    `tables` are `specsim.engines.lockstep.chain_tables.Arrays`, one entry per step from ``work.begin`` on, or
    one that serves all; `runs` and `counts` are those of `specsim.engines.tallies.tally`; `room`
    (`CHAIN_SPACE`) and `sums` (`LANES`) are working space.

    Returns 0, or the status of `draw_residuals` that stopped the work.
    """
    words = room[:PACK]
    fresh = room[PACK : 2 * PACK]
    buffers = room[2 * PACK : 2 * PACK + 9]
    listed = room[2 * PACK + 9]
    roots = room[2 * PACK + 10]
    whole = np.uint32(rules.draft_length)
    endless = rules.draft_length > work.horizon
    rooted, shared, rounds = rules.rooted, rules.shared, rules.rounds
    tokens = np.uint64((tables.last.shape[2] - 1) // 2)
    token_bits, bits = tables.token_bits, tables.bits
    atom_bits = np.uint32(token_bits + np.uint32(1))
    packed = counts.tokens.shape[1] <= _PACKED_TOKENS
    lead = work.begin
    while lead < work.end:
        # Four positions share a Philox block; their tables stay in a near cache while all runs pass.
        until = min(work.end, (lead + 1) // PACK * PACK + PACK - 1)
        block = np.uint64((lead + 1) // PACK)
        for low in range(0, work.runs, TILE):
            size = min(TILE, work.runs - low)
            run = work.first_run + np.uint64(low)
            context = runs.context[low : low + size]
            phase = runs.accepted[low : low + size]
            rejections = runs.rejections[low : low + size]
            chosen = buffers[0, :size]
            token = buffers[1, :size]
            failed = buffers[2, :size]
            found = buffers[3]
            doubt = buffers[4]
            ended = buffers[5, :size]
            length = buffers[6, :size]
            picked = buffers[7]
            extra = buffers[8]
            fill_block(words, size, work.seed, run, block, ZERO)
            for step in range(lead, until):
                source = Draw(work.seed, run, np.uint64(step + 1))
                if step == 0:
                    for i in range(size):
                        start, _ = draw(
                            contexts.last, contexts.guide, contexts.shift, ZERO, np.uint64(words[0, i])
                        )
                        context[i] = start
                word = words[(step + 1) % PACK]
                at = 0 if tables.last.shape[0] == 1 else step - work.begin
                if endless:
                    rows = context
                else:
                    choose_rows(context, phase, whole, tables.bonus, chosen)
                    rows = chosen
                drafts = Drafts(tables.last[at], tables.entries[at], token_bits, bits)
                accept = tables.accept[0 if shared else at]
                draft_tokens(word, rows, drafts.entries, atom_bits, bits, token, failed)
                if rooted:
                    failures = list_marked_among(failed, phase, False, doubt, listed, size)
                else:
                    failures = list_marked(failed, listed, size)
                if shared:
                    residuals = Shared(
                        tables.slides[at], tables.residual_last[at], tables.residual_entries[at],
                        tables.residual_shifts[at],
                    )  # fmt: skip
                    replace_shared(
                        listed[:failures], word, rows, token, failed, drafts, residuals, found, doubt
                    )
                else:
                    failures = test_again(
                        listed[:failures], word, rows, token, failed, shared, drafts, accept, source
                    )
                    separate = Separate(
                        tables.separate_end[at], tables.separate_guide[at], tables.separate_bits
                    )
                    status = replace_separately(listed[:failures], fresh, rows, token, separate, source)
                    if status != 0:
                        return status
                if rooted:
                    candidates = list_marked_among(failed, phase, True, doubt, roots, size)
                    candidates = test_again(
                        roots[:candidates], word, rows, token, failed, shared, drafts, accept, source
                    )
                    if rules.drafts > 1:
                        candidates = try_candidates(
                            roots, candidates, picked, fresh, rows, token, failed, rules.drafts - 1, drafts,
                            tables.root_cuts[at], tables.root_accept[at], source, found, doubt, listed, extra,
                        )  # fmt: skip
                    separate = Separate(tables.root_end[at], tables.root_guide[at], tables.separate_bits)
                    status = replace_separately(roots[:candidates], fresh, rows, token, separate, source)
                    if status != 0:
                        return status
                if rooted and endless and not rounds:
                    counts.rejections_by_step[step] += count_and_begin(failed, rejections, phase)
                else:
                    counts.rejections_by_step[step] += count_rejections(failed, rejections)
                if rounds or not endless:
                    end_rounds(failed, phase, whole, rules.bonus, ended, length)
                if rounds:
                    note_rounds(
                        ended, length, runs.calls[low : low + size], runs.first_length[low : low + size]
                    )
                    finished = list_marked(ended, listed, size)
                    add_lengths(runs.lengths[low // TILE], listed[:finished], length)
                    count_rounds(listed[:finished], step, length, failed, whole, counts.rounds)
                if rules.width > 0:
                    count_cells(context, token, np.uint32(rules.width), chosen)
                    count(chosen, counts.tokens[step])
                elif packed:
                    count_packed(token, sums, counts.tokens[step])
                else:
                    count(token, counts.tokens[step])
                if rules.outcomes:
                    for i in range(size):
                        runs.path[low + i] = runs.path[low + i] * tokens + np.uint64(token[i])
                        runs.rejected[low + i] |= np.uint64(failed[i]) << np.uint64(step)
                if contexts.markov:
                    follow(context, token)
                else:
                    move_on(context, token, contexts.following, tokens)
        lead = until
    if work.end == work.horizon and rounds:
        for low in range(0, work.runs, TILE):
            size = min(TILE, work.runs - low)
            table = runs.lengths[low // TILE]
            firsts = runs.first_length[low : low + size]
            ended = buffers[5, :size]
            failed = buffers[2, :size]
            length = runs.accepted[low : low + size]
            mark_open(length, whole, ended)
            note_rounds(ended, length, runs.calls[low : low + size], firsts)
            finished = list_marked(ended, listed, size)
            add_lengths(table, listed[:finished], length)
            failed[:] = np.uint32(0)
            count_rounds(listed[:finished], work.horizon - 1, length, failed, whole, counts.rounds)
            sum_rounds(table, firsts, counts.lengths, counts.length_squares, counts.first_lengths)
    return 0
