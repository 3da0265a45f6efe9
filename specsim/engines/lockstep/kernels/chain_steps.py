"""One position of many runs: loops that LLVM turns into vector instructions.

Products, sums and shifts of uint32 are cast back at once, or LLVM would work on 64 bits.
"""

import numpy as np

from specsim.engines.compiled.guides import MARK, ONE, ZERO, look_up
from specsim.engines.compiled.jit import inlined, lockstep
from specsim.engines.compiled.philox import philox

THREE = np.uint32(3)

_31 = np.uint32(31)
_INDEX = np.uint32(0x7FFFFFFF)
LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@lockstep
def fill_words(words, listed, size, seed, first_run, block, slot):
    """Fill four rows of words for the first `size` of the listed runs, counted from `first_run`."""
    key_0, key_1 = seed & LOW, seed >> _32
    block, slot = block & LOW, slot & LOW
    for k in range(size):
        run = first_run + np.uint64(listed[k])
        w0, w1, w2, w3 = philox(block, slot, run & LOW, run >> _32, key_0, key_1)
        words[0, k] = w0
        words[1, k] = w1
        words[2, k] = w2
        words[3, k] = w3


@lockstep
def draft_tokens(words, rows, entries, atom_bits, bits, token, failed):
    """Draft a token per run and test it.

    ``failed`` becomes 0 for an accepted token, 1 for a rejected one, 3 where only an exact walk can tell.
    """
    shift = np.uint32(np.uint32(32) - bits)
    for i in range(rows.size):
        word = words[i]
        cell = np.uint32(word >> np.uint32(shift & _31))
        index = np.uint32(np.uint32(np.uint32(rows[i] << np.uint32(bits & _31)) | cell) & _INDEX)
        entry = entries[np.uint64(index)]
        atom = look_up(entry, word, shift, atom_bits, bits)
        token[i] = np.uint32(atom >> ONE)
        failed[i] = np.uint32(np.uint32(atom & ONE) | (THREE if entry >= MARK else ZERO))


@lockstep
def replace_tokens(
    listed, words, rows, token, failed, slides, entries, shifts, token_bits, bits, found, doubt
):
    """Replace rejected tokens by the position of their word among the rejected ones.

    Results are in the order of the list; `doubt` is not 0 where only an exact walk can tell. Returns 0 when
    nothing is left to exact walks.
    """
    seen = ZERO
    most = np.uint32(np.uint32(ONE << np.uint32(bits & _31)) - ONE)
    for k in range(listed.size):
        i = np.uint32(listed[k] & _INDEX)
        word = words[np.uint64(i)]
        row = rows[np.uint64(i)]
        place = np.uint32(np.uint32(row << np.uint32(token_bits & _31)) | token[np.uint64(i)])
        position = np.uint32(word + slides[np.uint64(np.uint32(place & _INDEX))])
        shift = shifts[np.uint64(np.uint32(row & _INDEX))]
        cell = np.uint32(np.uint32(position >> np.uint32(shift & _31)) & most)
        index = np.uint32(np.uint32(np.uint32(row << np.uint32(bits & _31)) | cell) & _INDEX)
        entry = entries[np.uint64(index)]
        found[k] = look_up(entry, position, shift, token_bits, bits)
        open_walk = np.uint32(np.uint32(entry & MARK) | np.uint32(failed[np.uint64(i)] >> ONE))
        doubt[k] = open_walk
        seen = np.uint32(seen | open_walk)
    return seen


@lockstep
def put_listed(listed, found, token):
    """Write what was found for listed runs."""
    for k in range(listed.size):
        token[np.uint64(np.uint32(listed[k] & _INDEX))] = found[k]


