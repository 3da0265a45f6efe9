"""The step law of the rule ``rejection-based``: acceptances and replacements from tables."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, normalise, one_of


def node_step(
    target: Array, draft: Array, tokens: NDArray[np.integer], acceptance: Array, residual: Array
) -> tuple[Array, Array]:
    """Test the one drafted token; `acceptance` and `residual` are rows of the tables."""
    accepted = at_token(acceptance, tokens)
    # Rows of floats may miss the sum 1 by rounding.
    return accepted, (one_of(target) - accepted) * normalise(residual, residual)


def node(
    target: Array, draft: Array, children: int, acceptance: Array, residual: Array
) -> tuple[Array, Array]:
    """Accept the table times D; what is refused goes to the row of replacements."""
    accepted = acceptance * draft
    refused = (draft - accepted).sum(axis=-1, keepdims=True)
    return accepted[..., None, :], refused * normalise(residual, residual)
