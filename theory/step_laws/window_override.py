"""The step law of the rule ``window-override``: forward over the drafted tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, capped, normalise, one_of, ones, positive, zeros

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(
    structure: Structure,
    target: Array,
    draft: Array,
    tokens: NDArray[np.integer],
    window: int,
    entropy: Any,
    top: int,
) -> Array:
    """Carry the probability that a position is reached and still to be tested.

    From i it moves to i + 1 when i passes, to i + 1 + window when i fails, may be overridden and the window
    passes, and stops otherwise.
    """
    length, one = structure.depth, one_of(target)
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    drafted = tokens[..., 1:, None]
    quotients = capped(target[..., :length, :], draft[..., :length, :])
    passes = at_token(quotients, drafted)
    possible = at_token(target[..., :length, :], drafted) > 0
    open_to = possible & _uncertain(target[..., :length, :], entropy, top)
    reached = [ones((*found.shape[:-2], 1), target)] + [zeros((*found.shape[:-2], 1), target)] * length
    for i in range(length):
        failed = reached[i] * (one - passes[..., i, :])
        reached[i + 1] = reached[i + 1] + reached[i] * passes[..., i, :]
        end = i + 1 + window
        if end <= length:
            verified = np.where(open_to[..., i, :], failed, failed * 0)
            for j in range(i + 1, end):
                verified = verified * passes[..., j, :]
            reached[end] = reached[end] + verified
            failed = failed - verified
        row = target[..., i, :]
        found[..., i, :] = failed * normalise(positive(row - draft[..., i, :]), row)
    found[..., length, :] = reached[length] * target[..., length, :]
    return found


def _uncertain(target: Array, entropy: Any, top: int) -> NDArray[np.bool_]:
    """Whether the entropy of the likeliest tokens, taken as a float, is large enough, ``(..., 1)``."""
    largest = np.sort(target.astype(np.float64), axis=-1)[..., -top:]
    terms = largest * np.log(np.where(largest > 0, largest, 1.0))
    return -terms.sum(axis=-1, keepdims=True) >= float(entropy)
