"""The step law of the rule ``summed-coin-thresholds``: children share the coin of a node."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, without_tokens, zeros


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], summed: Any, single: Any
) -> tuple[Array, Array]:
    """Give each child what it adds to min(1, sum / summed), or all that is left when it is likely alone."""
    one = one_of(target)
    taken = zeros(tokens.shape, target)
    mass = covered = zeros((*tokens.shape[:-1], 1), target)
    for k in range(tokens.shape[-1]):
        alone = at_token(target, tokens[..., k : k + 1])
        mass = mass + alone
        level = np.where(mass > 0, capped(mass, one * summed), mass)
        edge = np.maximum(np.where(alone >= single, one, level), covered)
        taken[..., k : k + 1] = edge - covered
        covered = edge
    return taken, (one - covered) * normalise(without_tokens(target, tokens), target)
