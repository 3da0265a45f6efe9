"""The step law of the rule ``drop-unlikely``: a token below the bar is replaced by one of the target."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, normalise, one_of, positive
from specsim.theory.step_laws import ratio


def node_step(target: Array, draft: Array, tokens: NDArray[np.integer], least: Any) -> tuple[Array, Array]:
    """Test the one drafted token if it is submitted."""
    dropped = at_token(draft, tokens) < least
    accepted, final = ratio.node_step(target, draft, tokens)
    return np.where(dropped, accepted * 0, accepted), np.where(dropped, target, final)


def node(target: Array, draft: Array, children: int, least: Any) -> tuple[Array, Array]:
    """Accept min(T, D) of the submitted tokens; D of the others goes to T."""
    submitted = np.where(draft < least, draft * 0, draft)
    accepted = np.minimum(target, submitted)
    refused = (submitted - accepted).sum(axis=-1, keepdims=True)
    dropped = one_of(target) - submitted.sum(axis=-1, keepdims=True)
    final = refused * normalise(positive(target - draft), target) + dropped * target
    return accepted[..., None, :], final
