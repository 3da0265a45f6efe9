"""The step law of the rule ``block-uncapped-whole``: block verification but for its last test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import at_token, divided, one_of, ones
from specsim.theory.step_laws import block

if TYPE_CHECKING:
    from specsim.algorithms import Structure


def law(structure: Structure, target: Array, draft: Array, tokens: NDArray[np.integer]) -> Array:
    """Scale what block verification does after its last test fails to the failures of the other test."""
    length, one = structure.depth, one_of(target)
    found = block.law(structure, target, draft, tokens)
    product = weight = ones((*found.shape[:-2], 1), target)
    for i in range(length):
        token = tokens[..., i + 1 : i + 2]
        quotient = divided(at_token(target[..., i, :], token), at_token(draft[..., i, :], token))
        product, weight = product * quotient, np.minimum(weight * quotient, one)
    accepted = np.minimum(product, one)
    found[..., :length, :] *= divided(one - accepted, one - weight)[..., None]
    found[..., length, :] = accepted * target[..., length, :]
    return found
