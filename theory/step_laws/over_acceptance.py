"""The step law of the rule ``over-acceptance``: accept with min(1, (T + epsilon) / D)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, positive


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], epsilon: Any, residual: str
) -> tuple[Array, Array]:
    """Test the one drafted token."""
    accepted = at_token(capped(target + epsilon, draft), tokens)
    return accepted, (one_of(target) - accepted) * _replacement(target, draft, residual)


def node(target: Array, draft: Array, children: int, epsilon: Any, residual: str) -> tuple[Array, Array]:
    """Accept min(T + epsilon, D); what is refused goes to the replacement row."""
    accepted = np.minimum(target + epsilon, draft)
    refused = (draft - accepted).sum(axis=-1, keepdims=True)
    return accepted[..., None, :], refused * _replacement(target, draft, residual)


def _replacement(target: Array, draft: Array, residual: str) -> Array:
    if residual == "optimal":
        return normalise(positive(target - draft), target)
    return target if residual == "target" else draft
