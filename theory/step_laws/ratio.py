"""The step law of the rule ``ratio``: accept with min(1, T / D), replace by the residual of T - D."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, positive

SCALES = True


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer]) -> tuple[Array, Array]:
    """Test the one drafted token."""
    accepted = at_token(capped(target, draft), tokens)
    return accepted, (one_of(target) - accepted) * normalise(positive(target - draft), target)


def node(target: Array, draft: Array, children: int) -> tuple[Array, Array]:
    """Accept min(T, D) and stop with (T - D)_+ (2211.17192, Theorem 1)."""
    accepted = np.minimum(target, draft)
    return accepted[..., None, :], target - accepted
