"""The step law of the rule ``block-product-coins``: tests by the product of all coins so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, normalise, positive

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Minus the logarithms of the products are the points of a Poisson process of rate 1.

    The test at i passes when point i is not below ``c_i = -log weight_i``; it stops at k or before when all
    later points are below their ``c_i``, that is when at each ``min(c_i, c_{i+1}, ...)`` i points are over.
    """
    length = structure.depth
    found = np.zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)))
    levels, weight = [], np.ones((*found.shape[:-2], 1))
    for i in range(length):
        token = tokens[..., i + 1 : i + 2]
        quotient = divided(at_token(target[..., i, :], token), at_token(draft[..., i, :], token))
        weight = np.minimum(weight * quotient, 1.0)
        levels.append(-np.log(weight, out=np.full(weight.shape, -np.inf), where=weight > 0)[..., 0])
    bounds = np.minimum.accumulate(np.stack(levels, axis=-1)[..., ::-1], axis=-1)[..., ::-1]
    before = np.zeros(weight.shape[:-1])
    for k in range(length + 1):
        stopped = _all_below(bounds, k)
        row = target[..., k, :]
        rest = row if k == length else normalise(positive(row - draft[..., k, :]), row)
        found[..., k, :] = (stopped - before)[..., None] * rest
        before = stopped
    return found


def _all_below(bounds: Array, first: int) -> Array:
    """Probability that points first + 1, ... are below their bounds ``(..., length)``, which never fall."""
    length = bounds.shape[-1]
    mass = np.zeros((*bounds.shape[:-1], length + 1))
    mass[..., 0] = 1.0
    time = np.zeros(bounds.shape[:-1])
    for i in range(first, length):
        endless = np.isinf(bounds[..., i])
        step = np.where(endless, time, bounds[..., i]) - time
        counts = [np.exp(-step) * step**n / math.factorial(n) for n in range(length)]
        moved = np.zeros_like(mass)
        for n in range(length):
            for more in range(length - n):
                moved[..., n + more] += mass[..., n] * counts[more]
        moved[..., length] = mass.sum(axis=-1) - moved[..., :length].sum(axis=-1)
        moved[..., : i + 1] = 0.0
        mass = np.where(endless[..., None], mass, moved)
        time = np.where(endless, time, bounds[..., i])
    return mass.sum(axis=-1)
