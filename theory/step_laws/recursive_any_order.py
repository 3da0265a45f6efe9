"""The step law of the rule ``recursive-any-order``: recursive rejection of the children in random order."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import zeros
from specsim.theory.step_laws import recursive


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Average recursive rejection over all orders of the children."""
    taken, final = zeros(tokens.shape, target), zeros((*tokens.shape[:-1], target.shape[-1]), target)
    orders = [list(order) for order in permutations(range(tokens.shape[-1]))]
    for order in orders:
        here, stop = recursive.node_step(target, draft, tokens[..., order])
        taken[..., order] += here / len(orders)
        final = final + stop / len(orders)
    return taken, final


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Each child is equally often at each rank of the order, and its token does not depend on it."""
    taken, final = recursive.node(target, draft, children)
    mean = taken.sum(axis=-2, keepdims=True) / children
    return np.repeat(mean, children, axis=-2), final
