"""The step law of the rule ``lenience``: accept with min(1, T / (lenience D))."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, positive


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer], lenience: Any) -> tuple[Array, Array]:
    """Test the one drafted token."""
    accepted = at_token(_acceptance(target, draft, lenience), tokens)
    return accepted, (one_of(target) - accepted) * normalise(positive(target - draft), target)


def node(target: Array, draft: Array, children: int, lenience: Any) -> tuple[Array, Array]:
    """Accept min(D, T / lenience); what is refused goes to norm((T - D)_+)."""
    accepted = draft * _acceptance(target, draft, lenience)
    refused = (draft - accepted).sum(axis=-1, keepdims=True)
    return accepted[..., None, :], refused * normalise(positive(target - draft), target)


def _acceptance(target: Array, draft: Array, lenience: Any) -> Array:
    # A token that the target does not have is refused at lenience 0, too.
    return np.where(target > 0, capped(target, draft * lenience), target)
