"""The step law of the rule ``one-hot``: a failure takes the child's token out of the target."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, normalise, one_of, ones, without_tokens, zeros
from specsim.theory.step_laws import match


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Accept each child with the mass that the target has left for it."""
    taken, left = zeros(tokens.shape, target), ones((*tokens.shape[:-1], 1), target)
    row = target
    for k in range(tokens.shape[-1]):
        accepted = at_token(row, tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
        row = normalise(without_tokens(row, tokens[..., k : k + 1]), row)
    return taken, left * row


#: Failures one after the other are the draws of ``match``: a token is accepted with its mass in the target.
node, node_distinct = match.node, match.node_distinct
