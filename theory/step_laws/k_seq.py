"""The step law of the rule ``k-seq``: one test for all children, one residual after all have failed."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import (
    at_token,
    capped,
    divided,
    normalise,
    one_of,
    ones,
    positive,
    zeros,
)


def factor_of(target: Array, draft: Array, children: int, halvings: int = 60) -> tuple[Array, Array]:
    """Return the factor and the acceptance of one child at it, both ``(..., 1)``.

    The factor solves ``1 - (1 - b)^K = factor b`` with ``b = sum min(target / factor, draft)`` in ``[1, K]``
    (2310.15141, Algorithm 2). It is found by bisection, and the end at which the last residual is not
    negative is returned; with exact numbers the rule is lossless there, however few halvings are made.
    """
    one = one_of(target)

    def acceptance(factor: Array) -> Array:
        return np.minimum(target / factor, draft).sum(axis=-1, keepdims=True)

    def too_low(factor: Array) -> Array:
        b = acceptance(factor)
        return one - (one - b) ** children > factor * b

    low = ones((*np.broadcast_shapes(target.shape, draft.shape)[:-1], 1), target)
    high = np.where(too_low(low), low * children, low)
    for _ in range(halvings if children > 1 else 0):
        middle = (low + high) / 2
        above = too_low(middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high, acceptance(high)


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], halvings: int = 60
) -> tuple[Array, Array]:
    """Test the children in turn by the target divided by the factor of this row and number of children."""
    children = tokens.shape[-1]
    factor, b = factor_of(target, draft, children, halvings)
    accept = capped(target / factor, draft)
    taken, left = zeros(tokens.shape, target), ones((*tokens.shape[:-1], 1), target)
    for k in range(children):
        accepted = at_token(accept, tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
    return taken, left * normalise(_left(target, draft, factor, b, children), target)


def node(target: Array, draft: Array, children: int, halvings: int = 60) -> tuple[Array, Array]:
    """All children before k fail with probability (1 - b)^k; what they do not take is left of the target."""
    factor, b = factor_of(target, draft, children, halvings)
    each = np.minimum(target / factor, draft)
    taken = [(one_of(target) - b) ** k * each for k in range(children)]
    return np.stack(taken, axis=-2), _left(target, draft, factor, b, children)


def _left(target: Array, draft: Array, factor: Array, b: Array, children: int) -> Array:
    """Return the target less what the children are accepted with."""
    one = one_of(target)
    times = divided(one - (one - b) ** children, b)
    return positive(target - np.minimum(target / factor, draft) * times)
