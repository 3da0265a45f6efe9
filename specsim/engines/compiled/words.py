"""What the kernels of the alias and the lockstep engine share: random words, first contexts, token counts.

Four positions of a run share one Philox block: position n of a run reads word ``n % 4`` of block ``n // 4``;
0 is the prompt.
"""

import numpy as np

from specsim.engines.compiled.jit import lockstep
from specsim.engines.compiled.philox import philox
from specsim.engines.compiled.sizes import LANES

#: Second counter word of every draw of this engine. The other engines use slots below 2^30 or above 2^31.
SLOT = np.uint64(1 << 30)

ONE = np.uint32(1)
_31 = np.uint32(31)
_BYTES = np.uint64(0x00FF00FF00FF00FF)

LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@lockstep
def fill(words, offset, size, seed, first_run, block, slot=SLOT):
    """Fill one row of `words` per position with the words of `size` consecutive runs, from `offset` on.

    The runs must agree in the upper half of their number, which keeps half of two rounds out of the loop.
    """
    key_0, key_1 = seed & LOW, seed >> _32
    low, high = first_run & LOW, first_run >> _32
    for i in range(size):
        w0, w1, w2, w3 = philox(block, slot, (low + np.uint64(i)) & LOW, high, key_0, key_1)
        words[0, offset + i] = w0
        words[1, offset + i] = w1
        words[2, offset + i] = w2
        words[3, offset + i] = w3


@lockstep
def until_carry(first_run, size):
    """Return how many of `size` consecutive runs agree in the upper half of their number."""
    left = (LOW ^ (first_run & LOW)) + np.uint64(1)
    return size if np.uint64(size) < left else np.int64(left)


@lockstep
def fill_block(words, size, seed, first_run, block, slot=SLOT):
    """Fill the words of a block of runs that may differ in the upper half of their number."""
    begun = until_carry(first_run, size)
    fill(words, 0, begun, seed, first_run, block, slot)
    if begun < size:
        fill(words, begun, size - begun, seed, first_run + np.uint64(begun), block, slot)


@lockstep
def start(words, entries, bits, context):
    """Draw the first contexts of the runs."""
    mask = np.uint32((ONE << (bits & _31)) - ONE)
    for i in range(context.size):
        word = words[i]
        column = np.uint32(word & mask)
        entry = entries[np.uint64(column)]
        context[i] = column if np.uint32(word | mask) < entry else np.uint32(entry & mask)


@lockstep
def count(cells, counts):
    """Add one to the count of every cell."""
    for i in range(cells.size):
        counts[np.uint64(cells[i])] += 1


@lockstep
def count_packed(cells, sums, counts):
    """Add one to the count of every cell, cells being below 8: eight byte counters per 64-bit lane."""
    for low in range(0, cells.size, 127 * LANES):
        size = min(127 * LANES, cells.size - low)
        groups = size // LANES
        for lane in range(LANES):
            sums[lane] = np.uint64(0)
        for group in range(groups):
            for lane in range(LANES):
                shift = np.uint64(cells[np.uint64(low + group * LANES + lane)]) << np.uint64(3)
                sums[lane] = sums[lane] + (np.uint64(1) << (shift & np.uint64(63)))
        for lane in range(size - groups * LANES):
            shift = np.uint64(cells[np.uint64(low + groups * LANES + lane)]) << np.uint64(3)
            sums[lane] = sums[lane] + (np.uint64(1) << (shift & np.uint64(63)))
        even = np.uint64(0)
        odd = np.uint64(0)
        for lane in range(LANES):
            even += sums[lane] & _BYTES
            odd += (sums[lane] >> np.uint64(8)) & _BYTES
        for token in range(counts.size):
            half = odd if token & 1 else even
            counts[token] += np.int64((half >> np.uint64(16 * (token >> 1))) & np.uint64(0xFFFF))
