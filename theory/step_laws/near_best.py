"""The step law of the rule ``near-best``: accept iff among the top tokens and within delta of the best."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, one_of, zeros
from specsim.theory.step_laws.drafts import likeliest


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], top: int, delta: Any
) -> tuple[Array, Array]:
    """Test the one drafted token."""
    accepted = at_token(_candidates(target, top, delta), tokens)
    return accepted, (one_of(target) - accepted) * likeliest(target, 0)


def node(target: Array, draft: Array, children: int, top: int, delta: Any) -> tuple[Array, Array]:
    """Accept the candidates; what is refused goes to the likeliest token."""
    accepted = draft * _candidates(target, top, delta)
    return accepted[..., None, :], (draft - accepted).sum(axis=-1, keepdims=True) * likeliest(target, 0)


def _candidates(target: Array, top: int, delta: Any) -> Array:
    """Return 1 for candidates, else 0."""
    near = target >= target.max(axis=-1, keepdims=True) - delta
    among = np.zeros(target.shape, dtype=bool)
    order = np.argsort(-target, axis=-1, kind="stable")
    np.put_along_axis(among, order[..., :top], True, axis=-1)
    return np.where(near & among, one_of(target), zeros(target.shape, target))
