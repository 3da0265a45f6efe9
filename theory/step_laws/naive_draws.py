"""The step law of the rule ``naive-draws``: every child has its own draw from the target."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, normalise, one_of, ones, without_tokens, zeros


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Miss a child with the target mass of all other tokens; the emitted draw has missed the first."""
    taken, left = zeros(tokens.shape, target), ones((*tokens.shape[:-1], 1), target)
    for k in range(tokens.shape[-1]):
        accepted = at_token(target, tokens[..., k : k + 1])
        taken[..., k : k + 1] = left * accepted
        left = left * (one_of(target) - accepted)
    return taken, left * normalise(without_tokens(target, tokens[..., :1]), target)


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Children are alike: each is missed with 1 - sum T D."""
    missed = one_of(target) - (target * draft).sum(axis=-1, keepdims=True)
    taken = [missed**k * target * draft for k in range(children)]
    return np.stack(taken, axis=-2), missed ** (children - 1) * target * (one_of(target) - draft)
