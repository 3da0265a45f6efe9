"""Random words of the alias engine: four positions of a run share one Philox block."""

from __future__ import annotations

import numpy as np

from specsim.engines.jit import lockstep
from specsim.engines.philox import philox

#: Second counter word of every draw of this engine. The other engines use slots below 2^30 or above 2^31.
SLOT = np.uint64(1 << 30)
#: Positions per Philox block: position n of a run reads word ``n % 4`` of block ``n // 4``; 0 is the prompt.
PACK = 4

LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@lockstep
def fill(words, size, seed, first_run, block):
    """Fill one row of `words` per position with the words of `size` consecutive runs.

    The runs must agree in the upper half of their number, which keeps half of two rounds out of the loop.
    """
    key_0, key_1 = seed & LOW, seed >> _32
    low, high = first_run & LOW, first_run >> _32
    for i in range(size):
        w0, w1, w2, w3 = philox(block, SLOT, (low + np.uint64(i)) & LOW, high, key_0, key_1)
        words[0, i] = w0
        words[1, i] = w1
        words[2, i] = w2
        words[3, i] = w3


@lockstep
def until_carry(first_run, size):
    """Return how many of `size` consecutive runs agree in the upper half of their number."""
    left = (LOW ^ (first_run & LOW)) + np.uint64(1)
    return size if np.uint64(size) < left else np.int64(left)


@lockstep
def fill_block(words, size, seed, first_run, block):
    """Fill the words of a block of runs that may differ in the upper half of their number."""
    begun = until_carry(first_run, size)
    fill(words, begun, seed, first_run, block)
    if begun < size:
        fill(words[:, begun:], size - begun, seed, first_run + np.uint64(begun), block)