@inlined
def try_one(word, row, entries, cuts, line, token_bits, bits):
    """Draft and test one more candidate of a run; returns its token and state.

    Cuts are the words from which on the drafted token is rejected, at most 2^32 - 1. Equality is left to the
    exact walk, because there the word may be continued by a second one.
    """
    shift = np.uint32(np.uint32(32) - bits)
    cell = np.uint32(word >> np.uint32(shift & _31))
    index = np.uint32(np.uint32(np.uint32(row << np.uint32(bits & _31)) | cell) & _INDEX)
    entry = entries[np.uint64(index)]
    drafted = np.uint32(look_up(entry, word, shift, np.uint32(token_bits + ONE), bits) >> ONE)
    place = np.uint32(np.uint32(np.uint32(line << np.uint32(token_bits & _31)) | drafted) & _INDEX)
    cut = cuts[np.uint64(place)]
    return drafted, THREE if (entry >= MARK or word == cut) else (ONE if word > cut else ZERO)


@lockstep
def draft_candidates(
    words, size, rows, entries, cuts, slot, count, candidates, token_bits, bits, token, failed
):
    """Draft and test up to four more candidates, from `slot` on, for `size` runs.

    ``failed`` becomes 0 for an accepted token, 1 where all are rejected, 3 where only an exact walk can tell.
    Returns 0 when nothing is left to exact walks.
    """
    seen = ZERO
    later = np.uint32(candidates)
    for k in range(size):
        row = rows[k]
        line = np.uint32(np.uint32(row * later) + np.uint32(slot))
        found = ZERO
        state = ONE
        for lane in range(4):
            # Beyond the last candidate, the last one is tried again and nothing made of it.
            place = np.uint32(line + np.uint32(min(lane, count - 1)))
            again, result = try_one(words[lane, k], row, entries, cuts, place, token_bits, bits)
            used = state == ONE and lane < count
            found = again if used else found
            state = result if used else state
        token[k] = found
        failed[k] = state
        seen = np.uint32(seen | state)
    return np.int64(seen >> ONE)


@lockstep
def choose_listed(listed, size, rows, chosen):
    """Rows of listed runs."""
    for k in range(size):
        chosen[k] = rows[np.uint64(np.uint32(listed[k] & _INDEX))]


@lockstep
def choose_rows(context, phase, whole, bonus, rows):
    """Rows of the tables: `bonus` further where a whole draft of `whole` tokens has been accepted."""
    for i in range(context.size):
        rows[i] = np.uint32(context[i] + (bonus if phase[i] == whole else ZERO))


@lockstep
def count_rejections(failed, rejections):
    """Add the rejections to those of the runs and return their number."""
    total = ZERO
    for i in range(failed.size):
        rejections[i] = np.uint32(rejections[i] + failed[i])
        total = np.uint32(total + failed[i])
    return np.int64(total)


@lockstep
def count_and_begin(failed, rejections, phase):
    """Count as `count_rejections` does, and set phases to 0 where the next position begins a round.

    Of a phase, endless drafts need no more than that.
    """
    total = ZERO
    for i in range(failed.size):
        rejections[i] = np.uint32(rejections[i] + failed[i])
        phase[i] = np.uint32(failed[i] ^ ONE)
        total = np.uint32(total + failed[i])
    return np.int64(total)


@lockstep
def end_rounds(failed, phase, whole, keep, ended, length):
    """Move on in the round, and note whether it ended and with how many accepted drafted tokens.

    `keep` says whether a whole draft is followed by a bonus token, so that its end must be remembered.
    """
    reset = ZERO if keep else whole
    for i in range(failed.size):
        done = phase[i]
        rejected = failed[i] != ZERO
        now = ZERO if (rejected or done == whole) else np.uint32(done + ONE)
        reached = now == whole
        ended[i] = ONE if (rejected or reached) else ZERO
        length[i] = done if rejected else now
        phase[i] = np.uint32(now - reset) if reached else now


@lockstep
def count_cells(context, token, width, cell):
    """Cells of the token counts: the token, or the token in its context."""
    for i in range(token.size):
        cell[i] = np.uint32(np.uint32(width * context[i]) + token[i])


@lockstep
def move_on(context, token, next_context, vocabulary):
    """Set the contexts after the emitted tokens."""
    for i in range(token.size):
        context[i] = next_context[np.uint64(context[i]) * vocabulary + np.uint64(token[i])]


@lockstep
def follow(context, token):
    """Set the contexts after the emitted tokens where these are the contexts."""
    for i in range(token.size):
        context[i] = token[i]
