"""Products of long integers with integer matrices, carried out in float64 by BLAS without any rounding.

A vector of long non-negative integers is held as *digits*, an array ``(limbs, length)`` whose row i counts
multiples of 2^(digit_bits i). A matrix of weights, at most ``unit`` each, is split into a high and a low
half. Digits times a half is an ordinary product of float64 matrices; `Layout` chooses the digit size so that
every entry of it is an integer of at most 2^53. All terms are non-negative, so every partial sum is such
an integer too, whatever the order of the additions (and with or without fused multiply-add): nothing is
ever rounded. This needs a BLAS that forms plain sums of products, as all common ones do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats

Digits = NDArray[np.int64]

_EXACT = 2**53


@dataclass(frozen=True)
class Layout:
    """Sizes that make every product exact.

    low_bits: a weight w is split into ``w >> low_bits`` and the rest.
    digit_bits: the base of the digits is 2^digit_bits.
    passes: how many times carries move up by one limb after a product.

    Let h bound both halves, h = max(unit >> low_bits, 2^low_bits - 1), and let every digit be at most
    2^digit_bits, *including* 2^digit_bits itself. A sum of ``terms`` products is then at most
    ``terms * h * 2^digit_bits``, and digit_bits is the largest with this at most 2^53.

    A product leaves numbers t_i = low_i + ((high_i mod 2^(digit_bits - low_bits)) << low_bits)
    + (high_{i-1} >> (digit_bits - low_bits)) in the limbs, at most B = 2^53 + 2^digit_bits
    + 2^(53 - digit_bits + low_bits). One pass replaces t_i by (t_i mod 2^digit_bits)
    + (t_{i-1} >> digit_bits), which lowers the bound from B to 2^digit_bits - 1 + (B >> digit_bits);
    ``passes`` is the number after which it is at most 2^digit_bits. Admitting the digit 2^digit_bits is what
    makes this number fixed: a row of digits 2^digit_bits - 1 with one carry below would otherwise ripple
    through all limbs.
    """

    low_bits: int
    digit_bits: int
    passes: int

    @classmethod
    def of(cls, unit: int, terms: int) -> Layout | None:
        """Return the layout for weights up to `unit` and sums of `terms` products, or None."""
        low_bits = (unit.bit_length() + 1) // 2 if unit & (unit - 1) else unit.bit_length() // 2
        half = max(unit >> low_bits, (1 << low_bits) - 1, 1)
        digit_bits = (_EXACT // (terms * half)).bit_length() - 1
        if digit_bits <= max(low_bits, 8):
            return None
        largest = _EXACT + (1 << digit_bits) + (_EXACT >> (digit_bits - low_bits))
        passes = 0
        while largest > 1 << digit_bits:
            largest = (1 << digit_bits) - 1 + (largest >> digit_bits)
            passes += 1
        return cls(low_bits, digit_bits, passes)

    def limbs(self, largest: int) -> int:
        """Return how many limbs hold every number up to `largest`.

        Digits are non-negative, so one beyond these limbs would by itself make the number too large.
        """
        return max(1, -(-largest.bit_length() // self.digit_bits))

    def digits(self, numbers: Sequence[int], limbs: int) -> Digits:
        """Return the digits of non-negative integers, ``(limbs, len(numbers))``."""
        parts = np.array([numbers], dtype=object)
        width = self.digit_bits << (limbs - 1).bit_length()
        # Halving takes a time nearly linear in the number of bits; limb by limb it would be quadratic.
        while width > self.digit_bits:
            width //= 2
            halves = np.empty((len(parts), 2, len(numbers)), dtype=object)
            halves[:, 0] = parts & ((1 << width) - 1)
            halves[:, 1] = parts >> width
            parts = halves.reshape(-1, len(numbers))
        return parts[:limbs].astype(np.int64)

    def integers(self, digits: Digits) -> list[int]:
        """Return the numbers that digits stand for, as Python integers."""
        parts = digits.astype(object)
        width = self.digit_bits
        while len(parts) > 1:
            upper = parts[1::2] << width
            parts = parts[::2]
            parts[: len(upper)] += upper
            width *= 2
        return list(parts[0])

    def join(self, high: Floats, low: Floats, limbs: int) -> Digits:
        """Return the digits of ``high * 2^low_bits + low``, two products of digits with the halves."""
        upper = high.astype(np.int64)
        digits = np.zeros((max(limbs, len(upper) + 1), upper.shape[1]), dtype=np.int64)
        shift = self.digit_bits - self.low_bits
        digits[: len(upper)] = low
        digits[: len(upper)] += (upper & ((1 << shift) - 1)) << self.low_bits
        digits[1 : len(upper) + 1] += upper >> shift
        for _ in range(self.passes):
            carry = digits >> self.digit_bits
            digits &= (1 << self.digit_bits) - 1
            digits[1:] += carry[:-1]
        return digits[:limbs]


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which BLAS uses one thread.

    The products are so narrow that more threads mostly wait for each other: on two busy cores they cost
    ten times as much.
    """
    return cast("AbstractContextManager[Any]", _blas().limit(limits=1))


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class Halves:
    """The two halves of a matrix of weights; digits are multiplied from either side.

    Parameters
    ----------
    high, low
        Float64 matrices, both dense or both sparse.
    """

    def __init__(self, high: Any, low: Any) -> None:
        self.high, self.low = high, low

    @classmethod
    def dense(cls, blocks: Sequence[NDArray[np.int64]], low_bits: int) -> Halves:
        """Split integer matrices with the same number of rows, put side by side."""
        high = np.empty((len(blocks[0]), sum(block.shape[1] for block in blocks)))
        low = np.empty_like(high)
        start = 0
        for block in blocks:
            part = slice(start, start + block.shape[1])
            high[:, part] = block >> low_bits
            low[:, part] = block & ((1 << low_bits) - 1)
            start = part.stop
        return cls(high, low)

    @classmethod
    def sparse(
        cls,
        weights: NDArray[np.int64],
        places: tuple[NDArray[np.int64], NDArray[np.int64]],
        shape: tuple[int, int],
        low_bits: int,
    ) -> Halves:
        """Split a matrix given by its entries and their places, rows and columns, none twice."""
        from scipy.sparse import csr_array

        parts = (weights >> low_bits, weights & ((1 << low_bits) - 1))
        return cls(*(csr_array((part.astype(np.float64), places), shape=shape) for part in parts))

    def rows_times(self, digits: Digits) -> tuple[Floats, Floats]:
        """Return numbers times matrix: ``(limbs, rows)`` to ``(limbs, columns)`` for either half."""
        numbers = digits.astype(np.float64)
        return numbers @ self.high, numbers @ self.low

    def times_columns(self, digits: Digits) -> tuple[Floats, Floats]:
        """Return matrix times numbers: ``(limbs, columns)`` to ``(limbs, rows)`` for either half."""
        numbers = digits.astype(np.float64)
        return numbers @ self.high.T, numbers @ self.low.T
