"""The step law of the rule ``match``: one draw of the target at a node decides."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, one_of, without_tokens, zeros
from specsim.theory.step_laws.drafts import places


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Descend into the first child that is the draw."""
    taken = zeros(tokens.shape, target)
    left = target
    for k in range(tokens.shape[-1]):
        taken[..., k : k + 1] = at_token(left, tokens[..., k : k + 1])
        left = without_tokens(left, tokens[..., k : k + 1])
    return taken, left


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Use that the draw y is child k, and none before, with probability D(y) (1 - D(y))^k."""
    missed = one_of(target) - draft
    taken = [target * draft * missed**k for k in range(children)]
    return np.stack(taken, axis=-2), target * missed**children


def node_distinct(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Use that the draw is child k with the probability of that child."""
    drawn = places(draft, children)
    return target[..., None, :] * drawn, target * (one_of(target) - drawn.sum(axis=-2))
