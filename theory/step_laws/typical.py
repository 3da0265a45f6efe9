"""The step law of the rule ``typical``: accept iff T > min(epsilon, delta exp(-entropy))."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, from_floats, one_of, zeros
from specsim.theory.step_laws.drafts import likeliest


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], epsilon: Any, delta: Any, residual: str
) -> tuple[Array, Array]:
    """Test the one drafted token."""
    accepted = at_token(_typical(target, epsilon, delta), tokens)
    return accepted, (one_of(target) - accepted) * _replacement(target, residual)


def node(
    target: Array, draft: Array, children: int, epsilon: Any, delta: Any, residual: str
) -> tuple[Array, Array]:
    """Accept what is typical; what is refused goes to the replacement row."""
    accepted = draft * _typical(target, epsilon, delta)
    refused = (draft - accepted).sum(axis=-1, keepdims=True)
    return accepted[..., None, :], refused * _replacement(target, residual)


def _typical(target: Array, epsilon: Any, delta: Any) -> Array:
    """Return 1 for tokens above the threshold, else 0; of the entropy the float is taken."""
    floats = target.astype(np.float64)
    entropy = -(floats * np.log(np.where(floats > 0, floats, 1.0))).sum(axis=-1, keepdims=True)
    threshold = np.minimum(from_floats(np.exp(-entropy), target) * delta, epsilon)
    return np.where(target > threshold, one_of(target), zeros(target.shape, target))


def _replacement(target: Array, residual: str) -> Array:
    return target if residual == "target" else likeliest(target, 0)
