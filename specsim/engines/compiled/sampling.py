"""Exact draws from integer tables."""

import numpy as np

from specsim.engines.compiled.jit import inlined, lockstep
from specsim.engines.compiled.philox import word_pairs

ZERO = np.uint64(0)
ONE = np.uint64(1)
LOW = np.uint64(0xFFFFFFFF)
_31 = np.uint64(31)
_32 = np.uint64(32)
_64 = np.uint64(64)
_RETRY = np.uint64(1 << 24)
_RETRIES = 255


@inlined
def draw(last, guide, shift, row, word):
    """Return the token whose segment holds the 32-bit `word`, and the offset of the word inside the segment.

    ``last[row, x + 1]`` is the last word of the segment of x, ``last[row, 0]`` is -1 modulo 2^32. The guide
    names the first token that any word of its cell can belong to, so that no empty segment is ever chosen.
    """
    token = np.uint64(guide[row, word >> shift])
    while word > np.uint64(last[row, token + ONE]):
        token += ONE
    return token, (word - np.uint64(last[row, token]) - ONE) & LOW


@inlined
def passes(offset, continuation, threshold):
    """Test 63 bits, the offset of the draft word continued by half a second word, against a threshold."""
    return ((offset << _31) | (continuation >> ONE)) < threshold


@inlined
def below(word, bound):
    """Map a uniform 64-bit word to [0, bound), exactly uniform among the words that are kept.

    Returns the number and whether the word is kept (Lemire, 1805.10941).
    """
    a1, a0 = word >> _32, word & LOW
    b1, b0 = bound >> _32, bound & LOW
    cross_1 = a1 * b0
    cross_0 = a0 * b1
    middle = ((a0 * b0) >> _32) + (cross_1 & LOW) + (cross_0 & LOW)
    high = a1 * b1 + (cross_1 >> _32) + (cross_0 >> _32) + (middle >> _32)
    low = word * bound
    # A power of two divides 2^64, so that no word is dropped; a division would take longer than all the rest.
    if (low < bound) & (bound & (bound - ONE) != ZERO):
        return high, low >= (ZERO - bound) % bound
    return high, True


@inlined
def draw_below(total, word, seed, run, position, slot):
    """Map a uniform word to [0, total), by further words of the draw if it is dropped.

    Returns the number, the word that gave it, and a status: 0; 1 if `total` is 0; 2 if all retries failed.
    """
    if total == ZERO:
        return ZERO, word, 1
    number, kept = below(word, total)
    retry = 0
    while not kept:
        retry += 1
        if retry > _RETRIES:
            return ZERO, word, 2
        _, word = word_pairs(seed, run, position + np.uint64(retry) * _RETRY, slot)
        number, kept = below(word, total)
    return number, word, 0


@lockstep
def draw_residuals(end, guide, bits, rows, head, low, seed, first_run, listed, position, slot, token):
    """Draw tokens of listed runs from the integer weights whose running sums are ``end[row]``.

    `head` and `low` are the halves of the random words, in the order of the list. Returns a status: 0, or 1
    when a row is empty, or 2 when every retry failed.
    """
    final = end.shape[1] - 1
    for k in range(listed.size):
        i = np.uint64(listed[k])
        row = np.uint64(rows[i])
        word = (np.uint64(head[k]) << _32) | np.uint64(low[k])
        number, word, status = draw_below(end[row, final], word, seed, first_run + i, position, slot)
        if status != 0:
            return status
        found = np.uint64(guide[row, word >> (_64 - bits)])
        while number >= end[row, found]:
            found += ONE
        token[i] = found
    return 0
