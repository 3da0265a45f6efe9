"""The step law of the rule ``block-kept-coins``: block verification with coins that belong to positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import (
    at_token,
    capped,
    divided,
    normalise,
    one_of,
    ones,
    positive,
    zeros,
)
from specsim.theory.step_laws import block

if TYPE_CHECKING:
    from specsim.algorithms import Structure

#: The first round is block verification.
law = block.law


def keeping(
    structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer], kept: tuple[Any, ...]
) -> tuple[Array, list[tuple[Any, ...]]]:
    """Return the law of one round after others, and what it leaves, by the node of the stop.

    kept: numbers of which it is known that the coins of the first positions are not below them. A coin
        uniform above b passes a test at h with probability (h - b)_+ / (1 - b), and a failed one is above h.
    """
    length, one = structure.depth, one_of(target)
    found = zeros(target.shape, target)
    bounds = [*kept[:length], *[one * 0] * (length - len(kept))]
    weight, levels, rows = ones((1,), target), [one], []
    for i in range(length):
        excess = positive(weight * target[i] - draft[i])
        mass = excess.sum(keepdims=True)
        rows.append(normalise(excess, target[i]))
        if i:
            levels.append(capped(mass, mass + one - weight)[0])
        token = tokens[i + 1 : i + 2]
        weight = capped(weight * at_token(target[i], token), at_token(draft[i], token))
    levels.append(weight[0])
    rows.append(target[length])
    later = one
    left: list[tuple[Any, ...]] = [()] * (length + 1)
    for i in reversed(range(length + 1)):
        passes = one
        if i:
            low = np.array([bounds[i - 1]], dtype=target.dtype)
            passes = divided(positive(np.array([levels[i]], dtype=target.dtype) - low), one - low)[0]
        found[i] = later * passes * rows[i]
        later = later * (one - passes)
        left[i] = tuple(max(b, h) for b, h in zip(bounds[i + 1 :], levels[i + 2 :], strict=True))
    return found, left
