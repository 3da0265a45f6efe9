"""Integer tables for the kernels: segments, thresholds, running sums and their guides.

A guide divides the random words into cells and names, per cell, the first token that can be meant; the kernel
walks on from there. It changes the speed of a draw, never its result.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Indices = NDArray[np.uint32]

#: Acceptance thresholds are probabilities of (token drafted and accepted) times 2^63.
THRESHOLD_BITS = 63
#: Residual rows that are not given as small fractions are rounded down to multiples of 2^-62.
RESIDUAL_BITS = 62


@dataclass(frozen=True)
class Segments:
    """Rows as consecutive segments of the 32-bit words; see `specsim.engines.compiled.sampling.draw`."""

    last: Indices
    guide: Indices


@dataclass(frozen=True)
class Residuals:
    """Rows as running sums of integer weights; see `specsim.engines.compiled.sampling.draw_residuals`."""

    end: Words
    guide: Indices


def of_steps(table: NDArray[Any], steps: NDArray[np.intp]) -> NDArray[Any]:
    """Pick the tables of some steps from one table per step, or from one that serves all."""
    return table[np.zeros_like(steps) if len(table) == 1 else steps]


def guide_bits(tokens: int) -> int:
    """Binary logarithm of the number of guide cells.

    Small rows get four cells or more per token, so that most draws need no walk; large ones get one, so that
    guides do not crowd the weights out of the caches.
    """
    bits = int(tokens - 1).bit_length()
    return max(1, bits + 2 if tokens <= 256 else bits)


def segments(weights: Words) -> Segments:
    """Lay out rows of weights that sum to 2^32.

    weights: uint64 of shape ``(rows, tokens)``.
    """
    rows, tokens = weights.shape
    bits = guide_bits(tokens)
    ends = np.cumsum(weights, axis=1, dtype=np.uint64)
    last = np.empty((rows, tokens + 1), dtype=np.uint32)
    last[:, 0] = 0xFFFFFFFF
    last[:, 1:] = ((ends + np.uint64(0xFFFFFFFF)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    shift = np.uint64(32 - bits)
    first_cell = ((ends + ((np.uint64(1) << shift) - np.uint64(1))) >> shift).astype(np.int64)
    return Segments(last=last, guide=_guide(first_cell, bits))


def residuals(weights: Words) -> Residuals:
    """Lay out rows of weights with any sums below 2^63; a row of zeros stays empty.

    weights: uint64 of shape ``(rows, tokens)``.
    """
    bits = guide_bits(weights.shape[1])
    ends = np.cumsum(weights, axis=1, dtype=np.uint64)
    totals = np.maximum(ends[:, -1:], np.uint64(1)).astype(np.float64)
    # Rounded so that float errors can only make it late: an early cell would skip the token that is meant.
    first_cell = (
        np.floor(ends.astype(np.float64) / totals * 2**bits * (1 + 1e-12) + 1e-9).astype(np.int64) + 1
    )
    return Residuals(end=ends, guide=_guide(first_cell, bits))


def _guide(first_cell: NDArray[np.int64], bits: int) -> Indices:
    """Count, per cell, the tokens of the row that end before it."""
    rows, _ = first_cell.shape
    cells = 2**bits
    clipped = np.minimum(first_cell, cells) + np.arange(rows)[:, None] * (cells + 1)
    counts = np.bincount(clipped.ravel(), minlength=rows * (cells + 1)).reshape(rows, cells + 1)
    return np.ascontiguousarray(np.cumsum(counts[:, :cells], axis=1).astype(np.uint32))


def ratio_thresholds(target: Words, draft: Words, epsilon: float | Fraction = 0) -> Words:
    """Thresholds of the acceptance min(1, (T + epsilon) / D), exact for epsilon a multiple of 2^-63."""
    lifted = min(Fraction(epsilon), Fraction(1))
    extra = np.uint64(lifted * 2**THRESHOLD_BITS // 1)
    full = draft << np.uint64(31)
    base = np.minimum(full, target << np.uint64(31))
    return base + np.minimum(full - base, extra)


def acceptance_thresholds(acceptance: NDArray[Any], draft: Words) -> Words:
    """Thresholds of any acceptance probabilities, exact for multiples of 2^-63 that need no more bits.

    acceptance: float64 or `fractions.Fraction` objects in [0, 1], of the shape of `draft`.
    draft: draft weights, uint64.
    """
    scale = 2**THRESHOLD_BITS
    if acceptance.dtype == object:
        flat = [
            int(Fraction(probability) * int(weight) * 2**31)
            for probability, weight in zip(acceptance.ravel(), draft.ravel(), strict=True)
        ]
        return np.array(flat, dtype=np.uint64).reshape(draft.shape)
    scaled = np.floor(acceptance * float(scale)).astype(np.uint64)
    high, low = scaled >> np.uint64(32), scaled & np.uint64(0xFFFFFFFF)
    return high * draft + ((low * draft) >> np.uint64(32))


def positive_part(target: Words, draft: Words) -> Words:
    """Weights of (T - D)_+, exact."""
    return np.where(target > draft, target - np.minimum(target, draft), np.uint64(0))


def law_weights(rows: NDArray[Any]) -> Words:
    """Integer weights of laws, exact for fractions of small common denominator and for most floats.

    rows: float64 or `fractions.Fraction` objects, shape ``(rows, tokens)``; each row sums to about 1.
    Returns: proportional to the rows, rounded down to multiples of 2^-62 where they cannot be exact.
    """
    scale = 2**RESIDUAL_BITS
    if rows.dtype != object:
        return np.floor(rows * float(scale)).astype(np.uint64)
    out = np.empty(rows.shape, dtype=np.uint64)
    for index, row in enumerate(rows):
        fractions = [Fraction(value) for value in row]
        common = lcm(*(value.denominator for value in fractions))
        multiplier = common if common < 2**63 else scale
        out[index] = [int(value * multiplier) for value in fractions]
    return out


def recursive_residuals(
    target: NDArray[np.float64], draft: NDArray[np.float64], count: int
) -> tuple[Words, Words]:
    """Walk the recursion ``cur <- norm((cur - D)_+)`` of Algorithm 4, line 19 (2411.00841).

    target, draft: probabilities, float64 of shape ``(rows, tokens)``.
    count: how many times the recursion is applied, at least 1.
    Returns thresholds: uint64 of shape ``(rows, count, tokens)``: min(1, cur_m / D) for m = 1..count as
        thresholds.
    Returns weights: uint64 of shape ``(rows, tokens)``: the row after `count` subtractions.

    Rows stay well away from empty: for m >= 2 some token has cur_m(x) = 0 < D(x), so the mass of the positive
    part is at least 2^-32. Only T = D gives an empty row; then every candidate is accepted and the zero row
    returned is never read.
    """
    rows, tokens = target.shape
    thresholds = np.empty((rows, count, tokens), dtype=np.uint64)
    current = target.copy()
    for index in range(count):
        thresholds[:, index] = (np.minimum(current, draft) * 2.0**THRESHOLD_BITS).astype(np.uint64)
        current = np.maximum(current - draft, 0.0)
        mass = current.sum(axis=1, keepdims=True)
        if index == 0:
            same = mass[:, 0] == 0
        mass[same] = 1.0
        current /= mass
    thresholds[same] = (draft[same] * 2.0**THRESHOLD_BITS).astype(np.uint64)[:, None]
    weights = np.floor(current * 2.0**RESIDUAL_BITS).astype(np.int64)
    # Rows that sum to exactly 2^62 never need a second random word.
    largest = weights.argmax(axis=1)
    weights[np.arange(rows), largest] += np.where(same, 0, 2**RESIDUAL_BITS - weights.sum(axis=1))
    return thresholds, weights.astype(np.uint64)
