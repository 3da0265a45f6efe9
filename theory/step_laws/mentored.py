"""The step law of the rule ``mentored``: the ratio rule against clip(D; low T, high T)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.step_laws import ratio

#: Halvings of the interval of the upper factor, and most steps of Newton's method for the lower one.
_HALVINGS, _STEPS = 52, 100


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], divergence: Any
) -> tuple[Array, Array]:
    """Test the one drafted token."""
    return ratio.node_step(mentor(target, draft, divergence), draft, tokens)


def node(target: Array, draft: Array, children: int, divergence: Any) -> tuple[Array, Array]:
    """Accept the overlap of the clipped row and the draft; together both parts are the clipped row."""
    return ratio.node(mentor(target, draft, divergence), draft, children)


def mentor(target: Array, draft: Array, divergence: float) -> Array:
    """Return the row of largest overlap with the draft within a divergence from the target.

    The divergence of clip(D; low T, high T), with `low` such that the sum is 1, grows with `high`.
    """
    if divergence == 0:
        # Rounding hides small divergences, which are quadratic.
        return target
    quotient = np.divide(draft, target, out=np.ones(np.shape(target)), where=target > 0)
    high = np.maximum(quotient.max(axis=-1, keepdims=True), 1.0)
    low = np.ones_like(high)
    inside = _divergence(_clipped(target, draft, high), target) <= divergence
    low = np.where(inside, high, low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = _divergence(_clipped(target, draft, middle), target) <= divergence
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return _clipped(target, draft, low)


def _clipped(target: Array, draft: Array, high: Array) -> Array:
    """Lift the capped draft to `low` times the target: Newton's method from above, of a convex sum."""
    capped = np.minimum(draft, high * target)
    low = np.ones_like(high)
    for _ in range(_STEPS):
        lifted = capped < low * target
        slope = np.where(lifted, target, 0.0).sum(axis=-1, keepdims=True)
        fixed = np.where(lifted, 0.0, capped).sum(axis=-1, keepdims=True)
        better = np.divide(1.0 - fixed, slope, out=low.copy(), where=slope > 0)
        if not (better < low).any():
            break
        low = np.minimum(better, low)
    return np.maximum(capped, low * target)


def _divergence(row: Array, target: Array) -> Array:
    quotient = np.divide(row, target, out=np.ones(np.shape(target)), where=row > 0)
    return (row * np.log(quotient)).sum(axis=-1, keepdims=True)
