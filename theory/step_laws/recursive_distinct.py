"""The step law of the rule ``recursive-distinct``: recursive rejection of children that differ."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros
from specsim.theory.step_laws.drafts import untried


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Test the children in turn, each by the last residual and the draft row less those before it."""
    row, drafts, left = target, draft, ones((*tokens.shape[:-1], 1), target)
    taken = zeros(tokens.shape, target)
    for k in range(tokens.shape[-1]):
        accepted = at_token(capped(row, drafts), tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
        row = normalise(positive(row - drafts), row)
        drafts = untried(draft, tokens[..., : k + 1])
    return taken, left * row
