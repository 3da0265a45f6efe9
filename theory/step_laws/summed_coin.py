"""The step law of the rule ``summed-coin``: one coin against the summed target mass of the children."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, normalise, one_of, ones, without_tokens, zeros
from specsim.theory.step_laws import match


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Give each child the part of the coin that it adds to the sum; the final token is none of them."""
    one = one_of(target)
    taken = zeros(tokens.shape, target)
    summed = covered = zeros((*tokens.shape[:-1], 1), target)
    for k in range(tokens.shape[-1]):
        summed = summed + at_token(target, tokens[..., k : k + 1])
        edge = np.minimum(summed, ones(summed.shape, target))
        taken[..., k : k + 1] = edge - covered
        covered = edge
    return taken, (one - covered) * normalise(without_tokens(target, tokens), target)


#: A child's part of the coin is the target's mass of its token, as in ``match``; here children differ.
node = match.node_distinct
