"""What becomes of the runs whose drafted token failed its test: lists of them, worked off one by one.

Vector loops have done most of the work before; what they could not tell is settled here by exact walks.
"""

from typing import Any, NamedTuple

import numpy as np

from specsim.engines.compiled.compaction import append_others, keep_marked
from specsim.engines.compiled.guides import ZERO, find
from specsim.engines.compiled.jit import inlined, lockstep
from specsim.engines.compiled.philox import word_pairs
from specsim.engines.compiled.sampling import draw_residuals, passes
from specsim.engines.compiled.sizes import PACK, ROOM
from specsim.engines.lockstep.kernels.chain_steps import (
    THREE,
    choose_listed,
    draft_candidates,
    fill_words,
    put_listed,
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


class Drafts(NamedTuple):
    """Guide of (token, accepted or rejected) at one step; see `compiled.guides.build_rows`."""

    last: Any
    entries: Any
    token_bits: Any
    bits: Any


class Shared(NamedTuple):
    """Residuals of one step that are found by the word that drafted."""

    slides: Any
    last: Any
    entries: Any
    shifts: Any


class Separate(NamedTuple):
    """Residuals of one step that are drawn by their own words."""

    end: Any
    guide: Any
    bits: Any


class Draw(NamedTuple):
    """Names the random words of a position: the seed, the first run of the tile, the position from 1."""

    seed: Any
    run: Any
    position: Any


@inlined
def whole_registers(size):
    """Round up to the room that lists have: a loop over whole registers has no slow rest."""
    return (size + np.int64(ROOM - 1)) // np.int64(ROOM) * np.int64(ROOM)


@inlined
def walk_atom(word, row, drafts):
    """Return the atom of a draft word by an exact walk: twice the token, plus 1 if it is rejected."""
    width = np.uint32(np.uint32(32) - drafts.bits)
    return find(
        drafts.last, drafts.entries, width, np.uint32(drafts.token_bits + ONE), drafts.bits, row, word
    )


@inlined
def accepts(word, row, line, drafts, accept, draw, offset_of_run, slot):
    """Draft and test by 63 bits, the offset of the word continued by a second one where it matters.

    Returns the token and whether it is accepted.
    """
    token = walk_atom(word, row, drafts) >> _1
    offset = np.uint64(np.uint32(word - np.uint32(drafts.last[row, token + token] + ONE)))
    threshold = accept[line, token]
    continuation = _0
    if offset == threshold >> _31:
        _, tail = word_pairs(draw.seed, draw.run + offset_of_run, draw.position, slot)
        continuation = tail >> _32
    return token, passes(offset, continuation, threshold)


@lockstep
def replace_shared(listed, word, rows, token, failed, drafts, residuals, found, doubt):
    """Replace the tokens of listed runs by their own words; the last two arrays are working space."""
    token_bits, bits = drafts.token_bits, drafts.bits
    open_walks = replace_tokens(
        listed, word, rows, token, failed, residuals.slides, residuals.entries, residuals.shifts,
        token_bits, bits, found, doubt,
    )  # fmt: skip
    for k in range(listed.size if open_walks else 0):
        i = np.uint64(listed[k])
        if doubt[k] == ZERO:
            continue
        row = np.uint64(rows[i])
        drafted = np.uint64(token[i])
        if failed[i] == THREE:
            atom = walk_atom(word[i], row, drafts)
            drafted = atom >> _1
            failed[i] = atom & _1
        found[k] = drafted
        if failed[i] != ZERO:
            moved = np.uint32(word[i] + residuals.slides[(row << np.uint64(token_bits)) | drafted])
            found[k] = find(
                residuals.last, residuals.entries, residuals.shifts[row], token_bits, bits, row, moved
            )
    put_listed(listed, found, token)


@lockstep
def test_again(listed, word, rows, token, failed, shared, drafts, accept, draw):
    """Settle the open tests of listed runs; keeps and counts those who have failed."""
    left = 0
    for k in range(listed.size):
        i = np.uint64(listed[k])
        row = np.uint64(rows[i])
        if shared:
            if failed[i] == THREE:
                atom = walk_atom(word[i], row, drafts)
                token[i] = atom >> _1
                failed[i] = atom & _1
        else:
            # The first rejected word of a token may be continued by a second one.
            border = np.uint32(drafts.last[row, np.uint64(token[i]) * np.uint64(2) + _1] + ONE)
            if failed[i] == THREE or word[i] == border:
                drafted, success = accepts(word[i], row, row, drafts, accept, draw, i, SEPARATE)
                token[i] = drafted
                failed[i] = np.uint32(not success)
        listed[left] = i
        left += np.int64(failed[i])
    return left


@lockstep
def replace_separately(listed, fresh, rows, token, residuals, draw):
    """Replace the tokens of listed runs by their own words; returns the status of `draw_residuals`."""
    fill_words(fresh, listed, whole_registers(listed.size), draw.seed, draw.run, draw.position, SEPARATE)
    return draw_residuals(
        residuals.end, residuals.guide, residuals.bits, rows, fresh[0], fresh[1], draw.seed, draw.run,
        listed, draw.position, SEPARATE, token,
    )  # fmt: skip


@lockstep
def try_candidates(
    roots, left, chosen, fresh, rows, token, failed, later, drafts, cuts, accept, draw,
    found, doubt, listed, drafted,
):  # fmt: skip
    """Try the later candidates of listed runs; keeps and counts the runs that all of them failed.

    The last four arrays are working space.
    """
    choose_listed(roots, left, rows, chosen)
    passed = 0
    for slot in range(0, later, PACK):
        if left == 0:
            break
        count = min(PACK, later - slot)
        block = CANDIDATES + np.uint64(slot // PACK)
        fill_words(fresh, roots, whole_registers(left), draw.seed, draw.run, draw.position, block)
        open_tests = draft_candidates(
            fresh, left, chosen, drafts.entries, cuts, slot, count, later, drafts.token_bits, drafts.bits,
            found, doubt,
        )  # fmt: skip
        for k in range(left if open_tests else 0):
            if doubt[k] == THREE:
                row = np.uint64(chosen[k])
                for lane in range(count):
                    number = np.uint64(slot + lane)
                    again, success = accepts(
                        fresh[lane, k], row, row * np.uint64(later) + number, drafts, accept, draw,
                        np.uint64(roots[k]), CONTINUED + number,
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
