"""Ends of rounds: target calls, and the accepted lengths of all rounds and of first ones.

The rounds of a block of runs are counted in a table of accepted lengths by runs, so that sums of squares per
run can be formed when the runs are over.
"""

import numpy as np

from specsim.engines.compiled.jit import lockstep
from specsim.engines.compiled.sizes import BLOCK

ZERO = np.uint32(0)
ONE = np.uint32(1)


@lockstep
def note_rounds(ended, length, calls, first):
    """Add the rounds that have ended to the calls of the runs, and note the lengths of first ones."""
    for i in range(ended.size):
        # Sums and products only, or LLVM chooses between addresses, one run at a time.
        begun = ended[i] if calls[i] == ZERO else ZERO
        first[i] = np.uint32(first[i] + np.uint32(length[i] * begun))
        calls[i] = np.uint32(calls[i] + ended[i])


@lockstep
def mark_open(phase, whole, ended):
    """Mark the runs that are inside a round, which the horizon ends."""
    for i in range(ended.size):
        ended[i] = ONE if (phase[i] != ZERO and phase[i] != whole) else ZERO


@lockstep
def add_lengths(table, listed, length):
    """Add one at ``table[length[i], i]`` for the listed runs i, which are distinct."""
    for k in range(listed.size):
        i = np.uint64(listed[k])
        table[np.uint64(length[i]), i] += ONE


@lockstep
def count_rounds(listed, step, length, rejected, whole, counts):
    """Count the rounds of listed runs, which end at a position, by first position and accepted length.

    A round is as long as its accepted draft, and one longer after a rejection or in plain decoding (`whole`
    is 0). Does nothing where `counts` is empty.
    """
    if counts.shape[0] == 0:
        return
    for k in range(listed.size):
        i = np.uint64(listed[k])
        accepted = np.int64(length[i])
        last = np.int64((rejected[i] != ZERO) | (whole == ZERO))
        counts[step + 1 - accepted - last, accepted] += 1


@lockstep
def sum_rounds(table, first, length_count, length_square, first_length):
    """Add up the rounds of a block of finished runs by accepted length, and the squares per run.

    Leaves the table empty.
    """
    rows, size = table.shape[0], first.size
    for i in range(size):
        first_length[first[i]] += 1
    # No run has more rounds than rows; sums of few rows fit in 32 bits, which takes half the time.
    narrow = rows * rows * BLOCK < 1 << 32
    for length in range(rows):
        if narrow:
            few = ZERO
            square_few = ZERO
            for i in range(size):
                rounds = table[length, i]
                few = np.uint32(few + rounds)
                square_few = np.uint32(square_few + np.uint32(rounds * rounds))
                table[length, i] = ZERO
            length_count[length] += np.int64(few)
            length_square[length] += np.int64(square_few)
        else:
            count = 0
            square = 0
            for i in range(size):
                many = np.int64(table[length, i])
                count += many
                square += many * many
                table[length, i] = ZERO
            length_count[length] += count
            length_square[length] += square
