"""What becomes of the runs whose drafted token failed its test: lists of them, worked off one by one.

Vector loops have done most of the work before; what they could not tell is settled here by exact walks.
"""

from __future__ import annotations

import numpy as np

from specsim.engines.jit import inlined, lockstep
from specsim.engines.kernels.chain_steps import (
    THREE,
    ZERO,
    draft_candidates,
    fill_listed,
    replace_tokens,
)
from specsim.engines.kernels.guides import find
from specsim.engines.kernels.sampling import draw_residual, passes
from specsim.engines.philox import word_pairs

#: Second counter words of the residual and the continued draft word, of candidates, of their continuations.
SEPARATE = np.uint64(1)
CANDIDATES = np.uint64(2)
CONTINUED = np.uint64(1 << 29)
PACK = 4

ONE = np.uint32(1)
_0 = np.uint64(0)
_1 = np.uint64(1)
_31 = np.uint64(31)
_32 = np.uint64(32)


@lockstep
def list_failures(failed, listed):
    """List the runs that failed and return their number; without branches, which would cost more."""
    failures = 0
    for i in range(failed.size):
        listed[failures] = i
        failures += np.int64(failed[i] & ONE)
    return failures


@lockstep
def list_apart(failed, phase, listed, roots):
    """List failures inside and at the beginning of rounds apart; returns both numbers."""
    failures = 0
    candidates = 0
    for i in range(failed.size):
        new = np.int64(failed[i] & ONE)
        first = np.int64(phase[i] == ZERO)
        roots[candidates] = i
        candidates += new & first
        listed[failures] = i
        failures += new & (1 - first)
    return failures, candidates


@lockstep
def list_roots(failed, phase, roots):
    """List the failures at the beginning of rounds and return their number."""
    candidates = 0
    for i in range(failed.size):
        roots[candidates] = i
        candidates += np.int64(failed[i]) & np.int64(phase[i] == ZERO)
    return candidates


@inlined
def walk_atom(word, row, token_bits, bits, last, entries):
    """Return the atom of a draft word by an exact walk: twice the token, plus 1 if it is rejected."""
    width = np.uint32(np.uint32(32) - bits)
    return find(last, entries, width, np.uint32(token_bits + ONE), row, word)


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
        listed, word, rows, token, failed, slides, residual_entries.ravel(), residual_shifts,
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
            token[i] = find(residual_last, residual_entries, residual_shifts[row], token_bits, row, moved)


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
    """Replace the tokens of listed runs by words of their own; returns the status of `draw_residual`."""
    fill_listed(fresh, listed, seed, first_run, position, SEPARATE)
    for k in range(listed.size):
        i = np.uint64(listed[k])
        pair = (np.uint64(fresh[0, k]) << _32) | np.uint64(fresh[1, k])
        emitted, status = draw_residual(
            end, guide, guide_bits, np.uint64(rows[i]), seed, first_run + i, position, SEPARATE, pair
        )
        if status != 0:
            return status
        token[i] = emitted
    return 0


@lockstep
def try_candidates(
    roots, alive, fresh, rows, token, failed, drafts, token_bits, bits, last, entries, cuts, accept,
    seed, first_run, position, found, doubt,
):  # fmt: skip
    """Try the later candidates of listed runs; keeps and counts the runs that all of them failed."""
    left = roots.size
    later = np.uint64(drafts - 1)
    for slot in range(1, drafts):
        if left == 0:
            break
        lane = (slot - 1) % PACK
        if lane == 0:
            # Words for four candidates of all runs that are left; `alive` lists places in this group.
            call = CANDIDATES + np.uint64((slot - 1) // PACK)
            fill_listed(fresh, roots[:left], seed, first_run, position, call)
            for k in range(left):
                alive[k] = k
        draft_candidates(
            roots, alive[:left], fresh[lane], rows, entries.ravel(), cuts,
            np.uint64(slot - 1), later, token_bits, bits, found, doubt,
        )  # fmt: skip
        survivors = 0
        for k in range(left):
            place = np.uint64(alive[k])
            i = np.uint64(roots[place])
            failure = doubt[k]
            drafted = np.uint64(found[k])
            if failure == THREE:
                row = np.uint64(rows[i])
                drafted, success = accepts(
                    fresh[lane, place], row, row * later + np.uint64(slot - 1), token_bits, bits,
                    last, entries, accept, seed, first_run + i, position, CONTINUED + np.uint64(slot),
                )  # fmt: skip
                failure = np.uint32(not success)
            token[i] = drafted
            failed[i] = failure
            alive[survivors] = place
            survivors += np.int64(failure)
        left = survivors
        if lane == PACK - 1 or slot == drafts - 1:
            for k in range(left):
                roots[k] = roots[np.uint64(alive[k])]
    return left


@lockstep
def list_ended(ended, listed):
    """List the runs whose round ended and return their number."""
    ends = 0
    for i in range(ended.size):
        listed[ends] = i
        ends += np.int64(ended[i])
    return ends
