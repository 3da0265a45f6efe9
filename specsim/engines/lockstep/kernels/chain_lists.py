"""What becomes of the runs whose drafted token failed its test: lists of them, worked off one by one.

Vector loops have done most of the work before; what they could not tell is settled here by exact walks.
"""

from __future__ import annotations

import numpy as np

from specsim.engines.compiled.compaction import append_others, keep_marked
from specsim.engines.compiled.guides import find
from specsim.engines.compiled.jit import inlined, lockstep
from specsim.engines.compiled.philox import word_pairs
from specsim.engines.compiled.sampling import draw_residuals, passes
from specsim.engines.compiled.sizes import PACK, ROOM
from specsim.engines.lockstep.kernels.chain_permute import LANES, draft_permuted
from specsim.engines.lockstep.kernels.chain_steps import (
    THREE,
    ZERO,
    choose_listed,
    draft_candidates,
    fill_words,
    replace_tokens,
)

#: Second counter words of the residual and the continued draft word, of candidates, of their continuations.
SEPARATE = np.uint64(1)
CANDIDATES = np.uint64(2)
CONTINUED = np.uint64(1 << 29)

ONE = np.uint32(1)
_0 = np.uint64(0)
_1 = np.uint64(1)
_31 = np.uint64(31)
_32 = np.uint64(32)


@inlined
def whole_registers(size):
    """Round up to the room that lists have: a loop over whole registers has no slow rest."""
    return (size + np.int64(ROOM - 1)) // np.int64(ROOM) * np.int64(ROOM)


@inlined
def walk_atom(word, row, token_bits, bits, last, entries):
    """Return the atom of a draft word by an exact walk: twice the token, plus 1 if it is rejected."""
    width = np.uint32(np.uint32(32) - bits)
    return find(last, entries, width, np.uint32(token_bits + ONE), bits, row, word)


@inlined
def accepts(word, row, line, token_bits, bits, last, entries, accept, seed, run, position, slot):
    """Draft and test by 63 bits, the offset of the word continued by a second one where it matters.

    Returns the token and whether it is accepted.
    """
    token = walk_atom(word, row, token_bits, bits, last, entries) >> _1
    offset = np.uint64(np.uint32(word - np.uint32(last[row, token + token] + ONE)))
    threshold = accept[line, token]
    continuation = _0
    if offset == threshold >> _31:
        _, tail = word_pairs(seed, run, position, slot)
        continuation = tail >> _32
    return token, passes(offset, continuation, threshold)


@lockstep
def replace_shared(
    listed, word, rows, token, failed, token_bits, bits, last, entries,
    slides, residual_last, residual_entries, residual_shifts, found, doubt,
):  # fmt: skip
    """Replace the tokens of listed runs by their own words."""
    replace_tokens(
        listed, word, rows, token, failed, slides, residual_entries, residual_shifts,
        token_bits, bits, found, doubt,
    )  # fmt: skip
    for k in range(listed.size):
        i = np.uint64(listed[k])
        if doubt[k] == ZERO:
            token[i] = found[k]
            continue
        row = np.uint64(rows[i])
        if failed[i] == THREE:
            atom = walk_atom(word[i], row, token_bits, bits, last, entries)
            token[i] = atom >> _1
            failed[i] = atom & _1
        if failed[i] != ZERO:
            place = (row << np.uint64(token_bits)) | np.uint64(token[i])
            moved = np.uint32(word[i] + slides[place])
            token[i] = find(
                residual_last, residual_entries, residual_shifts[row], token_bits, bits, row, moved
            )


@lockstep
def test_again(
    listed,
    word,
    rows,
    token,
    failed,
    shared,
    token_bits,
    bits,
    last,
    entries,
    accept,
    seed,
    first_run,
    position,
):
    """Settle the open tests of listed runs; keeps and counts those who have failed."""
    left = 0
    for k in range(listed.size):
        i = np.uint64(listed[k])
        row = np.uint64(rows[i])
        if shared:
            if failed[i] == THREE:
                atom = walk_atom(word[i], row, token_bits, bits, last, entries)
                token[i] = atom >> _1
                failed[i] = atom & _1
        else:
            # The first rejected word of a token may be continued by a second one.
            border = np.uint32(last[row, np.uint64(token[i]) * np.uint64(2) + _1] + ONE)
            if failed[i] == THREE or word[i] == border:
                drafted, success = accepts(
                    word[i], row, row, token_bits, bits, last, entries, accept,
                    seed, first_run + i, position, SEPARATE,
                )  # fmt: skip
                token[i] = drafted
                failed[i] = np.uint32(not success)
        listed[left] = i
        left += np.int64(failed[i])
    return left


@lockstep
def replace_separately(listed, fresh, rows, token, end, guide, guide_bits, seed, first_run, position):
    """Replace the tokens of listed runs by words of their own; returns the status of `draw_residuals`."""
    fill_words(fresh, listed, whole_registers(listed.size), seed, first_run, position, SEPARATE)
    return draw_residuals(
        end, guide, guide_bits, rows, fresh[0], fresh[1], seed, first_run, listed, position, SEPARATE, token
    )


@lockstep
def try_candidates(
    roots, left, chosen, fresh, rows, token, failed, drafts, permuting, token_bits, bits, last, entries,
    cuts, accept, trees, root_trees, seed, first_run, position,
    found, doubt, listed, drafted,
):  # fmt: skip
    """Try the later candidates of listed runs; keeps and counts the runs that all of them failed.

    The last four arrays are working space.
    """
    later = drafts - 1
    choose_listed(roots, left, rows, chosen)
    passed = 0
    for slot in range(0, later, PACK):
        if left == 0:
            break
        count = min(PACK, later - slot)
        fill_words(
            fresh,
            roots,
            whole_registers(left),
            seed,
            first_run,
            position,
            CANDIDATES + np.uint64(slot // PACK),
        )
        if permuting:
            groups = (left + LANES - 1) // LANES
            open_tests = draft_permuted(fresh, trees, root_trees, chosen, found, doubt, slot, count, groups)
        else:
            open_tests = draft_candidates(
                fresh, left, chosen, entries, cuts, slot, count, later, token_bits, bits, found, doubt
            )
        for k in range(left if open_tests else 0):
            if doubt[k] == THREE:
                row = np.uint64(chosen[k])
                for lane in range(count):
                    number = np.uint64(slot + lane)
                    again, success = accepts(
                        fresh[lane, k], row, row * np.uint64(later) + number, token_bits, bits, last,
                        entries, accept, seed, first_run + np.uint64(roots[k]), position,
                        CONTINUED + number,
                    )  # fmt: skip
                    found[k] = again
                    doubt[k] = np.uint32(not success)
                    if success:
                        break
        append_others(doubt, roots, listed, passed, left)
        passed += append_others(doubt, found, drafted, passed, left)
        keep_marked(doubt, chosen, left)
        left = keep_marked(doubt, roots, left)
    for k in range(passed):
        i = np.uint64(listed[k])
        token[i] = drafted[k]
        failed[i] = ZERO
    return left
