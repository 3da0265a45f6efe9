"""Philox4x32-10 and exact 64-bit arithmetic in torch, whose integers are signed and have 64 bits.

No operation here overflows: what signed overflow does is nowhere promised. A product of two numbers below
2^32 can pass 2^63, so one factor is made signed by taking 2^32 off, and the other one is added to the upper
half again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LOW = 2**32 - 1
_UNIT = 2**32
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def philox(c0: Any, c1: Any, c2: Any, c3: Any, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the four 32-bit words of counters, those of `specsim.engines.compiled.philox.philox`.

    c0, c1, c2, c3: counter words, numbers or int64 tensors of numbers below 2^32 that broadcast.
    seed: 0 to 2^64 - 1, the key.
    Returns: int64 in [0, 2^32).
    """
    k0, k1 = seed & LOW, seed >> 32
    for _ in range(_ROUNDS):
        # Both multipliers are above 2^31, so that less than 2^30 is left of them, with a minus sign.
        first = c0 * (_MULTIPLIERS[0] - _UNIT)
        second = c2 * (_MULTIPLIERS[1] - _UNIT)
        c0, c1, c2, c3 = (
            ((second >> 32) + c2) ^ c1 ^ k0,
            second & LOW,
            ((first >> 32) + c0) ^ c3 ^ k1,
            first & LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & LOW, (k1 + _WEYL[1]) & LOW
    return c0, c1, c2, c3


def product(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return the upper and the lower 32 bits of the products of numbers in [0, 2^32), as int64."""
    top = other >> 31
    signed = one * (other - (top << 32))
    return (signed >> 32) + one * top, signed & LOW


def below(upper: Tensor, lower: Tensor, bound: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
    """Map uniform 64-bit words to [0, bound), as `specsim.engines.compiled.sampling.below` does.

    upper, lower: halves of the words, in [0, 2^32).
    bound: in [1, 2^63); where it is 0 the results mean nothing.
    dropped: 2^64 modulo `bound`.
    Returns number: in [0, bound).
    Returns kept: whether the word is among those that make the number exactly uniform.
    """
    bound_upper, bound_lower = bound >> 32, bound & LOW
    high_00, low_00 = product(lower, bound_lower)
    high_01, low_01 = product(lower, bound_upper)
    high_10, low_10 = product(upper, bound_lower)
    high_11, low_11 = product(upper, bound_upper)
    middle = high_00 + low_01 + low_10
    number = (high_11 << 32) + low_11 + high_01 + high_10 + (middle >> 32)
    middle = middle & LOW
    dropped_upper, dropped_lower = dropped >> 32, dropped & LOW
    kept = (middle > dropped_upper) | ((middle == dropped_upper) & (low_00 >= dropped_lower))
    return number, kept
