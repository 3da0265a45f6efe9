"""Walker's alias method on integers: rows of masses become rows of packed entries, without rounding."""

import numpy as np

from specsim.engines.compiled.jit import kernel

ONE = np.uint64(1)


@kernel()
def build(masses, bits, entries, room):
    """Fill alias tables of ``2**bits`` columns; destroys `masses`.

    `room` is working space, two rows of as many columns.

    Every row of `masses` sums to 2^32, so that a column holds ``U = 2**(32 - bits)``. A column below U takes
    what it lacks from an atom above U and remembers it; all steps are on integers, and a row ends with
    columns that are exactly full. An entry is ``threshold << bits | alias``; a column that is full by itself
    has threshold 0 and is its own alias, so that the threshold U never has to be stored.

    Returns the index of the first row whose sum is not 2^32, or -1.
    """
    rows, columns = masses.shape
    unit = ONE << (np.uint64(32) - bits)
    low = room[0]
    high = room[1]
    for row in range(rows):
        total = np.uint64(0)
        lows = 0
        highs = 0
        for column in range(columns):
            mass = masses[row, column]
            total += mass
            if mass < unit:
                low[lows] = column
                lows += 1
            else:
                high[highs] = column
                highs += 1
        if total != ONE << np.uint64(32):
            return row
        while lows > 0:
            lows -= 1
            column = low[lows]
            giver = high[highs - 1]
            mass = masses[row, column]
            entries[row, column] = (mass << bits) | np.uint64(giver)
            left = masses[row, giver] - (unit - mass)
            masses[row, giver] = left
            if left < unit:
                highs -= 1
                low[lows] = giver
                lows += 1
        while highs > 0:
            highs -= 1
            entries[row, high[highs]] = high[highs]
    return -1
