"""Philox4x32-10, the counter-based random number generator (Salmon et al., SC 2011).

A draw is a pure function of its key (the seed) and its counter (run, position, slot), so no state is kept and
no order of evaluation matters. All 32-bit words are held in uint64, which Numba does not widen.

Counter of a draw: ``(position | retry << 24, slot, run mod 2^32, run div 2^32)``, where some slots number
groups of four positions instead; key: ``(seed mod 2^32, seed div 2^32)``. Position 0 is the prompt, positions
1..horizon are the tokens. Kernels say which slots they use.
"""

from typing import Any

import numpy as np

from specsim.engines.compiled.jit import device, inlined

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@inlined
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Return the four 32-bit words of one counter.

    c0, c1, c2, c3: counter words, uint64 below 2^32.
    k0, k1: key words, uint64 below 2^32.
    Returns: four words, each uniform on [0, 2^32).
    """
    for _ in range(10):
        first = _MULTIPLIER_0 * c0
        second = _MULTIPLIER_1 * c2
        c0 = (second >> _32) ^ c1 ^ k0
        c1 = second & _LOW
        c2 = (first >> _32) ^ c3 ^ k1
        c3 = first & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@device
def word_pairs(seed: Any, run: Any, position: Any, slot: Any) -> Any:
    """Return the four words of a draw as two 64-bit words (first two, last two; the earlier one on top)."""
    w0, w1, w2, w3 = philox(position, slot, run & _LOW, run >> _32, seed & _LOW, seed >> _32)
    return (w0 << _32) | w1, (w2 << _32) | w3
